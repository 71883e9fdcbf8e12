"""Volumes filled from snapshots: clones, and volumes that go back to what they were."""

import secrets
from dataclasses import replace
from datetime import UTC, datetime

from cbstorage import keys, records
from cbstorage.leading.copy_keeper import own_snapshot
from cbstorage.model import VolumeSpecification
from cbstorage.share_model import VolumeShares
from cbstorage.volume_model import CopyWish, Snapshot, SnapshotPhase
from cbstorage.wanted import mirror_guards, sizes, snapshots, volumes
from cladnet.etcd.store import Condition, Delete, Operation, Put, Store
from larva.errors import Conflict, InvalidInput, NotFound


def clone(
    store: Store, group: str, name: str, new: str, *, snapshot: str | None = None, size_bytes: int | None = None
) -> VolumeSpecification:
    """Ask for a new volume that holds what another does; it can be mounted once all is copied.

    Where the other is kept for some hosts, so is the new one.

    Args:
        new: its name.
        snapshot: as the other was then; None for now.
        size_bytes: its quota; None for the other's.

    Raises:
        NotFound: no such volume or snapshot.
        Conflict: there is a volume of the new name, or the other is being deleted or filled itself.
        InvalidInput: the name or the size cannot be used.
        MalformedData: whom the other is kept for cannot be read.
    """
    source = volumes.active(store, group, name)
    used = volumes.find(store, group, name).used_bytes
    size = size_bytes if size_bytes is not None else source.value.size_bytes
    sizes.check_volume(size)
    if size < used:
        raise InvalidInput(f"volume {name} holds {sizes.show(used)}, which does not fit into {sizes.show(size)}")
    if source.value.id in records.copies(store, group):
        raise Conflict(f"volume {name} is being filled itself", hint="wait until it is ready")
    if snapshot is None:
        mirror_guards.refuse(
            store, source.value, "outside of its snapshots it is of no single time",
            hint=f"name one, as {name}@SNAPSHOT: larva volume snapshot list {name}",
        )  # fmt: skip
    made = replace(
        source.value, name=new, origin=None, id=secrets.token_hex(4), size_bytes=size, created_at=datetime.now(UTC)
    )
    key = keys.volume(group, new)
    if store.exists(key):
        raise Conflict(f"CLADNet {group} has a volume {new!r} already", hint="choose another name")
    conditions = [Condition(source.key, source.revision), Condition(key, 0)]
    operations: list[Operation] = [Put(source.key, source.value), Put(key, made)]
    shares = store.get(keys.volume_shares(group, source.value.id), VolumeShares)
    if shares is not None:
        copied = replace(shares.value, volume_id=made.id)
        operations.append(Put(keys.volume_shares(group, made.id), copied))
    if snapshot is None:
        snapshot = own_snapshot(made.id)
        operations.append(_wanted(store, group, source.value, snapshot))
    else:
        _require(store, group, source.value, snapshot)
    wish = CopyWish(volume_id=made.id, source_id=source.value.id, source_path=source.value.path, snapshot=snapshot)
    if not store.transact(conditions, [*operations, Put(keys.copy(group, made.id), wish)]):
        raise Conflict("somebody else changed these volumes meanwhile", hint="retry")
    return made


def restore(store: Store, group: str, name: str, snapshot: str, *, force: bool = False) -> str:
    """Ask for a volume to be again what it was; return the name of a snapshot of what it is now.

    Args:
        force: take it away from the hosts that have it mounted first.

    Raises:
        NotFound: no such volume or snapshot.
        Conflict: it is mounted somewhere and `force` is not set; machines outside have keys for it; or it is being
            deleted, or filled already.
    """
    item = volumes.active(store, group, name)
    mirror_guards.refuse(store, item.value, "it holds what its source does", hint=f"larva volume promote {name} first")
    _require(store, group, item.value, snapshot)
    connections = records.connections_of(store, group).keys() | records.connection_keys_of(store, group).keys()
    if outside := sorted(machine for volume, machine in connections if volume == name):
        raise Conflict(
            f"volume {name} is open to machines outside: {', '.join(outside)}", hint=f"larva volume disconnect {name}"
        )
    mounts = [wish for (_, volume), wish in records.mounts_of(store, group).items() if volume == name]
    of_all = records.mounts_everywhere(store, group).get(name)
    if (mounts or of_all) and not force:
        where = "every host" if of_all else ", ".join(sorted(wish.value.host for wish in mounts))
        raise Conflict(f"volume {name} is mounted on {where}", hint=f"larva volume unmount {name} --all, or --force")
    volumes.remove(store, [wish.key for wish in mounts])  # when it is interrupted here, the volume was unmounted
    before = f"before-{secrets.token_hex(4)}"
    key = keys.copy(group, item.value.id)
    wish = CopyWish(volume_id=item.value.id, source_id=item.value.id, source_path=item.value.path, snapshot=snapshot)
    operations: list[Operation] = [Put(item.key, item.value), Put(key, wish)]
    if of_all:
        operations.append(Delete(of_all.key))
    operations.append(_wanted(store, group, item.value, before))
    if not store.transact([Condition(item.key, item.revision), Condition(key, 0)], operations):
        raise Conflict(f"volume {name} is being filled already, or somebody else changed it", hint="look and retry")
    return before


def _wanted(store: Store, group: str, volume: VolumeSpecification, name: str) -> Put:
    snapshots.check_room(store, group, volume)
    wish = Snapshot(volume_id=volume.id, name=name, asked_at=datetime.now(UTC))
    return Put(keys.snapshot(group, volume.id, name), wish)


def _require(store: Store, group: str, volume: VolumeSpecification, name: str) -> None:
    found = records.snapshots(store, group).get((volume.id, name))
    if found is None or found.value.phase is SnapshotPhase.DELETING:
        raise NotFound(
            f"volume {volume.name} has no snapshot {name!r}", hint=f"larva volume snapshot list {volume.name}"
        )
