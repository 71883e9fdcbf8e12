"""The manager and the metadata server on this host: a key from the monitors, then the unit."""

from collections.abc import Mapping
from typing import Any

from cbstorage.ceph import cephx
from cbstorage.ceph.answers import AuthEntry
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local, systemd
from cbstorage.model import DaemonKind


def ensure_manager(monitors: Monitors, host: str) -> None:
    """Bring this host's manager up; nothing of ours needs it, it only counts."""
    _ensure(monitors, DaemonKind.MGR, host, cephx.MGR_CAPS)


def ensure_metadata_server(monitors: Monitors, host: str) -> None:
    """Bring this host's metadata server up; the monitors choose which one is active."""
    _ensure(monitors, DaemonKind.MDS, local.mds_name(host), cephx.MDS_CAPS)


def _ensure(monitors: Monitors, kind: DaemonKind, name: str, caps: Mapping[str, str]) -> None:
    unit = local.unit(kind, name)
    if systemd.running(unit):
        return
    # Asked for before every start: a host that left and came back has a key that was taken from it.
    local.write_daemon_keyring(kind, name, get_or_create(monitors, f"{kind}.{name}", caps, newest=True))
    systemd.start(unit)


def get_or_create(monitors: Monitors, entity: str, caps: Mapping[str, str], *, newest: bool = False) -> cephx.Identity:
    """Return an identity with its key, made with these capabilities if the monitors do not know it.

    Args:
        newest: the key that follows, where there is one; with its first use the other one ends.
    """
    flat: list[Any] = [word for service, granted in caps.items() for word in (service, granted)]
    entries = monitors.ask("auth get-or-create", tuple[AuthEntry, ...], entity=entity, caps=flat)
    return cephx.Identity(entity=entries[0].entity, key=(newest and entries[0].pending_key) or entries[0].key)


def pending(monitors: Monitors, entity: str) -> cephx.Identity:
    """Return an identity with the key that follows, made beside the present one if there is none; NotFound.

    Both are good until the other is first used; asked again meanwhile, it is the same.
    """
    entries = monitors.ask("auth get-or-create-pending", tuple[AuthEntry, ...], entity=entity)
    return cephx.Identity(entity=entries[0].entity, key=entries[0].pending_key)
