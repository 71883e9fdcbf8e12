"""Volumes for machines that do not run the appliance: a key of its own for each, shown once, and taken back."""

import secrets
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address

from cbstorage import keys, records, view
from cbstorage.ceph import cephx, sealed_keys
from cbstorage.connection_model import OutsideConnection
from cbstorage.model import SealedKeys, VolumePhase
from cbstorage.wanted import mirror_guards, volumes
from cladnet import seal
from cladnet.etcd.store import Condition, Delete, Put, Store
from larva.errors import Conflict, NotFound, TimedOut


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionView:
    """One connection, without its key: nobody has that but the machine."""

    volume: str
    machine: str
    read_only: bool
    created_at: datetime
    ready: bool
    """Whether its key was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Everything that a machine needs."""

    volume: str
    machine: str
    fsid: str
    monitors: tuple[IPv4Address, ...]
    source: str
    """The volume's directory in the file system."""
    identity: cephx.Identity
    read_only: bool


def connect(
    store: Store, group: str, name: str, machine: str, *, read_only: bool = False, timeout_s: float = 60.0
) -> Ticket:
    """Have a key made for a machine, and return it: this is the only time that anybody sees it.

    Args:
        machine: what to call it, as in a host's name.
        timeout_s: how long to wait for the storage hosts; what was asked for is withdrawn then.

    Raises:
        NotFound: no such volume.
        Conflict: the machine has a key for it already, or the volume is being deleted, or is a mirror to be written.
        InvalidInput: the name cannot be used.
        TimedOut: no storage host made the key.
    """
    key = keys.connection(group, name, machine)
    volume = records.volume(store, group, name)
    if volume is None:
        raise volumes.unknown(group, name)
    if volume.value.phase is VolumePhase.DELETING:
        raise Conflict(f"volume {name} is being deleted")
    if not read_only:
        mirror_guards.refuse(store, volume.value, "it is only read", hint="connect with --read-only")
    seen = view.read(store, group)
    if seen is None:
        raise NotFound(f"CLADNet {group} has no storage cluster")
    private, public = seal.new_pair()
    wish = OutsideConnection(
        volume=name, volume_id=volume.value.id, machine=machine, serial=secrets.token_hex(4), seal_key=public,
        read_only=read_only, created_at=datetime.now(UTC),
    )  # fmt: skip
    # Writing the volume anew gives it another revision, so that a deletion that runs at the same time fails.
    conditions = [Condition(volume.key, volume.revision), Condition(key, 0)]
    if not store.transact(conditions, [Put(volume.key, volume.value), Put(key, wish)]):
        raise Conflict(
            f"{machine} has a key for volume {name} already",
            hint="it cannot be shown again: --renew gives it another one, `larva volume disconnect` takes it back",
        )
    try:
        identity = _wait_key(store, group, wish, private, timeout_s)
    except TimedOut:
        store.delete(key)
        raise
    return Ticket(
        volume=name, machine=machine, fsid=seen.specification.fsid, identity=identity, read_only=read_only,
        monitors=tuple(monitor.address for monitor in seen.monitors()), source=volume.value.path,
    )  # fmt: skip


def renew(store: Store, group: str, name: str, machine: str, *, timeout_s: float = 60.0) -> Ticket:
    """Have another key made beside a machine's present one, and return it: this is the only time anybody sees it.

    The present one is good until the other is first used. Asked again before that, the other is the same.

    Args:
        timeout_s: how long to wait for the storage hosts.

    Raises:
        NotFound: no such volume, or the machine has no key for it.
        Conflict: somebody else changed the connection meanwhile.
        TimedOut: no storage host made the key.
    """
    volume, seen = records.volume(store, group, name), view.read(store, group)
    if volume is None or seen is None:
        raise volumes.unknown(group, name)
    current = store.get(keys.connection(group, name, machine), OutsideConnection)
    if current is None or (current.value.volume, current.value.machine) != (name, machine):
        raise _not_connected(store, group, name, machine)
    private, public = seal.new_pair()
    wish = replace(current.value, renewal=public)
    store.replace(current, wish)
    identity = _wait_key(store, group, wish, private, timeout_s)
    return Ticket(
        volume=name, machine=machine, fsid=seen.specification.fsid, identity=identity, read_only=wish.read_only,
        monitors=tuple(monitor.address for monitor in seen.monitors()), source=volume.value.path,
    )  # fmt: skip


def disconnect(store: Store, group: str, name: str, machine: str) -> None:
    """Ask for a machine's key to be taken back and its sessions ended; NotFound if it has none."""
    key = keys.connection(group, name, machine)
    if not store.exists(key):
        raise _not_connected(store, group, name, machine)
    store.transact([], [Delete(key)])


def list_all(store: Store, group: str, name: str | None = None) -> tuple[ConnectionView, ...]:
    """Return the connections of a volume, or of all, by volume and machine."""
    made = records.connection_keys_of(store, group)
    return tuple(
        ConnectionView(
            volume=volume, machine=machine, read_only=item.value.read_only, created_at=item.value.created_at,
            ready=(volume, machine) in made,
        )
        for (volume, machine), item in sorted(records.connections_of(store, group).items())
        if name in (None, volume)
    )  # fmt: skip


def wait_disconnected(store: Store, group: str, name: str, machine: str, *, timeout_s: float) -> None:
    """Wait until the key is good no more; TimedOut otherwise."""

    def look() -> tuple[None, bool, str]:
        there = store.exists(keys.connection_key(group, name, machine))
        return None, not there, "the storage hosts have not taken its key back yet"

    volumes.wait(look, f"{machine} is still connected to volume {name}", timeout_s)


def _not_connected(store: Store, group: str, name: str, machine: str) -> NotFound:
    names = sorted(other for volume, other in records.connections_of(store, group) if volume == name)
    return NotFound(
        f"no machine {machine} is connected to volume {name}", hint=f"there are: {', '.join(names) or 'none'}"
    )


def _wait_key(store: Store, group: str, wish: OutsideConnection, private: str, timeout_s: float) -> cephx.Identity:
    key = keys.connection_key(group, wish.volume, wish.machine)
    deadline = time.monotonic() + timeout_s
    while True:
        made = store.get(key, SealedKeys)
        # An earlier key of this machine stands there until it was taken back.
        if made is not None and wish.renewal is not None and made.value.next_seal_key == wish.renewal:
            return sealed_keys.open_next(private, made.value)[wish.entity]
        if made is not None and wish.renewal is None and made.value.seal_key == wish.seal_key:
            return sealed_keys.open_keys(private, made.value)[wish.entity]
        if time.monotonic() > deadline:
            raise TimedOut(
                f"no storage host made a key within {timeout_s:g} s", hint="larva storage status shows what is missing"
            )
        time.sleep(volumes.POLL_S)
