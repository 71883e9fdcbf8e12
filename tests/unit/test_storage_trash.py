"""When the trash destroys a volume: no clock decides it, nobody who looks rarely, and no second leader too early."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cbstorage.leading import trash_keeper
from cbstorage.leading.trash_keeper import STEP_S, TrashKeeper, is_due
from cbstorage.model import VolumeSpecification
from cbstorage.volume_model import Trashed
from cladnet.etcd.store import Versioned
from larva.errors import Conflict

NOW = datetime.now(UTC)
HOUR = 3600
VOLUME = VolumeSpecification(group="demo", name="data", id="11112222", size_bytes=1 << 30, created_at=NOW)
ENTRY = Trashed(volume=VOLUME, deleted_at=NOW, keep_s=HOUR)


class OneKey:
    """etcd with the one key of an entry."""

    def __init__(self, entry: Trashed) -> None:
        self.item: Versioned[Trashed] | None = Versioned("k", entry, 1)
        self.writes = 0

    def replace(self, current: Versioned[Trashed], value: Trashed) -> int:
        if self.item is None or current.revision != self.item.revision:
            raise Conflict("somebody else wrote")
        self.item = Versioned("k", value, current.revision + 1)
        self.writes += 1
        return self.item.revision

    def delete(self, key: str, *, revision: int) -> bool:
        self.item = None
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Leader:
    """A keeper whose looks are made by hand."""

    def __init__(self, store: OneKey) -> None:
        self.store, self.clock, self.purged = store, Clock(), list[str]()
        self.done = True
        self.keeper = TrashKeeper(store, self.purge, clock=self.clock)  # type: ignore[arg-type]

    def purge(self, volume: VolumeSpecification) -> bool:
        assert self.store.item is not None
        assert self.store.item.value.purging, "the way back is closed before the first file goes"
        self.purged.append(volume.trash_path)
        return self.done

    def look(self, seconds: float, *, every: float = 30) -> None:
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.now += every
            self.keeper.keep({VOLUME.id: self.store.item} if self.store.item else {})


@pytest.fixture
def store() -> OneKey:
    return OneKey(replace(ENTRY, deleted_at=NOW - timedelta(hours=5)))


@pytest.mark.parametrize(
    ("seen_s", "told_s", "due"),
    [
        (0, 10 * HOUR, False),  # a clock that leapt ahead, or a system that was off
        (HOUR - 1, 10 * HOUR, False),
        (HOUR, HOUR, True),
        (HOUR, HOUR - 1, False),
        (2 * HOUR - 1, -HOUR * 24 * 365, False),
        (2 * HOUR, -HOUR * 24 * 365, True),  # deleted by a clock that was a year ahead
    ],
)
def test_counting_and_the_time_told_must_agree(seen_s: int, told_s: int, due: bool) -> None:
    assert is_due(replace(ENTRY, seen_s=seen_s), NOW + timedelta(seconds=told_s)) is due


def test_a_volume_is_destroyed_when_it_was_seen_for_its_time(store: OneKey) -> None:
    leader = Leader(store)
    leader.look(HOUR - 60)
    assert not leader.purged
    assert store.writes <= HOUR / STEP_S, "etcd is not written with every look"
    leader.look(120)
    assert leader.purged == [VOLUME.trash_path]
    assert store.item is None


def test_time_without_looks_does_not_count(store: OneKey) -> None:
    leader = Leader(store)
    leader.look(20 * HOUR, every=2 * HOUR)
    assert not leader.purged


def test_leaders_that_follow_each_other_count_on(store: OneKey) -> None:
    for _ in range(7):  # each begins with nothing counted, and loses what it had not written
        leader = Leader(store)
        leader.look(HOUR / 4)
        assert not leader.purged or store.item is None
    assert store.item is None


def test_what_was_taken_back_meanwhile_is_not_destroyed(store: OneKey) -> None:
    leader = Leader(store)
    assert store.item is not None
    stale = {VOLUME.id: Versioned("k", replace(store.item.value, seen_s=2 * HOUR), store.item.revision)}
    store.item = None  # undeleted
    assert not leader.keeper.keep(stale)
    assert not leader.purged


def test_a_destruction_that_takes_long_goes_on(store: OneKey) -> None:
    assert store.item is not None
    store.item = Versioned("k", replace(store.item.value, purging=True), 1)
    leader = Leader(store)
    leader.done = False
    assert not leader.keeper.keep({VOLUME.id: store.item})
    assert store.item is not None
    leader.done = True
    assert leader.keeper.keep({VOLUME.id: store.item})
    assert store.item is None


def test_a_renamed_volume_keeps_its_place_and_its_namespace() -> None:
    renamed: Any = replace(VOLUME, name="other", origin="data")
    assert (renamed.path, renamed.namespace, renamed.trash_path) == (VOLUME.path, VOLUME.namespace, VOLUME.trash_path)
    assert trash_keeper.GAP_S < STEP_S, "a leader that comes back has nothing to count for the time between"
