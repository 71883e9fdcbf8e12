"""Which snapshots to make and to remove now: pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cbstorage.volume_model import Snapshot, SnapshotPhase, SnapshotSchedule
from cladnet.etcd.store import Versioned

PREFIX = "auto-"
"""Of the names that a schedule gives; people's own begin otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPlan:
    """What to do with the snapshots of one volume."""

    schedule: str | None
    """The name of one to be asked for now."""
    make: tuple[Versioned[Snapshot], ...]
    expire: tuple[Versioned[Snapshot], ...]
    """To be marked as deleted."""
    remove: tuple[Versioned[Snapshot], ...]

    @property
    def again(self) -> bool:
        """Whether carrying it out leaves something for another look."""
        return self.schedule is not None or bool(self.expire)


def plan(snapshots: Sequence[Versioned[Snapshot]], schedule: SnapshotSchedule | None, now: datetime) -> SnapshotPlan:
    """Return what is to be done for one volume.

    Args:
        snapshots: all of that volume's.
        now: this host's clock; the order of snapshots is etcd's, so that a clock that was wrong once is forgotten with
            the next snapshot.
    """
    by_phase: dict[SnapshotPhase, list[Versioned[Snapshot]]] = {phase: [] for phase in SnapshotPhase}
    for item in sorted(snapshots, key=lambda item: (item.revision, item.value.name)):
        by_phase[item.value.phase].append(item)
    made = [item for item in by_phase[SnapshotPhase.MADE] if item.value.scheduled]
    waiting = any(item.value.scheduled for item in by_phase[SnapshotPhase.WANTED])
    name = None
    if schedule is not None and not waiting and _is_due(made, timedelta(seconds=schedule.every_s), now):
        name = f"{PREFIX}{now:%Y%m%d-%H%M%S}"
        if name in {item.value.name for item in snapshots}:
            name = None  # within one second of the last: the next look finds another name
    return SnapshotPlan(
        schedule=name,
        make=tuple(by_phase[SnapshotPhase.WANTED]),
        expire=tuple(made[: -schedule.keep]) if schedule is not None else (),
        remove=tuple(by_phase[SnapshotPhase.DELETING]),
    )


def plans(
    snapshots: Mapping[tuple[str, str], Versioned[Snapshot]],
    schedules: Mapping[str, Versioned[SnapshotSchedule]],
    volume_ids: Sequence[str],
    now: datetime,
) -> dict[str, SnapshotPlan]:
    """Return what is to be done, by volume id; nothing for volumes that are not there."""
    mine: dict[str, list[Versioned[Snapshot]]] = {volume_id: [] for volume_id in volume_ids}
    for (volume_id, _), item in snapshots.items():
        if volume_id in mine:
            mine[volume_id].append(item)
    return {
        volume_id: plan(found, schedules[volume_id].value if volume_id in schedules else None, now)
        for volume_id, found in mine.items()
    }


def _is_due(made: Sequence[Versioned[Snapshot]], every: timedelta, now: datetime) -> bool:
    """Whether another is due, however many were missed; a last one from the far future was made by a wrong clock."""
    if not made:
        return True
    since = now - made[-1].value.asked_at
    return since >= every or since <= -every
