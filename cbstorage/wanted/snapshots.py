"""Snapshots of volumes and their schedules as desired state."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cbstorage import keys, records
from cbstorage.leading import mirror_plan
from cbstorage.leading.snapshot_plan import PREFIX
from cbstorage.model import VolumeSpecification
from cbstorage.volume_model import Snapshot, SnapshotPhase, SnapshotSchedule
from cbstorage.wanted import mirror_guards, volumes
from cladnet.etcd.store import Condition, Put, Store, Versioned
from larva.errors import Conflict, InvalidInput, NotFound

MOST = 46
"""Of people's own, and of those that a promoted mirror brought along; as many again may be a schedule's, and one that
is about to go, and six those of the mirrors that follow it. Ceph makes no more than a hundred in a directory
(`mds_max_snaps_per_dir`)."""
SHORTEST_S, LONGEST_S = 300, 366 * 86400
_NOW = "larva volume mirror-now"
NOT_MADE = "no storage host has made it yet"
NOT_GONE = "no storage host has removed it"


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotList:
    """The snapshots of a volume, the oldest first, and when others are made."""

    volume: str
    schedule: SnapshotSchedule | None
    snapshots: tuple[Snapshot, ...]


def create(store: Store, group: str, volume: str, name: str | None = None) -> Snapshot:
    """Ask for a snapshot of a volume as it is now.

    Args:
        name: None for one from the time.

    Raises:
        NotFound: no such volume.
        InvalidInput: the name cannot be used.
        Conflict: the volume has one of that name, or too many, or is being deleted; or it is a mirror.
    """
    item = volumes.active(store, group, volume)
    now = datetime.now(UTC)
    chosen = name or f"{now:%Y%m%d-%H%M%S}"
    key = keys.snapshot(group, item.value.id, chosen)
    if chosen.startswith(PREFIX):
        raise InvalidInput(f"names beginning with {PREFIX} are the schedule's", hint="choose another name")
    if chosen.startswith(mirror_plan.PREFIX):
        raise InvalidInput(f"names beginning with {mirror_plan.PREFIX} are mirrors'", hint="choose another name")
    mirror_guards.refuse(
        store, item.value, "outside of its snapshots it is of no single time", hint=f"snapshot its source, or {_NOW}"
    )
    there = _of(store, group, item.value)
    if any(one.value.name == chosen for one in there):
        raise Conflict(f"volume {volume} has a snapshot {chosen!r} already", hint="choose another name, or delete it")
    check_room(store, group, item.value)
    wish = Snapshot(volume_id=item.value.id, name=chosen, asked_at=now)
    # Writing the volume anew makes a deletion that runs at the same time fail, or this.
    if not store.transact(
        [Condition(item.key, item.revision), Condition(key, 0)], [Put(item.key, item.value), Put(key, wish)]
    ):
        raise Conflict(f"somebody else changed volume {volume} meanwhile", hint="retry")
    return wish


def check_room(store: Store, group: str, volume: VolumeSpecification) -> None:
    """Raise Conflict unless a volume may have another snapshot."""
    own = [one.value for one in _of(store, group, volume)]
    if sum(not one.scheduled and mirror_plan.maker(one.name) in (None, volume.id) for one in own) >= MOST:
        raise Conflict(f"volume {volume.name} has {MOST} snapshots already", hint="delete some of them")


def list_all(store: Store, group: str, volume: str) -> SnapshotList:
    """Return a volume's snapshots and its schedule; NotFound without the volume."""
    item = records.volume(store, group, volume)
    if item is None:
        raise volumes.unknown(group, volume)
    schedule = records.snapshot_schedules(store, group).get(item.value.id)
    found = sorted((one.value for one in _of(store, group, item.value)), key=lambda one: (one.asked_at, one.name))
    return SnapshotList(volume=volume, schedule=schedule.value if schedule else None, snapshots=tuple(found))


def delete(store: Store, group: str, volume: str, name: str) -> None:
    """Ask for a snapshot to be removed; NotFound without it."""
    item = volumes.active(store, group, volume)
    mirror_guards.refuse_snapshot(store, item.value, name)
    for one in _of(store, group, item.value):
        if one.value.name == name:
            store.replace(one, replace(one.value, phase=SnapshotPhase.DELETING))
            return
    raise NotFound(f"volume {volume} has no snapshot {name!r}", hint=f"larva volume snapshot list {volume}")


def schedule(store: Store, group: str, volume: str, *, every_s: int, keep: int) -> SnapshotSchedule:
    """Ask for snapshots from time to time, of which the latest stay.

    Args:
        every_s: seconds between two; after an outage one is made, however many were missed.
        keep: how many stay; snapshots that people made are not counted and not removed.

    Raises:
        NotFound: no such volume.
        InvalidInput: a number that cannot be used.
    """
    if not SHORTEST_S <= every_s <= LONGEST_S:
        raise InvalidInput(f"snapshots cannot be made every {every_s} s", hint="from 5m to 366d")
    if not 1 <= keep <= MOST:
        raise InvalidInput(f"a schedule cannot keep {keep} snapshots", hint=f"from 1 to {MOST}")
    item = volumes.active(store, group, volume)
    mirror_guards.refuse(
        store, item.value, "it has snapshots of its own, by its interval", hint="larva volume mirror … --every --keep"
    )
    wish = SnapshotSchedule(volume_id=item.value.id, every_s=every_s, keep=keep)
    store.put(keys.snapshot_schedule(group, item.value.id), wish)
    return wish


def unschedule(store: Store, group: str, volume: str) -> None:
    """Ask for no more scheduled snapshots; those that are there stay."""
    item = volumes.active(store, group, volume)
    store.delete(keys.snapshot_schedule(group, item.value.id))


def wait_made(store: Store, group: str, volume: str, name: str, *, timeout_s: float) -> None:
    """Wait until a snapshot is there."""

    def look() -> tuple[None, bool, str]:
        phases = {one.name: one.phase for one in list_all(store, group, volume).snapshots}
        words = volumes.find(store, group, volume).problem or NOT_MADE
        return None, phases.get(name) is SnapshotPhase.MADE, words

    volumes.wait(look, f"snapshot {name} of volume {volume} is not made", timeout_s)


def wait_gone(store: Store, group: str, volume: str, name: str, *, timeout_s: float) -> None:
    """Wait until a snapshot is removed."""

    def look() -> tuple[None, bool, str]:
        there = {one.name for one in list_all(store, group, volume).snapshots}
        return None, name not in there, volumes.find(store, group, volume).problem or NOT_GONE

    volumes.wait(look, f"snapshot {name} of volume {volume} is not removed", timeout_s)


def _of(store: Store, group: str, volume: VolumeSpecification) -> list[Versioned[Snapshot]]:
    found = records.snapshots(store, group)
    return [item for (whose, _), item in found.items() if whose == volume.id]
