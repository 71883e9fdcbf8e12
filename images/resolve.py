"""Resolve a recipe: an apt that knows nothing of this host says what it would install from the mirror."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from images import lock
from images.lock import Lock, Locked
from images.mirror import MAIN_VARIABLE, Mirror
from images.recipe import Recipe
from larva import process
from larva.errors import MalformedData, ProgramFailed, Unavailable

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
INSTALLED = re.compile(r"^Inst (\S+) \((\S+) (.*?) \[\w+\]\)", re.MULTILINE)
"""A line of `apt-get --simulate install`: package, version, and the archives that have it."""
POOL = re.compile(r"pool/(?:updates/)?main/(.+)")
SECURITY = "Debian-Security:"
TIMEOUT_S = 300.0


class Apt:
    """An apt whose state is in `scratch`, which has nothing installed and knows the mirror alone.

    Args:
        scratch: an empty directory.
    """

    def __init__(self, mirror: Mirror, suite: str, scratch: Path) -> None:
        self._suite = suite
        for name in ("state/lists/partial", "cache/archives/partial", "parts"):
            (scratch / name).mkdir(parents=True)
        (scratch / "status").touch()
        lines = [line.replace("deb ", f"deb [signed-by={KEYRING}] ", 1) for line in mirror.sources(suite)]
        (scratch / "sources.list").write_text("\n".join(lines) + "\n")
        settings = {
            "Dir::State": scratch / "state", "Dir::State::status": scratch / "status", "Dir::Cache": scratch / "cache",
            "Dir::Etc::sourcelist": scratch / "sources.list", "Dir::Etc::sourceparts": scratch / "parts",
            "Dir::Etc::preferences": scratch / "none", "Dir::Etc::preferencesparts": scratch / "parts",
            "APT::Architecture": "amd64", "APT::Architectures": "amd64", "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root", "Acquire::Retries": "3",
        }  # fmt: skip
        self._options = [f"--option={name}={value}" for name, value in settings.items()]

    def update(self) -> None:
        """Read what the mirror has now.

        Raises:
            Unavailable: the mirror does not answer, or what it says is not signed by Debian.
        """
        try:
            self._run("apt-get", "update", "--quiet", "--error-on=any")
        except ProgramFailed as error:
            raise Unavailable(error.message, hint=f"name another mirror by {MAIN_VARIABLE}") from error

    def resolve(self, recipe: Recipe) -> Lock:
        """Return what the recipe's packages are on the mirror.

        Raises:
            ProgramFailed: no set of its packages fits the recipe.
        """
        # What mmdebstrap installs: all that is essential, apt, and what is asked for.
        chosen = parse_simulation(
            self._run("apt-get", "--simulate", "install", "?essential", "apt", *recipe.packages)
        )  # fmt: skip
        words = [f"{name}={version}" for name, (version, _) in chosen.items()]
        found = parse_records(self._run("apt-cache", "show", *words), chosen)
        return Lock(suite=self._suite, asked=lock.asked(recipe), packages=found)

    def _run(self, program: str, *words: str) -> str:
        process.require_programs(program)
        return process.run([program, *self._options, *words], timeout=TIMEOUT_S)


def parse_simulation(printed: str) -> dict[str, tuple[str, bool]]:
    """Return version of each package, and whether only the security archive has it."""
    chosen = {}
    for name, version, origins in INSTALLED.findall(printed):
        archives = origins.split(", ")
        chosen[name] = (version, all(archive.startswith(SECURITY) for archive in archives))
    if not chosen:
        raise MalformedData(f"apt-get names no package: {printed[-200:]!r}")
    return chosen


def parse_records(printed: str, chosen: Mapping[str, tuple[str, bool]]) -> dict[str, Locked]:
    """Return what `apt-cache show` says of the chosen packages.

    Raises:
        MalformedData: it says nothing of one of them, or a field is missing.
    """
    found: dict[str, Locked] = {}
    for record in _records(printed):
        name = record.get("Package", "")
        version, security = chosen.get(name, ("", False))
        place = POOL.fullmatch(record.get("Filename", ""))
        if record.get("Version") != version or name in found:
            continue
        if place is None or "SHA256" not in record:
            raise MalformedData(f"apt-cache shows no file or no SHA-256 of {name} {version}")
        found[name] = Locked(
            version=version, architecture=record["Architecture"], security=security, path=place[1],
            source=record.get("Source", name).partition(" ")[0], size=int(record["Size"]), sha256=record["SHA256"],
        )  # fmt: skip
    if missing := chosen.keys() - found.keys():
        raise MalformedData(f"apt-cache shows nothing of {', '.join(sorted(missing))}")
    return dict(sorted(found.items()))


def _records(printed: str) -> Iterator[dict[str, str]]:
    """Give the first lines of each field of deb822 paragraphs."""
    for paragraph in printed.split("\n\n"):
        fields = (line.partition(": ") for line in paragraph.splitlines() if not line.startswith(" "))
        yield {name: value.strip() for name, _, value in fields}
