"""Snapshots, as the leading host makes, schedules and removes them."""

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from cbstorage import keys, records
from cbstorage.leading import snapshot_plan
from cbstorage.leading.snapshot_plan import SnapshotPlan
from cbstorage.leading.tree import Snap
from cbstorage.model import VolumeSpecification
from cbstorage.volume_model import Snapshot, SnapshotPhase
from cladnet.etcd.store import Delete, Store, Versioned
from larva.errors import Conflict

log = logging.getLogger(__name__)


class SnapshotKeeper:
    """The snapshots of a group.

    Args:
        order: makes some snapshots in the file system and removes others.
    """

    def __init__(self, store: Store, group: str, order: Callable[[tuple[Snap, ...], tuple[Snap, ...]], None]) -> None:
        self._store = store
        self._group = group
        self._order = order

    def due(
        self, volumes: Sequence[VolumeSpecification], copied: Collection[tuple[str, str]] = ()
    ) -> list[tuple[VolumeSpecification, SnapshotPlan]]:
        """Return what is to be done for those of these volumes for which something is.

        Args:
            copied: volume id and name of snapshots that something is copied from: they stay until that is done.
        """
        found = records.snapshots(self._store, self._group)
        gone = SnapshotPhase.DELETING
        snapshots = {at: one for at, one in found.items() if at not in copied or one.value.phase is not gone}
        schedules = records.snapshot_schedules(self._store, self._group)
        ids = [volume.id for volume in volumes]
        plans = snapshot_plan.plans(snapshots, schedules, ids, datetime.now(UTC))
        idle = SnapshotPlan(schedule=None, make=(), expire=(), remove=())
        return [(volume, plans[volume.id]) for volume in volumes if plans[volume.id] != idle]

    def carry_out(self, volume: VolumeSpecification, todo: SnapshotPlan) -> None:
        """Do it; what was asked for by this itself is made with the next look.

        Nobody is told that a snapshot is there before it is, nor that it is gone before it is gone. What goes is
        removed first, whatever becomes of the rest: a directory has room for so many.
        """
        try:
            if todo.schedule is not None:
                wish = Snapshot(volume_id=volume.id, name=todo.schedule, scheduled=True, asked_at=datetime.now(UTC))
                self._store.create(keys.snapshot(self._group, volume.id, wish.name), wish)
            for item in todo.expire:
                self._store.replace(item, replace(item.value, phase=SnapshotPhase.DELETING))
            if todo.remove:
                self._order((), _snaps(volume, todo.remove))
            for item in todo.remove:
                self._store.delete(item.key, revision=item.revision)
                log.info("volume %s: removed snapshot %s", volume.name, item.value.name)
            if todo.make:
                self._order(_snaps(volume, todo.make), ())
            for item in todo.make:
                made = replace(item.value, phase=SnapshotPhase.MADE, made_at=datetime.now(UTC))
                self._store.replace(item, made)
                log.info("volume %s: made snapshot %s", volume.name, item.value.name)
        except Conflict as error:  # another leader, or somebody who changed his mind; the next look sees
            log.info("volume %s: %s", volume.name, error.message)

    def forget(self, volume_id: str) -> None:
        """Forget the snapshots and the schedule of a volume that was destroyed with them."""
        found = records.snapshots(self._store, self._group)
        gone = [Delete(item.key) for (whose, _), item in found.items() if whose == volume_id]
        rest = [Delete(key(self._group, volume_id)) for key in (keys.snapshot_schedule, keys.copy)]
        self._store.transact([], [*gone, *rest])


def _snaps(volume: VolumeSpecification, items: Sequence[Versioned[Snapshot]]) -> tuple[Snap, ...]:
    return tuple(Snap(path=volume.path, name=item.value.name) for item in items)
