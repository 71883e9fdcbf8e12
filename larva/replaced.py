"""Which services still run what an upgrade replaced: their processes hold files that are deleted (proc_pid_maps(5))."""

import re
from pathlib import Path

_REPLACED = re.compile(r" (/usr|/lib|/lib64|/bin|/sbin|/opt)/\S.* \(deleted\)$", re.MULTILINE)
_SERVICE = re.compile(r"([^/]+\.service)(?:/|$)")


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
    """The system's own service around a process, by its control group; empty for one of a login or of none.

    It is the outermost: what runs within `user@1000.service` or a container's service is of another manager.
    """
    found = (_SERVICE.search(line.split(":", 2)[-1]) for line in cgroup.splitlines())
    return next((service[1] for service in found if service), "")


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it ended meanwhile
        return ""
