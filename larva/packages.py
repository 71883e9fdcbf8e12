"""What apt would upgrade from Debian's security archive and nothing else: looked at, done, finished if cut short."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from larva import process
from larva.errors import ProgramFailed

log = logging.getLogger(__name__)

SECURITY_ONLY = Path("/usr/share/larva/apt/security.pref")
"""Pins (apt_preferences(5)): what is installed counts more than another archive's newer version."""
REFRESH_S = 600.0
LOOK_S = 120.0
FETCH_S = 3600.0
UPGRADE_S = 3600.0
"""For dpkg alone: what it needs was fetched before."""
_LOCK_S = 300
"""So long another apt or dpkg is waited for."""
_QUIET = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1"}
_KEEP = ("--option=Dpkg::Options::=--force-confdef", "--option=Dpkg::Options::=--force-confold")
_FINISHED = frozenset({"installed ok", "config-files ok", "not-installed ok"})
_LINE = re.compile(r"Inst (?P<name>\S+)(?: \[(?P<old>[^\]]+)\])? \((?P<new>\S+) ")
_OLD_KERNEL = re.compile(r"^Remv (linux-image-\S+)", re.MULTILINE)


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


def unfinished() -> tuple[str, ...]:
    """Return the packages that an interrupted dpkg left between two states (dpkg(1), PACKAGE STATES)."""
    query = ["dpkg-query", "--show", "--showformat=${db:Status-Status} ${db:Status-Eflag} ${Package}\n"]
    found = (line.rpartition(" ") for line in process.run(query, timeout=LOOK_S).splitlines())
    return tuple(name for state, _, name in found if state not in _FINISHED)


def finish() -> None:
    """Bring to its end what was interrupted; what that needs and is not there yet comes from the same archives.

    Raises:
        ProgramFailed: that would remove a package, or does not end whole.
    """
    _configure(ok_codes=(0, 1))  # 1: one lacks what was not unpacked yet, and apt brings that
    _install("install", "--fix-broken", "--no-remove")
    if left := unfinished():
        raise ProgramFailed(f"dpkg has not finished {', '.join(left)}", hint="`dpkg --configure --pending` says why")


def upgrade() -> None:
    """Upgrade, and remove kernels that nothing needs any more. Files that somebody changed stay as they are."""
    _configure()
    _install("upgrade", "--with-new-pkgs")
    if kernels := old_kernels(process.run(_apt("autoremove", "--simulate"), timeout=LOOK_S)):
        process.run(_apt("purge", "--yes", *kernels), timeout=UPGRADE_S, env=_QUIET)
    process.run(["apt-get", "clean"], timeout=LOOK_S)


def parse(simulated: str) -> tuple[Upgrade, ...]:
    """Read the lines `Inst NAME [OLD] (NEW …)` of `apt-get --simulate`."""
    found = (_LINE.match(line) for line in simulated.splitlines())
    return tuple(Upgrade(name=one["name"], old=one["old"] or "", new=one["new"]) for one in found if one)


def old_kernels(simulated: str) -> tuple[str, ...]:
    """Read the lines `Remv NAME …` of `apt-get autoremove --simulate` that are of kernels.

    apt spares the running one, the newest ones, and what somebody asked for (apt.conf(5), NeverAutoRemove).
    """
    return tuple(_OLD_KERNEL.findall(simulated))


def _configure(ok_codes: Sequence[int] = (0,)) -> None:
    """Let dpkg put its own records in order, without which apt refuses to begin."""
    argv = ["dpkg", "--force-confdef", "--force-confold", "--configure", "--pending"]
    process.run(argv, timeout=UPGRADE_S, env=_QUIET, ok_codes=ok_codes)


def _install(*words: str) -> None:
    """Fetch first, so that a slow archive cannot have dpkg killed amid a package."""
    process.run(_apt(*words, "--yes", "--download-only"), timeout=FETCH_S, env=_QUIET)
    process.run(_apt(*words, "--yes", *_KEEP), timeout=UPGRADE_S, env=_QUIET)


def _apt(*words: str) -> list[str]:
    return [
        "apt-get", "--quiet=2", f"--option=DPkg::Lock::Timeout={_LOCK_S}",
        f"--option=Dir::Etc::Preferences={SECURITY_ONLY}", *words,
    ]  # fmt: skip
