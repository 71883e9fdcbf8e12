"""Which snapshots a schedule makes and removes, whatever the clocks say."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbstorage.leading import snapshot_plan
from cbstorage.volume_model import Snapshot, SnapshotPhase, SnapshotSchedule
from cladnet.etcd.store import Versioned

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOURLY = SnapshotSchedule(volume_id="11112222", every_s=3600, keep=2)


def snap(
    name: str,
    revision: int,
    *,
    age_s: float = 0,
    scheduled: bool = True,
    phase: SnapshotPhase = SnapshotPhase.MADE,
) -> Versioned[Snapshot]:
    asked = NOW - timedelta(seconds=age_s)
    value = Snapshot(volume_id="11112222", name=name, phase=phase, scheduled=scheduled, asked_at=asked)
    return Versioned(name, value, revision)


def names(items: tuple[Versioned[Snapshot], ...]) -> list[str]:
    return [item.value.name for item in items]


@pytest.mark.parametrize(
    ("age_s", "due"),
    [
        (3599, False),
        (3600, True),
        (100 * 3600, True),
        (-60, False),  # the leader before had a clock a minute ahead
        (-365 * 86400, True),  # or a year
    ],
)
def test_when_another_is_due(age_s: float, due: bool) -> None:
    plan = snapshot_plan.plan([snap("auto-a", 1, age_s=age_s)], HOURLY, NOW)
    assert plan.schedule == ("auto-20260601-120000" if due else None)
    assert plan.again is due


def test_a_schedule_begins_at_once() -> None:
    assert snapshot_plan.plan([snap("mine", 1, scheduled=False)], HOURLY, NOW).schedule


def test_no_other_is_asked_for_while_one_is_not_made() -> None:
    waiting = snap("auto-a", 1, age_s=9999, phase=SnapshotPhase.WANTED)
    plan = snapshot_plan.plan([waiting], HOURLY, NOW)
    assert plan.schedule is None
    assert plan.make == (waiting,)


def test_a_clock_that_was_wrong_once_is_forgotten() -> None:
    future = snap("auto-2030", 1, age_s=-4 * 365 * 86400)
    assert snapshot_plan.plan([future], HOURLY, NOW).schedule
    assert snapshot_plan.plan([future, snap("auto-now", 2)], HOURLY, NOW).schedule is None


def test_the_last_stay_by_the_order_of_etcd_and_people_s_own_always() -> None:
    mine = [snap(f"mine-{number}", number, scheduled=False, age_s=10**7) for number in range(5)]
    autos = [snap(f"auto-{number}", 10 + number, age_s=number) for number in range(4)]
    assert names(snapshot_plan.plan([*autos, *mine], HOURLY, NOW).expire) == ["auto-0", "auto-1"]
    assert not snapshot_plan.plan([*autos, *mine], None, NOW).expire


def test_what_is_to_be_removed_is() -> None:
    gone = snap("mine", 1, scheduled=False, phase=SnapshotPhase.DELETING)
    assert snapshot_plan.plan([gone], None, NOW).remove == (gone,)


def test_another_volume_s_snapshots_do_not_count() -> None:
    found = snapshot_plan.plans({("99998888", "auto-a"): snap("auto-a", 1)}, {}, ["11112222"], NOW)
    assert found.keys() == {"11112222"}
    assert not found["11112222"].make


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 48))
def test_a_schedule_never_leaves_more_than_it_keeps(scheduled: list[bool], keep: int) -> None:
    items = [snap(f"s-{number}", number, scheduled=one) for number, one in enumerate(scheduled)]
    schedule = SnapshotSchedule(volume_id="11112222", every_s=3600, keep=keep)
    expire = snapshot_plan.plan(items, schedule, NOW).expire
    left = [item for item in items if item not in expire]
    assert sum(item.value.scheduled for item in left) == min(keep, sum(scheduled))
    assert sum(not item.value.scheduled for item in left) == len(scheduled) - sum(scheduled)
