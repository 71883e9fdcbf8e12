"""The schedule and the gaps of the failure suite."""

import itertools

import pytest
from faults import schedule, workload
from faults.schedule import BRIEF, Ground, Kind
from faults.workload import Note

GROUND = Ground(clouds=("a", "b", "c"), hosts=("a-1", "b-1", "c-1"))


def test_a_seed_is_a_schedule() -> None:
    first = [list(itertools.islice(schedule.endless(7, GROUND), 50)) for _ in range(2)]
    assert first[0] == first[1]
    assert first[0] != list(itertools.islice(schedule.endless(8, GROUND), 50))


@pytest.mark.parametrize("seed", range(20))
def test_each_round_has_everything_once(seed: int) -> None:
    found = list(itertools.islice(schedule.endless(seed, GROUND), 2 * len(Kind)))
    for events in (found[: len(Kind)], found[len(Kind) :]):
        assert {event.kind for event in events} == set(Kind)
    assert all(event.target in ("", *GROUND.clouds, *GROUND.hosts) for event in found)
    assert sorted(event.kind for event in schedule.brief(seed, GROUND)) == sorted(BRIEF)


def test_a_line_cut_short_is_no_acknowledgement() -> None:
    assert workload.parse("\n0 1.5\n1 2.5\n2\n3 4.0\n") == [
        Note(number=0, at_s=1.5), Note(number=1, at_s=2.5), Note(number=3, at_s=4.0)
    ]  # fmt: skip


def test_gaps_are_those_that_touch_the_span() -> None:
    notes = [Note(number=number, at_s=at_s) for number, at_s in enumerate((0.0, 50.0, 51.0, 58.0, 60.0))]
    assert workload.gaps(notes, 50.5, 60.0) == 7.0
    assert workload.gaps(notes, 10.0, 60.0) == 50.0
    assert workload.gaps(notes, 59.0, 75.0) == 15.0
    assert workload.gaps([], 0.0, 9.0) == 0.0
