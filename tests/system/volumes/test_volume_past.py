"""What a volume was, on a real etcd: the trash, snapshots, clones and what is restored."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from storage_wishes import GIB, GROUP, discarded

from cbstorage import keys, records
from cbstorage.leading import mirror_plan, tree
from cbstorage.leading.copier import CopyOrder, CopyReport
from cbstorage.leading.copy_jobs import CopyJobs
from cbstorage.leading.copy_keeper import CopyKeeper
from cbstorage.leading.snapshot_keeper import SnapshotKeeper
from cbstorage.model import ClusterSpecification, VolumeSpecification, VolumeState
from cbstorage.volume_model import Snapshot, SnapshotPhase
from cbstorage.wanted import copies, mirrors, mounting, snapshots, trash, volumes
from cladnet.etcd.store import Store
from larva.errors import Conflict, InvalidInput, NotFound, ProgramFailed, TimedOut


def test_a_deleted_volume_is_taken_back(store: Store, made: ClusterSpecification) -> None:
    first = volumes.create(store, GROUP, "data", GIB)
    store.put(keys.volume_state(GROUP, "data"), VolumeState(id=first.id, ready=True, size_bytes=GIB, used_bytes=7))
    with pytest.raises(InvalidInput, match="cannot stay"):
        volumes.delete(store, GROUP, "data", keep_s=-1)
    volumes.delete(store, GROUP, "data")
    discarded(store, "data")
    volumes.wait_deleted(store, GROUP, "data", timeout_s=5)
    with pytest.raises(NotFound, match="no volume 'other'"):
        trash.undelete(store, GROUP, "other")
    second = volumes.create(store, GROUP, "data", GIB)
    assert second.path != first.path
    with pytest.raises(Conflict, match="has a volume 'data' again"):
        trash.undelete(store, GROUP, "data")
    back = trash.undelete(store, GROUP, "data", name="older")
    assert (back.path, back.namespace, back.id) == (first.path, first.namespace, first.id)
    assert volumes.find(store, GROUP, "older").status == "pending", "until its directory is back"
    assert trash.list_all(store, GROUP) == ()

    # Deleted again, it stays for as long as it was asked to, and its namesake's deletion is another.
    for name in ("data", "older"):
        volumes.delete(store, GROUP, name, keep_s=3600)
        discarded(store, name)
    assert {(view.name, view.remaining_s) for view in trash.list_all(store, GROUP)} == {("data", 3600), ("older", 3600)}
    assert trash.undelete(store, GROUP, first.id, name="data").origin is None


def test_what_is_destroyed_does_not_come_back(store: Store, made: ClusterSpecification) -> None:
    for keep_s in (0, 3600, 3600):
        volumes.create(store, GROUP, "data", GIB)
        volumes.delete(store, GROUP, "data", keep_s=keep_s)
        discarded(store, "data")
    lost, *kept = sorted(trash.list_all(store, GROUP), key=lambda view: view.remaining_s)
    assert lost.purging
    with pytest.raises(Conflict, match="being destroyed"):
        trash.undelete(store, GROUP, lost.id)
    with pytest.raises(Conflict, match="3 volumes"):
        trash.purge(store, GROUP, "data")
    assert trash.purge(store, GROUP, kept[0].id).purging
    with pytest.raises(TimedOut, match="not destroyed"):
        trash.wait_purged(store, GROUP, kept[0].id, timeout_s=0)
    with pytest.raises(NotFound):
        trash.purge(store, GROUP, "nothing")


def test_snapshots_are_asked_for_made_and_removed(store: Store, made: ClusterSpecification) -> None:
    created = volumes.create(store, GROUP, "data", GIB)
    asked = list[tuple[tree.Snap, ...]]()
    keeper = SnapshotKeeper(store, GROUP, lambda *orders: asked.extend(orders))

    def look() -> None:
        for volume, todo in keeper.due([created]):
            keeper.carry_out(volume, todo)

    snapshots.create(store, GROUP, "data", "mine")
    snapshots.schedule(store, GROUP, "data", every_s=3600, keep=1)
    with pytest.raises(TimedOut, match="no storage host has made it"):
        snapshots.wait_made(store, GROUP, "data", "mine", timeout_s=0)
    for _ in range(3):
        look()
    assert next(one.name for orders in asked for one in orders if one.path == created.path) == "mine"
    snapshots.wait_made(store, GROUP, "data", "mine", timeout_s=5)
    found = snapshots.list_all(store, GROUP, "data")
    assert sorted(one.scheduled for one in found.snapshots) == [False, True]
    assert all(one.made_at for one in found.snapshots)
    assert keeper.due([created]) == []

    with pytest.raises(Conflict, match="has a snapshot 'mine' already"):
        snapshots.create(store, GROUP, "data", "mine")
    with pytest.raises(InvalidInput, match="the schedule's"):
        snapshots.create(store, GROUP, "data", "auto-1")
    with pytest.raises(InvalidInput, match="not usable"):
        snapshots.create(store, GROUP, "data", "a/b")
    for every_s, keep in ((1, 1), (3600, 0), (3600, 49)):
        with pytest.raises(InvalidInput):
            snapshots.schedule(store, GROUP, "data", every_s=every_s, keep=keep)
    with pytest.raises(NotFound, match="no snapshot"):
        snapshots.delete(store, GROUP, "data", "other")

    snapshots.delete(store, GROUP, "data", "mine")
    snapshots.unschedule(store, GROUP, "data")
    look()
    snapshots.wait_gone(store, GROUP, "data", "mine", timeout_s=5)
    assert [one.scheduled for one in snapshots.list_all(store, GROUP, "data").snapshots] == [True]
    keeper.forget(created.id)
    assert snapshots.list_all(store, GROUP, "data").snapshots == ()


def test_what_goes_is_removed_although_nothing_more_can_be_made(store: Store, made: ClusterSpecification) -> None:
    created = volumes.create(store, GROUP, "data", GIB)
    there = set[str]()

    def order(make: tuple[tree.Snap, ...], remove: tuple[tree.Snap, ...]) -> None:
        there.difference_update(one.name for one in remove)
        if len(there) + len(make) > 1:
            raise ProgramFailed("Too many links")
        there.update(one.name for one in make)

    keeper = SnapshotKeeper(store, GROUP, order)

    def look() -> None:
        for volume, todo in keeper.due([created]):
            keeper.carry_out(volume, todo)

    snapshots.create(store, GROUP, "data", "one")
    look()
    for name in ("two", "three"):
        snapshots.create(store, GROUP, "data", name)
    snapshots.delete(store, GROUP, "data", "one")
    with pytest.raises(ProgramFailed, match="Too many"):
        look()
    snapshots.wait_gone(store, GROUP, "data", "one", timeout_s=0)
    snapshots.delete(store, GROUP, "data", "two")
    look()
    snapshots.wait_made(store, GROUP, "data", "three", timeout_s=0)


def test_what_a_promoted_mirror_brought_along_counts_among_peoples_own(
    store: Store, made: ClusterSpecification
) -> None:
    """Ceph makes no more than a hundred in a directory; a mirror that follows this one has its own share."""
    created = volumes.create(store, GROUP, "data", GIB)

    def put(whose: str, number: int) -> None:
        name = mirror_plan.name_for(whose, datetime(2026, 1, 1, second=number, tzinfo=UTC))
        wish = Snapshot(volume_id=created.id, name=name, phase=SnapshotPhase.MADE, asked_at=datetime.now(UTC))
        store.put(keys.snapshot(GROUP, created.id, name), wish)

    for number in range(6):
        put("0a0b0c0d", number)
    for number in range(snapshots.MOST - 1):
        put(created.id, number)
    snapshots.create(store, GROUP, "data", "last")
    with pytest.raises(Conflict, match=f"has {snapshots.MOST} snapshots already"):
        snapshots.create(store, GROUP, "data", "more")
    assert 2 * snapshots.MOST + 1 + 3 * mirrors.MOST_MIRRORS < 100


class Jobs(CopyJobs):
    """Copies that are as far as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.far = CopyReport(files=0, bytes=0)
        self.orders = dict[str, CopyOrder]()

    def follow(self, token: str, order: CopyOrder) -> CopyReport:
        self.orders[token] = order
        if self.far.problem:
            raise ProgramFailed(self.far.problem)
        return self.far


class Door:
    """Access for copies, as it is asked for."""

    def __init__(self) -> None:
        self.asked = list[str]()

    def give(self, entity: str) -> Path:
        self.asked.append(f"give {entity}")
        return Path("keyring")

    def take(self, entity: str) -> None:
        self.asked.append(f"take {entity}")


def test_a_volume_is_cloned_and_restored(store: Store, made: ClusterSpecification) -> None:
    source = volumes.create(store, GROUP, "data", GIB)
    jobs = Jobs()
    keeper, door = CopyKeeper(store, GROUP, lambda: jobs), Door()

    def snapped() -> None:
        for item in records.snapshots(store, GROUP).values():
            if item.value.phase is SnapshotPhase.WANTED:
                store.replace(item, replace(item.value, phase=SnapshotPhase.MADE))

    def state(volume: VolumeSpecification) -> None:
        store.put(
            keys.volume_state(GROUP, volume.name), VolumeState(id=volume.id, ready=True, size_bytes=volume.size_bytes)
        )

    state(source)
    new = copies.clone(store, GROUP, "data", "copy")
    assert (new.id != source.id, new.path != source.path, new.size_bytes) == (True, True, GIB)
    state(new)
    assert volumes.find(store, GROUP, "copy").status == "copying"
    assert not keeper.keep(records.copies(store, GROUP), [new], door), "its snapshot is not made yet"
    assert not jobs.orders
    snapped()
    jobs.far = CopyReport(files=1, bytes=7)
    assert not keeper.keep(records.copies(store, GROUP), [new], door)
    assert [one.source for one in jobs.orders.values()] == [f"{source.path}/.snap/clone-{new.id}"]
    assert volumes.find(store, GROUP, "copy").copied_bytes == 7
    jobs.far = CopyReport(files=1, bytes=7, problem="no room")
    assert not keeper.keep(records.copies(store, GROUP), [new], door)
    with pytest.raises(TimedOut, match="no room"):
        volumes.wait_ready(store, GROUP, "copy", timeout_s=0)
    jobs.far = CopyReport(files=2, bytes=9, done=True)
    keeper.keep(records.copies(store, GROUP), [new], door)
    assert keeper.keep(records.copies(store, GROUP), [new], door)
    assert volumes.find(store, GROUP, "copy").status == "ready"
    assert door.asked[0] == door.asked[-1] == f"take client.copy.{new.id}", "no late copier writes into it any more"
    assert [one.phase for one in snapshots.list_all(store, GROUP, "data").snapshots] == [SnapshotPhase.DELETING]

    snapshots.create(store, GROUP, "data", "then")
    mounting.mount(store, GROUP, "data", ["aws-1"], "/srv/data")
    with pytest.raises(Conflict, match="is mounted on aws-1"):
        copies.restore(store, GROUP, "data", "then")
    before = copies.restore(store, GROUP, "data", "then", force=True)
    assert volumes.find(store, GROUP, "data").mounts == ()
    assert before in {one.name for one in snapshots.list_all(store, GROUP, "data").snapshots}
    with pytest.raises(Conflict, match="being filled already"):
        copies.restore(store, GROUP, "data", "then")
    with pytest.raises(Conflict, match="being filled itself"):
        copies.clone(store, GROUP, "data", "other")
    assert not keeper.keep(records.copies(store, GROUP), [source], door), "what it holds now is kept first"
    snapped()
    keeper.keep(records.copies(store, GROUP), [source], door)
    assert not jobs.orders[f"{source.id}@{source.id}/then"].trust_times
    assert volumes.find(store, GROUP, "data").status == "ready"

    for action, error, said in (
        (lambda: copies.clone(store, GROUP, "data", "copy"), Conflict, "already"),
        (lambda: copies.clone(store, GROUP, "data", "x", snapshot="none"), NotFound, "no snapshot"),
        (lambda: copies.clone(store, GROUP, "none", "x"), NotFound, "no volume"),
        (lambda: copies.clone(store, GROUP, "data", "a/b"), InvalidInput, "not usable"),
        (lambda: copies.clone(store, GROUP, "data", "x", size_bytes=1), InvalidInput, "too small"),
        (lambda: copies.restore(store, GROUP, "data", "none"), NotFound, "no snapshot"),
    ):
        with pytest.raises(error, match=said):
            action()
    store.put(keys.copy(GROUP, new.id), {"volume_id": new.id, "source_id": new.id, "source_path": "/", "snapshot": "x"})
    assert records.copies(store, GROUP) == {}, "nothing outside of volumes is ever copied"
