"""What apt would upgrade from Debian's security archive, and nothing else: looked at, and done."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from larva import process

log = logging.getLogger(__name__)

SECURITY_ONLY = Path("/usr/share/larva/apt/security.pref")
"""Pins (apt_preferences(5)): what is installed counts more than another archive's newer version."""
REFRESH_S = 600.0
LOOK_S = 120.0
UPGRADE_S = 3600.0
_LOCK_S = 300
"""So long another apt or dpkg is waited for."""
_LINE = re.compile(r"Inst (?P<name>\S+)(?: \[(?P<old>[^\]]+)\])? \((?P<new>\S+) ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgrade:
    """One package that would be replaced, or comes new since another needs it."""

    name: str
    old: str
    """Empty for one that is not installed."""
    new: str


def refresh() -> None:
    """Learn what the archives have; errors as process.run, since a stale list would look like no update."""
    process.run(_apt("update", "--error-on=any"), timeout=REFRESH_S)


def pending() -> tuple[Upgrade, ...]:
    """Return what an upgrade would do, by the lists that are there."""
    return parse(process.run(_apt("upgrade", "--with-new-pkgs", "--simulate"), timeout=LOOK_S))


def upgrade() -> None:
    """Upgrade; a run that was killed in the middle is finished first. Files that somebody changed stay as they are."""
    quiet = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
    process.run(["dpkg", "--force-confold", "--configure", "--pending"], timeout=UPGRADE_S, env=quiet)
    kept = ("--option=Dpkg::Options::=--force-confdef", "--option=Dpkg::Options::=--force-confold")
    process.run(_apt("upgrade", "--with-new-pkgs", "--yes", *kept), timeout=UPGRADE_S, env=quiet)
    process.run(["apt-get", "clean"], timeout=LOOK_S)


def parse(simulated: str) -> tuple[Upgrade, ...]:
    """Read the lines `Inst NAME [OLD] (NEW …)` of `apt-get --simulate`."""
    found = (_LINE.match(line) for line in simulated.splitlines())
    return tuple(Upgrade(name=one["name"], old=one["old"] or "", new=one["new"]) for one in found if one)


def _apt(*words: str) -> list[str]:
    return [
        "apt-get", "--quiet=2", f"--option=DPkg::Lock::Timeout={_LOCK_S}",
        f"--option=Dir::Etc::Preferences={SECURITY_ONLY}", *words,
    ]  # fmt: skip
