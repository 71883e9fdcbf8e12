"""Slow down who keeps failing: so many failures per source in a time, in bounded memory."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from larva.errors import LarvaError

MOST_SOURCES = 4096


class TooManyFailures(LarvaError):
    """The source has failed too often lately."""

    code = "too-many-failures"
    http_status = 429

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            "too many failed attempts from this address", hint=f"wait {retry_after_s} s, then try the right secret"
        )
        self.retry_after_s = retry_after_s


class Throttle:
    """A leaky bucket per source; safe between threads. Each process of the server has its own.

    Args:
        failures: how many a source has free; as many again become free in each `per_s` seconds.
        clock: seconds that only grow.
    """

    def __init__(self, *, failures: int, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = failures
        self._seconds_each = per_s / failures
        self._clock = clock
        self._lock = threading.Lock()
        self._level: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, source: str) -> None:
        """Raise TooManyFailures while the source's bucket is full."""
        with self._lock:
            level = self._now(source)
        if level > self._most - 1:
            raise TooManyFailures(max(1, round((level - self._most + 1) * self._seconds_each)))

    def failed(self, source: str) -> None:
        """Count one failure; the source unheard of for longest is forgotten when memory would grow."""
        with self._lock:
            self._level[source] = (self._now(source) + 1, self._clock())
            self._level.move_to_end(source)
            while len(self._level) > MOST_SOURCES:
                self._level.popitem(last=False)

    def _now(self, source: str) -> float:
        level, at = self._level.get(source, (0.0, 0.0))
        return max(0.0, level - (self._clock() - at) / self._seconds_each) if level else 0.0
