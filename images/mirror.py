"""Where Debian's packages come from: the host's own mirror, for the image's suite."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from larva import process
from larva.errors import HostUnfit

MAIN_VARIABLE = "LARVA_DEBIAN_MIRROR"
SECURITY_VARIABLE = "LARVA_DEBIAN_SECURITY_MIRROR"
SUITES = frozenset({"bookworm", "trixie", "forky", "sid", "stable", "testing", "unstable", "oldstable"})
"""Release words that name Debian itself; other archives on the host (vendors') use their own or are skipped."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """URLs of Debian's archive and of its security archive."""

    main: str
    security: str

    def sources(self, suite: str) -> tuple[str, ...]:
        """Return lines of sources.list(5) for `suite` with its updates and security updates."""
        return (
            f"deb {self.main} {suite} main",
            f"deb {self.main} {suite}-updates main",
            f"deb {self.security} {suite}-security main",
        )


def of_this_host(environment: Mapping[str, str] = os.environ) -> Mirror:
    """Return the mirror that the environment names, or the one apt uses on this host.

    Raises:
        HostUnfit: apt has no Debian archive configured.
    """
    main, security = environment.get(MAIN_VARIABLE, ""), environment.get(SECURITY_VARIABLE, "")
    if not (main and security):
        listing = process.run(["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)"], timeout=30)
        found = choose(listing)
        main, security = main or found[0], security or found[1]
    if not main or not security:
        raise HostUnfit(
            "apt on this machine has no Debian archive with a security archive",
            hint=f"set {MAIN_VARIABLE} and {SECURITY_VARIABLE} to their URLs",
        )
    return Mirror(_resolve(main), _resolve(security))


def choose(listing: str) -> tuple[str, str]:
    """Pick main and security URL from lines of `SITE RELEASE`; an empty string where none fits."""
    main = security = ""
    for line in listing.splitlines():
        site, _, release = line.strip().rpartition(" ")
        suite, _, rest = release.partition("-")
        if suite not in SUITES:
            continue
        if rest == "" and not main:
            main = site
        elif rest == "security" and not security:
            security = site
    return main, security


def _resolve(url: str) -> str:
    """Return the first mirror of a list that apt-transport-mirror(1) would read, else the URL itself."""
    for prefix in ("mirror+file://", "mirror+file:"):
        if url.startswith(prefix):
            words = [line.split() for line in Path(url.removeprefix(prefix)).read_text().splitlines()]
            names = [word[0] for word in words if word and not word[0].startswith("#")]
            return names[0] if names else url
    return url.rstrip("/")
