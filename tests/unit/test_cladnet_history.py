"""The history of a path tells, out of fixed memory, what a computation over every single echo would."""

import math
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cladnet.agent.history import BUCKETS, PACKED_BYTES, SET_BACK_S, STEPS_PER_OCTAVE, PairHistory, bucket, middle_ms
from cladnet.quality import LENGTHS, Figures, Window
from larva.errors import MalformedData

HALF_BUCKET = 2 ** (0.5 / STEPS_PER_OCTAVE)
START = 1_800_000_000.0

rtts = st.none() | st.floats(0.06, 2000)
echoes = st.lists(
    st.tuples(st.sampled_from([0.0, 0.5, 5.0, 50.0, 700.0, 9000.0]) | st.floats(0, 100_000), rtts), max_size=80
)
windows = st.sampled_from(list(Window))

Echo = tuple[float, float | None]


def timed(steps: Sequence[Echo]) -> list[Echo]:
    """The echoes with their moments instead of the pauses between them."""
    at, found = START, []
    for pause, rtt in steps:
        at += pause
        found.append((at, rtt))
    return found


def heard(found: Sequence[Echo]) -> PairHistory:
    history = PairHistory()
    for at, rtt in found:
        history.add(at, rtt)
    return history


def brute_force(found: Sequence[Echo], window: Window, now: float) -> Figures:
    """From every echo there was."""
    length_s, slots = LENGTHS[window]
    slot_s = length_s // slots
    first = next((place for place, (_, rtt) in enumerate(found) if rtt is not None), 0)
    kept = found[first:]
    inside = [at // slot_s > now // slot_s - slots for at, _ in kept]
    answered = [(rtt, is_inside) for (_, rtt), is_inside in zip(kept, inside, strict=True) if rtt is not None]
    steps = [abs(b - a) for (a, _), (b, is_inside) in pairwise(answered) if is_inside]
    values = sorted(rtt for rtt, is_inside in answered if is_inside)
    if not values:
        return Figures(sent=sum(inside), received=0)
    return Figures(
        sent=sum(inside), received=len(values), min_ms=values[0], avg_ms=sum(values) / len(values),
        p95_ms=values[math.ceil(0.95 * len(values)) - 1], jitter_ms=sum(steps) / len(steps) if steps else None,
    )  # fmt: skip


@settings(max_examples=300)
@given(echoes, windows, st.sampled_from([0.0, 3.0, 59.0, 599.0, 5000.0, 90_000.0]))
def test_a_window_says_what_all_its_echoes_say(steps: list[Echo], window: Window, later_s: float) -> None:
    found = timed(steps)
    now = (found[-1][0] if found else START) + later_s
    told, wanted = heard(found).figures(window, now), brute_force(found, window, now)
    assert (told.sent, told.received) == (wanted.sent, wanted.received)
    for name in ("min_ms", "avg_ms", "jitter_ms"):
        assert getattr(told, name) == (
            None if getattr(wanted, name) is None else pytest.approx(getattr(wanted, name), rel=1e-3, abs=2e-3)
        ), name
    if wanted.p95_ms is None:
        assert told.p95_ms is None
    else:
        assert told.p95_ms is not None
        assert wanted.p95_ms / HALF_BUCKET * 0.999 <= told.p95_ms <= wanted.p95_ms * HALF_BUCKET * 1.001


@given(st.floats(0.06, 2600))
def test_the_middle_of_a_bucket_is_near_all_that_falls_into_it(rtt_ms: float) -> None:
    assert 0 < bucket(rtt_ms) < BUCKETS
    assert middle_ms(bucket(rtt_ms)) == pytest.approx(rtt_ms, rel=HALF_BUCKET - 1 + 1e-9)


@settings(max_examples=50)
@given(echoes)
def test_it_comes_back_from_the_disk_as_it_was(steps: list[Echo]) -> None:
    history = heard(timed(steps))
    packed = history.pack()
    assert len(packed) == PACKED_BYTES < 6000, "of fixed size, whatever was measured"
    again = PairHistory.unpack(packed, source="test")
    for one in (history, again):
        one.add(START + 10_000_000, 17.0)
    assert again.pack() == history.pack()
    assert again.quality("b", START) == history.quality("b", START)


@given(
    st.binary(max_size=200)
    | st.binary(min_size=PACKED_BYTES, max_size=PACKED_BYTES)
    | st.just(b"lph1" + b"\xff" * (PACKED_BYTES - 4))
)
def test_what_is_no_history_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedData):
        PairHistory.unpack(data, source="test")


def test_a_clock_that_is_set_back_costs_the_history_and_nothing_else() -> None:
    history = heard([(START + second, 10.0) for second in range(0, 600, 5)])
    history.add(START + 590, 10.0)  # a little: it stands still
    assert history.figures(Window.TEN_MINUTES, START + 595).sent == 121
    history.add(START - 1e6, 20.0)
    assert history.figures(Window.TEN_MINUTES, START - 1e6).avg_ms == 20.0
    assert SET_BACK_S < 600
    history.add(START + 1e8, 30.0)  # ahead, and the old leaves the windows by itself
    assert history.figures(Window.DAY, START + 1e8).sent == 1


def test_losses_before_a_peer_first_answered_are_not_the_paths() -> None:
    history = heard([(START, None), (START + 5, None), (START + 10, 3.0), (START + 15, None)])
    figures = history.figures(Window.MINUTE, START + 15)
    assert (figures.sent, figures.received, figures.loss) == (2, 1, 0.5)
    assert (history.losses_in_a_row, history.answers_in_a_row) == (1, 0)
