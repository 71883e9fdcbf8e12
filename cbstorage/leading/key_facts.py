"""Which cephx identities there are, who has them, and how their keys stand: what the plan of each one needs.

Whose an identity is follows from what the system signed and from Ceph, never from what stands in a sealed value: the
next key of an administrator would otherwise be sealed to whoever wrote his name there.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cbstorage import keys, records, view
from cbstorage.ceph import cephx
from cbstorage.ceph.answers import AuthDump, AuthEntry, CrushTree, OsdMap
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.leading import leavers
from cbstorage.leading.key_plan import Facts, Holder, Kind
from cbstorage.model import DaemonKind, HostDaemons, MountState, SealedKeys
from cbstorage.rotation_model import KeyRotation, KeyState, digest
from cbstorage.view import View
from cladnet.etcd.store import Store, Versioned


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """One identity, and the sealed values in which its hosts find its key."""

    entity: str
    kind: Kind
    volume: str | None = None
    sealed: Mapping[str, Versioned[SealedKeys]]
    """By host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What etcd has besides, read once for all identities of a group."""

    states: Mapping[str, KeyState]
    """By identity."""
    wishes: tuple[KeyRotation, ...]
    mounts: Mapping[tuple[str, str], MountState]
    daemons: Mapping[str, HostDaemons]


def told(store: Store, group: str) -> Told:
    """Read it."""
    daemons = records.agreeing(store.children(keys.daemons_of(group), HostDaemons), lambda name, one: one.host == name)
    return Told(
        states={item.value.entity: item.value for item in records.key_states(store, group).values()},
        wishes=tuple(records.key_rotations(store, group)),
        mounts={pair: item.value for pair, item in records.mount_states_of(store, group).items()},
        daemons={host: item.value for host, item in daemons.items()},
    )


def owned(store: Store, monitors: Monitors, seen: View, auth: Mapping[str, AuthEntry]) -> Iterator[Owned]:
    """Every identity of the group that Ceph knows, and whose hosts have it sealed to their present seal keys."""
    yield from _of_mounts(store, seen, auth)
    keyrings = store.children(keys.keyrings_of(seen.group), SealedKeys)
    there = {
        host: keyrings[host]
        for host in view.storage_hosts(store, seen)
        if host in keyrings and keyrings[host].value.seal_key == seen.hosts[host].seal_key
    }
    admins = {host: there[host] for host in seen.specification.mon_hosts if host in there}
    if admins and cephx.ADMIN in auth:
        yield Owned(entity=cephx.ADMIN, kind=Kind.ADMIN, sealed=admins)
    tree, osd_map = monitors.ask("osd tree", CrushTree), monitors.ask("osd dump", OsdMap)
    for host, sealed in there.items():
        own = cephx.storage_host(host)
        if host not in admins and own in auth:
            yield Owned(entity=own, kind=Kind.CLIENT, sealed={host: sealed})
        daemons = [f"{DaemonKind.MGR}.{host}", f"{DaemonKind.MDS}.{local.mds_name(host)}"]
        daemons += [f"{DaemonKind.OSD}.{one.osd}" for one in leavers.osds_of(host, tree, osd_map)]
        for entity in daemons:
            if entity in auth:
                yield Owned(entity=entity, kind=Kind.DAEMON, sealed={host: sealed})


def _of_mounts(store: Store, seen: View, auth: Mapping[str, AuthEntry]) -> Iterator[Owned]:
    volumes = {name: item.value for name, item in records.volumes(store, seen.group).items()}
    for (host, name), sealed in records.mount_keys_of(store, seen.group).items():
        volume, entity = volumes.get(name), sealed.value.keys[0].entity
        if volume is None or host not in seen.hosts or sealed.value.seal_key != seen.hosts[host].seal_key:
            continue  # it is being taken back, or given anew
        if entity in auth and entity in {volume.entity(host, read_only=mode) for mode in (False, True)}:
            yield Owned(entity=entity, kind=Kind.MOUNT, volume=name, sealed={host: sealed})


def authorities(monitors: Monitors) -> dict[str, AuthEntry]:
    """Every identity that Ceph knows, without pending keys."""
    return {one.entity: one for one in monitors.ask("auth ls", AuthDump).auth_dump}


def facts(one: Owned, entry: AuthEntry, heard: Told) -> Facts:
    """Put together what is known of one identity."""
    hosts = frozenset(one.sealed)
    return Facts(
        entity=one.entity,
        kind=one.kind,
        volume=one.volume,
        key=cephx.fingerprint(entry.key),
        made_at=cephx.made_at(entry.key),
        pending=cephx.fingerprint(entry.pending_key) if entry.pending_key else "",
        holders={host: _holder(one, host, sealed.value, heard) for host, sealed in one.sealed.items()},
        state=heard.states.get(one.entity),
        wishes=tuple(wish for wish in heard.wishes if wish.means(hosts, one.volume)),
    )


def _holder(one: Owned, host: str, sealed: SealedKeys, heard: Told) -> Holder:
    if one.kind is Kind.MOUNT:
        report = heard.mounts.get((host, one.volume or ""))
        held, used = ({report.key}, {report.used}) if report is not None else (set[str](), set[str]())
    else:
        told = heard.daemons.get(host)
        has = [key for key in (told.keys if told is not None else ()) if key.entity == one.entity]
        held, used = {key.fingerprint for key in has}, {key.fingerprint for key in has if key.used}
    return Holder(
        sealed=next((key.fingerprint for key in sealed.keys if key.entity == one.entity), ""),
        sealed_next=next((key.fingerprint for key in sealed.next if key.entity == one.entity), ""),
        held=frozenset(held - {""}),
        used=frozenset(used - {""}),
    )


def state_key(group: str, entity: str) -> str:
    """Where an identity's KeyState is."""
    return keys.key_state(group, digest(entity))
