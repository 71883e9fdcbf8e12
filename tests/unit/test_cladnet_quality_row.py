"""A host's row stays small and is written rarely, how large its CLADNet may be, and says what is new."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from cladnet.agent import quality_row
from cladnet.agent.quality_row import (
    BYTES_S,
    MOST_ALARMS,
    MOST_PAIRS,
    PAUSE_S,
    STALE_S,
    compose,
    is_current,
    is_worth_writing,
    pause_s,
)  # fmt: skip
from cladnet.quality import Alarm, AlarmKind, Figures, HostQuality, PairQuality, Window
from larva import codec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FIGURES = Figures(sent=17280, received=17279, min_ms=1279.123, avg_ms=1280.123, p95_ms=1299.123, jitter_ms=100.123)
LOST = Alarm(
    kind=AlarmKind.UNREACHABLE, destination="b", since=NOW,
    evidence="12345 echoes in a row were lost; the last answer came 2026-01-01 00:00:00 UTC",
)  # fmt: skip


def pair(host: str, figures: Figures = FIGURES) -> PairQuality:
    return PairQuality(
        destination=host, measured_at=NOW, answered_at=NOW, losses_in_a_row=17000,
        windows=dict.fromkeys(Window, figures),
    )  # fmt: skip


def row(pairs: int, alarms: int = 0) -> HostQuality:
    names = [f"{number:04}-a-host-with-a-rather-long-name" for number in range(pairs)]
    return compose(
        "a", [pair(name) for name in names], [replace(LOST, destination=name) for name in names[:alarms]], NOW
    )


def test_a_row_is_bounded() -> None:
    small, large = row(3), row(3000, 1500)
    assert (len(small.pairs), small.pairs_left_out) == (3, 0)
    assert (len(large.pairs), large.pairs_left_out) == (MOST_PAIRS, 3000 - MOST_PAIRS)
    assert (len(large.alarms), large.alarms_left_out) == (MOST_ALARMS, 1500 - MOST_ALARMS)
    assert len(codec.encode(large)) < 100_000
    assert codec.decode(codec.encode(large), HostQuality, source="test") == large


@given(st.integers(1, 5000), st.integers(0, 100_000))
def test_all_hosts_together_write_at_a_bounded_rate(hosts: int, row_bytes: int) -> None:
    assert hosts * row_bytes / pause_s(hosts, row_bytes) <= BYTES_S * 1.0001
    assert pause_s(hosts, row_bytes) >= PAUSE_S
    assert pause_s(hosts, row_bytes, is_news=True) <= pause_s(hosts, row_bytes)


def test_the_worst_paths_are_the_ones_that_are_told() -> None:
    lossy = Figures(sent=100, received=50, avg_ms=1.0)
    pairs = [pair(f"h{number:03}", Figures(sent=100, received=100, avg_ms=1.0)) for number in range(200)]
    pairs += [pair("x-lossy", lossy), pair("y-alarmed", FIGURES)]
    told = compose("a", pairs, [replace(LOST, destination="y-alarmed")], NOW)
    assert {"x-lossy", "y-alarmed"} <= {each.destination for each in told.pairs}


def test_only_what_is_new_is_worth_writing() -> None:
    old = compose("a", [pair("b"), pair("c")], [], NOW)

    def later(pairs: list[PairQuality], *alarms: Alarm, seconds: float = 60) -> HostQuality:
        return compose("a", pairs, alarms, NOW + timedelta(seconds=seconds))

    same = [replace(pair("b"), measured_at=NOW + timedelta(seconds=60)), pair("c", replace(FIGURES, avg_ms=1281.0))]
    assert not is_worth_writing(old, later(same))
    assert is_worth_writing(old, later(same, seconds=STALE_S))
    assert is_worth_writing(old, later(same, LOST))
    assert is_worth_writing(old, later(same[:1]))
    assert is_worth_writing(old, later([pair("b"), pair("c", replace(FIGURES, avg_ms=1480.0))]))
    assert is_worth_writing(old, later([pair("b"), pair("c", replace(FIGURES, received=16000))]))
    assert is_worth_writing(old, later([pair("b"), pair("c", Figures(sent=5, received=0))]))


def test_a_row_that_should_have_been_renewed_is_not_current() -> None:
    old = row(3)
    assert is_current(old, 4, 1000, NOW + timedelta(seconds=STALE_S + PAUSE_S))
    assert not is_current(old, 4, 1000, NOW + timedelta(hours=1))
    assert is_current(old, 1000, 30_000, NOW + timedelta(minutes=30))
    assert quality_row.NEWS_PAUSE_S < PAUSE_S
