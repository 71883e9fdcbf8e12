"""How long a host may keep what nobody wants any more: counted while it is watched, so that no clock decides it."""

from collections.abc import Callable, Collection, Hashable
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Patience(Generic[T]):
    """Remembers since when each of some things has been so without a break.

    A leader that is new counts anew: that is longer than was promised, never shorter.

    Args:
        bound_s: seconds after which a thing is overdue.
    """

    def __init__(self, bound_s: float, *, clock: Callable[[], float] = monotonic) -> None:
        self._bound_s = bound_s
        self._clock = clock
        self._since: dict[T, float] = {}

    def overdue(self, present: Collection[T]) -> frozenset[T]:
        """Note what is so now, forget what is no longer so, and return what has been so for longer than the bound."""
        now = self._clock()
        self._since = {one: self._since.get(one, now) for one in present}
        return frozenset(one for one, since in self._since.items() if now - since >= self._bound_s)
