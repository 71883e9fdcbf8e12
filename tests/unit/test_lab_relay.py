"""The relay's delay line: order, due times, bounds, rates."""

import itertools
import struct

from hypothesis import given
from hypothesis import strategies as st

from images.clouds.lab import relay
from images.clouds.lab.relay import VIRTIO_HEADER, DelayLine, Wire, wire_bytes


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


def frame(size: int, *, kind: int = 0, part: int = 0) -> bytes:
    """A frame of so many bytes; a large segment of TCP over IPv4 is cut into parts of `part` bytes."""
    content = bytearray(size)
    content[14 + 20 + 12] = 8 << 4  # TCP's header has eight words with its time stamps
    return struct.pack("<BBHHHH", 0, kind, 0, part, 14 + 20, 0) + bytes(content)


def test_a_large_segment_counts_as_the_packets_it_becomes() -> None:
    headers = 14 + 20 + 32
    assert wire_bytes(frame(1514)) == 1514
    assert wire_bytes(frame(headers + 3 * 1448, kind=1, part=1448)) == 3 * (headers + 1448)
    assert wire_bytes(frame(headers + 3 * 1448 + 1, kind=0x81, part=1448)) == 3 * (headers + 1448) + headers + 1
    assert wire_bytes(frame(14 + 20 + 8 + 2 * 1400, kind=5, part=1400)) == 2 * (14 + 20 + 8 + 1400)


@given(
    st.lists(
        st.tuples(st.floats(0, 0.02, allow_nan=False), st.integers(60, 1514), st.booleans()), min_size=1, max_size=60
    ),
    st.floats(1, 20, allow_nan=False),
)
def test_what_an_uplink_sends_to_all_keeps_its_rate(arrivals: list[tuple[float, int, bool]], mbit_s: float) -> None:
    wire = Wire(mbit_s)
    lines = DelayLine(0.01, wire), DelayLine(0.0, wire)
    now = 0.0
    for gap, size, first in arrivals:
        now += gap
        lines[0 if first else 1].put(frame(size), now)
    sent = []
    for line in lines:
        while (due := line.due()) is not None:
            taken = line.take(due)
            assert taken is not None
            sent.append((due - line.delay_s, len(taken) - VIRTIO_HEADER))
    sent.sort()
    assert len(sent) + sum(line.dropped for line in lines) == len(arrivals)
    for (before, _), (after, size) in itertools.pairwise(sent):
        assert after - before >= size * 8 / (mbit_s * 1e6) - 1e-9


def test_an_uplink_that_is_behind_drops_instead_of_letting_wait_for_ever() -> None:
    wire = Wire(1.0)
    line = DelayLine(0.0, wire)
    for _ in range(100):
        line.put(frame(1500), 0.0)  # 12 ms each
    assert 0.1 <= 0.012 * (100 - line.dropped) <= 0.1 + 2 * 0.012
    assert wire.send(frame(1500), 10.0) == 10.012
