"""Whom to send the next echo, and when: each peer regularly, in no order, and no more than a few a second. Pure."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

GAP_S = 0.5
"""Between two echoes of this host, whoever they are for: 2 a second, in all its CLADNets together."""
FASTEST_S = 5.0
"""Between two echoes to one peer, however few there are."""
SPREAD = 0.25
"""A pause is longer or shorter by up to this part: hosts that began together do not stay together."""


@dataclass(slots=True)
class _Turn:
    due: float
    waiting: bool = False
    """Its echo is under way."""


def period_s(peers: int) -> float:
    """Return the seconds between two echoes to one peer: 5 up to ten of them, 50 with 100, 500 with 1,000."""
    return max(FASTEST_S, peers * GAP_S)


class Cadence(Generic[T]):
    """Gives out turns.

    Args:
        uniform: draws evenly from a range, as `random.uniform` does.
    """

    def __init__(self, uniform: Callable[[float, float], float]) -> None:
        self._uniform = uniform
        self._turns: dict[T, _Turn] = {}
        self._free_at = 0.0

    def follow(self, peers: Collection[T], now: float) -> None:
        """Give turns to these peers from now on: a new one within a period, and none to who is not among them."""
        for gone in self._turns.keys() - set(peers):
            del self._turns[gone]
        for peer in peers:
            if peer not in self._turns:
                self._turns[peer] = _Turn(now + self._uniform(0, period_s(len(peers))))

    def take(self, now: float) -> T | None:
        """Return whose turn it is, None when it is nobody's yet; done() has to follow."""
        if now < self._free_at:
            return None
        ready = [(turn.due, peer) for peer, turn in self._turns.items() if turn.due <= now and not turn.waiting]
        if not ready:
            return None
        _, peer = min(ready, key=lambda each: each[0])
        self._turns[peer].waiting = True
        self._free_at = now + GAP_S
        return peer

    def done(self, peer: T, now: float, *, soon: bool = False) -> None:
        """The echo of a turn was answered or lost.

        Args:
            soon: one answer more decides something: ask again as if there were few peers.
        """
        turn = self._turns.get(peer)
        if turn is not None:
            pause = FASTEST_S if soon else period_s(len(self._turns))
            turn.due = now + pause * self._uniform(1 - SPREAD, 1 + SPREAD)
            turn.waiting = False

    def next_at(self) -> float | None:
        """Return when the next turn is, None when nobody waits for one."""
        due = min((turn.due for turn in self._turns.values() if not turn.waiting), default=None)
        return None if due is None else max(due, self._free_at)
