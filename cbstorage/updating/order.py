"""In which order services are restarted, and which are not: pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from cbstorage.mounting.mounts import UNIT_PREFIX
from cladnet.commands.boot import ETCD_UNIT

CEPH = ("ceph-mon@", "ceph-mgr@", "ceph-osd@", "ceph-mds@")
"""Monitors first, so that the others find those of the new version (Ceph's own order of an upgrade)."""
NEVER = ("dbus", "user@", "getty@", "serial-getty@", "console-getty", "larva-boot", "larva-update", "systemd-logind")
"""What a restart would break, or ends logins, or is this very run: they come with the next boot."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarts:
    """What to restart, in this order, and what keeps running the old version."""

    plain: tuple[str, ...] = ()
    control: tuple[str, ...] = ()
    """A member of etcd, by whose loss the others may lose their majority."""
    storage: tuple[str, ...] = ()
    """Daemons of the storage cluster: each only while it is whole."""
    left: tuple[str, ...] = ()
    """What comes with the next boot, or for a mounted volume with its next mount."""


def restarts(services: Iterable[str]) -> Restarts:
    """Sort the services that run old code."""
    plain, control, storage, left = [], [], [], []
    for name in sorted(services):
        if name.startswith((*NEVER, UNIT_PREFIX)):
            left.append(name)
        elif name == ETCD_UNIT:
            control.append(name)
        elif name.startswith(CEPH):
            storage.append(name)
        else:
            plain.append(name)
    storage.sort(key=lambda name: next(place for place, kind in enumerate(CEPH) if name.startswith(kind)))
    return Restarts(plain=tuple(plain), control=tuple(control), storage=tuple(storage), left=tuple(left))
