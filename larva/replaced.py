"""Which services still run what an upgrade replaced: their processes hold files that are deleted (proc_pid_maps(5))."""

import re
from collections.abc import Iterator
from pathlib import Path

_REPLACED = re.compile(r" (/usr|/lib|/lib64|/bin|/sbin|/opt)/\S.* \(deleted\)$", re.MULTILINE)
_SERVICE = re.compile(r"([^/]+\.service)(?:/|$)", re.MULTILINE)


def services(proc: Path = Path("/proc")) -> frozenset[str]:
    """Return the systemd services of which a process maps a program or library that is not on the disk any more."""
    return frozenset(
        service
        for directory in proc.glob("[0-9]*")
        if holds_replaced(_text(directory / "maps")) and (service := service_of(_text(directory / "cgroup")))
    )


def holds_replaced(maps: str) -> bool:
    """Whether a process maps a deleted file of a package; deleted shared memory and such is none."""
    return _REPLACED.search(maps) is not None


def service_of(cgroup: str) -> str:
    """The innermost service of a process's control group; empty for one of a login or of none."""
    return next(_innermost(cgroup), "")


def _innermost(cgroup: str) -> Iterator[str]:
    for line in cgroup.splitlines():
        path = line.partition("::")[2] or line.rpartition(":")[2]
        yield from reversed(_SERVICE.findall(path))


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it ended meanwhile
        return ""
