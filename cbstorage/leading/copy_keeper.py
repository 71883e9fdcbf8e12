"""Volumes that are filled from snapshots, as the leading host fills them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from cbstorage import keys, records
from cbstorage.leading.copier import CopyOrder
from cbstorage.leading.copy_jobs import CopyJobs
from cbstorage.model import VolumeSpecification
from cbstorage.volume_model import CopyWish, Snapshot, SnapshotPhase
from cladnet.etcd.store import Delete, Store, Versioned
from larva.errors import Conflict, LarvaError, Unavailable

log = logging.getLogger(__name__)


def own_snapshot(volume_id: str) -> str:
    """The name of a snapshot that is made for one copy only, and goes with it."""
    return f"clone-{volume_id}"


class Access(Protocol):
    """How a copier gets into the file system, and how it is kept out for good."""

    def give(self, entity: str) -> Path:
        """Return the keyring of an identity that may copy, made if it is not there."""

    def take(self, entity: str) -> None:
        """Remove an identity and end its sessions."""


class CopyKeeper:
    """The copies of a group.

    Args:
        jobs: runs them.
    """

    def __init__(self, store: Store, group: str, jobs: Callable[[], CopyJobs] = CopyJobs) -> None:
        self._store = store
        self._group = group
        self._jobs = jobs()

    def keep(
        self, wishes: Mapping[str, Versioned[CopyWish]], ready: Sequence[VolumeSpecification], access: Access
    ) -> bool:
        """Look once; True when nothing is left to be copied.

        Args:
            ready: volumes that may be written to.
            access: of an identity for each copy. It is taken before a copy begins and when it is done, so that no
                copier of a leader that is late writes into a volume that somebody has mounted again.
        """
        volumes = {volume.id: volume for volume in ready}
        self._jobs.keep_only([_token(item.value) for item in wishes.values() if item.value.volume_id in volumes])
        snapshots = records.snapshots(self._store, self._group) if wishes else {}
        for item in wishes.values():
            volume = volumes.get(item.value.volume_id)
            if volume is None or not _may_begin(item.value, snapshots):
                continue
            try:
                self._look(item, volume, snapshots, access)
            except Conflict as error:  # somebody deleted it meanwhile
                log.info("copy into volume %s: %s", volume.name, error.message)
            except Unavailable:
                raise
            except LarvaError as error:  # its trouble keeps no other volume waiting
                self._tell(item, volume, error.message)
        return not wishes

    def stop(self) -> None:
        """End all copies: another host leads."""
        self._jobs.keep_only([])

    def _look(
        self,
        item: Versioned[CopyWish],
        volume: VolumeSpecification,
        snapshots: Mapping[tuple[str, str], Versioned[Snapshot]],
        access: Access,
    ) -> None:
        wish = item.value
        entity = f"client.copy.{wish.volume_id}"
        if not self._jobs.is_running(_token(wish)):
            access.take(entity)
        order = CopyOrder(
            entity=entity,
            keyring=access.give(entity),
            source=f"{wish.source_path}/.snap/{wish.snapshot}",
            target=volume.path,
            trust_times=not wish.in_place,
            before=volume.path if wish.in_place and wish.only_copied else "",
        )
        report = self._jobs.follow(_token(wish), order)
        if report.done:
            access.take(entity)
            self._finish(item, volume, snapshots)
            log.info("volume %s holds what snapshot %s does", volume.name, wish.snapshot)
            return
        if report.files > wish.copied_files or report.bytes > wish.copied_bytes or wish.problem:
            self._store.replace(item, replace(wish, copied_files=report.files, copied_bytes=report.bytes, problem=""))

    def _tell(self, item: Versioned[CopyWish], volume: VolumeSpecification, problem: str) -> None:
        if problem == item.value.problem:
            return
        log.warning("copy into volume %s: %s", volume.name, problem)
        try:
            self._store.replace(item, replace(item.value, problem=problem))
        except Conflict as error:
            log.info("copy into volume %s: %s", volume.name, error.message)

    def _finish(
        self,
        item: Versioned[CopyWish],
        volume: VolumeSpecification,
        snapshots: Mapping[tuple[str, str], Versioned[Snapshot]],
    ) -> None:
        wish = item.value
        own = snapshots.get((wish.source_id, own_snapshot(wish.volume_id)))
        if own is not None:
            self._store.replace(own, replace(own.value, phase=SnapshotPhase.DELETING))
        operations = [Delete(keys.copy(self._group, wish.volume_id))]
        if wish.without_quota:  # it is set anew with the state
            operations.append(Delete(keys.volume_state(self._group, volume.name)))
        self._store.transact([], operations)


def _token(wish: CopyWish) -> str:
    return f"{wish.volume_id}@{wish.source_id}/{wish.snapshot}"


def _may_begin(wish: CopyWish, snapshots: Mapping[tuple[str, str], Versioned[Snapshot]]) -> bool:
    """Whether the snapshot is there, and those of the volume itself that somebody wants from before."""
    source = snapshots.get((wish.source_id, wish.snapshot))
    waiting = any(
        whose == wish.volume_id and one.value.phase is SnapshotPhase.WANTED for (whose, _), one in snapshots.items()
    )
    return source is not None and source.value.phase is not SnapshotPhase.WANTED and not waiting
