"""The relay's delay line: order, due times, bounds."""

from hypothesis import given
from hypothesis import strategies as st

from images.clouds.lab import relay
from images.clouds.lab.relay import DelayLine


@given(
    st.floats(0, 1, allow_nan=False),
    st.lists(st.tuples(st.floats(0, 0.5, allow_nan=False), st.binary(min_size=1, max_size=20)), max_size=30),
    st.floats(0.001, 0.3, allow_nan=False),
)
def test_every_frame_comes_out_once_in_order_and_never_early(
    delay: float, arrivals: list[tuple[float, bytes]], step: float
) -> None:
    line = DelayLine(delay)
    now, sent = 0.0, []
    for gap, frame in arrivals:
        now += gap
        sent.append((now, frame))
        line.put(frame, now)
    got: list[bytes] = []
    clock = 0.0
    while line.due() is not None:
        while (frame := line.take(clock)) is not None:
            assert clock >= sent[len(got)][0] + delay
            got.append(frame)
        clock += step
    assert got == [frame for _, frame in sent]
    assert line.dropped == 0


def test_what_does_not_fit_is_dropped_and_counted() -> None:
    line = DelayLine(1.0)
    half = bytes(relay.MAX_QUEUED // 2)
    for _ in range(3):
        line.put(half, 0.0)
    assert line.dropped == 1
    assert line.take(0.5) is None
    assert [line.take(2.0) is None for _ in range(3)] == [False, False, True]
    line.put(half, 3.0)
    assert line.due() == 4.0
