"""Alarms come when a path turns bad, go when it is good again, and do not flap on what a path is like anyway."""

import random
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from cladnet.agent.alarms import DEFAULT
from cladnet.agent.record import Record
from cladnet.quality import Alarm, AlarmKind

START = 1_800_000_000.0
SECONDS = 5.0
DAY = int(86_400 / SECONDS)

Path = Callable[[int], float | None]


class Told:
    """What a record says of a path while echo after echo comes back, or does not."""

    def __init__(self) -> None:
        self.record = Record("mesh")
        self.number = 0
        self.changes: list[tuple[int, tuple[Alarm, ...]]] = []

    def hear(self, rtts: Iterable[float | None], every_s: float = SECONDS) -> "Told":
        for rtt in rtts:
            if self.record.heard("b", START + self.number * every_s, rtt).alarmed:
                self.changes.append((self.number, self.record.alarms()))
            self.number += 1
        return self

    def kinds(self) -> list[AlarmKind]:
        return [alarm.kind for alarm in self.record.alarms()]


@settings(max_examples=10, deadline=None)
@given(st.floats(0.3, 300), st.integers(0, 10_000), st.sampled_from([5.0, 50.0, 500.0]))
def test_a_constant_path_with_jitter_never_alarms(rtt_ms: float, seed: int, every_s: float) -> None:
    """280 ms from Sydney to London, ±30 %: nobody is woken."""
    chance = random.Random(seed)
    told = Told().hear((rtt_ms * chance.uniform(0.7, 1.3) for _ in range(400)), every_s)
    assert told.changes == []


@settings(max_examples=25, deadline=None)
@given(st.lists(st.none() | st.floats(1, 500), max_size=300))
def test_unreachable_is_raised_and_cleared_by_several_in_a_row_only(rtts: list[float | None]) -> None:
    told = Told().hear([10.0])
    raised, losses, answers = False, 0, 1
    for rtt in rtts:
        told.hear([rtt])
        losses, answers = (losses + 1, 0) if rtt is None else (0, answers + 1)
        if raised and answers >= DEFAULT.answers:
            raised = False
        elif losses >= DEFAULT.losses:
            raised = True
        assert (AlarmKind.UNREACHABLE in told.kinds()) == raised
        if raised:
            assert told.kinds() == [AlarmKind.UNREACHABLE], "which says all there is to say"


def test_a_path_that_breaks_and_heals_alarms_once_and_keeps_its_beginning() -> None:
    told = Told().hear([10.0] * 200).hear([None] * 50)
    (alarm,) = told.record.alarms()
    assert (alarm.kind, alarm.destination) == (AlarmKind.UNREACHABLE, "b")
    assert alarm.since == datetime.fromtimestamp(START + 202 * SECONDS, UTC)
    assert "3 echoes in a row were lost; the last answer came 2027-01-15" in alarm.evidence
    told.hear([10.0] * 1000)
    assert [len(alarms) for _, alarms in told.changes] == [1, 0], "and the losses of the outage are no loss afterwards"


def test_a_peer_that_never_answered_gets_time_to_come_up() -> None:
    told = Told().hear([None] * 10)
    assert told.kinds() == []
    told.hear([None] * 10)
    (alarm,) = told.record.alarms()
    assert "none ever came" in alarm.evidence
    assert Told().hear([None] * 10).hear([3.0] * 100).changes == [], "what was lost before is not the path's"


def test_a_slightly_lossy_path_does_not_alarm() -> None:
    assert Told().hear(None if number % 50 == 49 else 10.0 for number in range(500)).changes == []


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_a_lossy_path_alarms(seed: int) -> None:
    chance = random.Random(seed)
    told = Told().hear(10.0 if chance.random() > 0.2 or number < 20 else None for number in range(200))
    assert any(alarm.kind is AlarmKind.LOSS for _, alarms in told.changes for alarm in alarms)


def test_a_path_that_breaks_early_is_not_called_lossy_first() -> None:
    told = Told().hear([10.0] * 36).hear([None] * 10)
    assert [[alarm.kind for alarm in alarms] for _, alarms in told.changes] == [[AlarmKind.UNREACHABLE]]
    assert Told().hear([10.0] * 30).hear([None, None]).hear([10.0] * 200).changes == [], "two are an accident"


def test_loss_between_both_thresholds_changes_nothing() -> None:
    told = Told().hear([10.0] * 200).hear([None, 10.0] * 10).hear([10.0] * 4)
    assert told.kinds() == [AlarmKind.LOSS]
    before = len(told.changes)
    told.hear(None if number % 33 == 0 else 10.0 for number in range(500))  # 3 %
    assert told.kinds() == [AlarmKind.LOSS]
    assert len(told.changes) == before
    told.hear([10.0] * 200)
    assert told.kinds() == []


def test_a_path_that_takes_twice_its_days_mean_is_slow_until_it_is_not_or_stays_so() -> None:
    told = Told().hear([280.0] * (DAY // 16)).hear([700.0] * 130)
    (alarm,) = told.record.alarms()
    assert (alarm.kind, alarm.evidence) == (AlarmKind.SLOW, alarm.evidence)
    assert "ms within 10m, " in alarm.evidence
    assert "ms within 24h" in alarm.evidence
    told.hear([280.0] * 130)
    assert told.kinds() == []
    stays = Told().hear([280.0] * (DAY // 16)).hear([700.0] * (DAY // 6))
    assert stays.kinds() == [], "the new mean is the measure"
    assert [len(alarms) for _, alarms in stays.changes] == [1, 0]


def test_twice_as_slow_within_a_data_centre_is_no_matter() -> None:
    assert Told().hear([0.4] * 1000).hear([1.5] * 200).changes == []


def test_few_echoes_in_a_large_network_raise_alarms_too() -> None:
    """A thousand peers, each asked every 500 s: no window of ten minutes says anything of a rate."""
    chance = random.Random(1)
    told = Told().hear([10.0] * 20, 500).hear((None if chance.random() < 0.3 else 10.0 for _ in range(150)), 500)
    assert any(alarm.kind is AlarmKind.LOSS for _, alarms in told.changes for alarm in alarms)


def test_what_was_saved_is_where_it_goes_on() -> None:
    told = Told().hear([10.0] * 100).hear([None] * 10)
    again = Record("mesh", told.record.saved())
    assert again.alarms() == told.record.alarms()
    assert [*again.qualities(START + 600)] == [*told.record.qualities(START + 600)]
    again.heard("b", START + 600, 10.0)
    assert again.heard("b", START + 605, 10.0).alarmed


def test_who_is_not_measured_has_no_alarm_and_who_is_gone_no_history() -> None:
    told = Told().hear([10.0] * 100).hear([None] * 10)
    assert told.record.follow([], {"a", "b"})
    assert told.record.alarms() == ()
    assert [pair.destination for pair in told.record.qualities(START)] == ["b"]
    assert not told.record.follow([], {"a"})
    assert not [*told.record.qualities(START)]
