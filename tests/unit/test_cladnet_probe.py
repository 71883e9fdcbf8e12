"""A measurement takes bounded time whoever is silent, sends at a bounded rate, and can be given up. In virtual time."""

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import Any, Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cladnet.agent import probe
from cladnet.model import PairLatency
from cladnet.status_pace import ANSWER_S, AT_ONCE, FAR_S, HOST_ECHOES_S, longest_s

Run = Callable[..., tuple[Any, float]]


class Line:
    """Stands for the socket: peers below `silent` never answer, the others lose every `lossy`-th echo."""

    def __init__(self, *, silent: int, lossy: int = 0, rtt_s: float = 0.3) -> None:
        self._silent, self._lossy, self._rtt_s = silent, lossy, rtt_s
        self.sent: list[tuple[float, IPv4Address]] = []
        self.peers_at_once = 0
        self._under_way: dict[IPv4Address, int] = {}
        self._asked: dict[IPv4Address, int] = {}

    def __call__(self, _interface: str, _answer_s: float) -> Self:
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    async def send(self, address: IPv4Address) -> float | None:
        self.sent.append((asyncio.get_running_loop().time(), address))
        self._under_way[address] = self._under_way.get(address, 0) + 1
        self.peers_at_once = max(self.peers_at_once, len(self._under_way))
        nth = self._asked[address] = self._asked.get(address, 0) + 1
        lost = int(address) % 10_000 < self._silent or (self._lossy > 0 and nth % self._lossy == 0)
        await asyncio.sleep(ANSWER_S if lost else self._rtt_s)
        self._under_way[address] -= 1
        if not self._under_way[address]:
            del self._under_way[address]
        return None if lost else self._rtt_s * 1000


def measured(run: Run, line: Line, peers: int, trials: int) -> tuple[tuple[PairLatency, ...], float]:
    addresses = {f"h{number:04}": IPv4Address(10_000 * 16_000 + number) for number in range(peers)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "Echoes", line)
        return run(probe._measure(addresses, "cbnet0", trials, ANSWER_S, lambda: False))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 80), st.integers(1, 20), st.floats(0, 1), st.integers(0, 9))
def test_every_peer_is_asked_as_often_as_wanted_in_bounded_time(
    run_virtually: Run, peers: int, trials: int, share: float, lossy: int
) -> None:
    line = Line(silent=int(peers * share), lossy=lossy, rtt_s=FAR_S)
    row, took = measured(run_virtually, line, peers, trials)
    assert [cell.destination for cell in row] == sorted(cell.destination for cell in row)
    assert len(row) == peers
    for number, cell in enumerate(row):
        assert cell.sent == trials
        assert (cell.received == 0) == (number < int(peers * share) or (lossy == 1) or cell.avg_ms is None)
    assert len(line.sent) == peers * (trials + 1)
    assert line.peers_at_once <= AT_ONCE
    assert took <= longest_s(peers, trials)
    times = sorted(at for at, _ in line.sent)
    for first, last in zip(times, times[HOST_ECHOES_S:], strict=False):
        assert last - first >= 1 - 1e-6, "more than HOST_ECHOES_S within a second"


def test_silence_costs_little_more_with_a_hundred_trials_than_with_one(run_virtually: Run) -> None:
    _, one = measured(run_virtually, Line(silent=20), 20, 1)
    _, hundred = measured(run_virtually, Line(silent=20), 20, 100)
    assert one < 3 * ANSWER_S
    assert hundred < 3 * ANSWER_S + 20 * 101 / HOST_ECHOES_S + 100 * probe.LOST_GAP_S


def test_what_nobody_wants_any_more_is_given_up(run_virtually: Run) -> None:
    line, looks = Line(silent=0), 0

    def unwanted() -> bool:
        nonlocal looks
        looks += 1
        return looks > 3

    addresses = {f"h{number}": IPv4Address(number) for number in range(1, 40)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "Echoes", line)
        with pytest.raises(probe.GivenUp):
            run_virtually(probe._measure(addresses, "cbnet0", 100, ANSWER_S, unwanted))
    assert len(line.sent) < 100
