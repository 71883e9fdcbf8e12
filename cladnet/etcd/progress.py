"""How far a reconciler has come: what it saw happen, what it has dealt with, and how it fared."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The state of one reconciler; revisions are etcd's, 0 before the first."""

    seen_revision: int
    handled_revision: int
    lag_s: float
    """Seconds since the oldest change that was seen and is not dealt with; 0 without any."""
    runs: int
    errors: int
    busy_s: float
    """Seconds spent in all runs."""


class Progress:
    """Notes of one reconciler; changes may come from any thread, runs from one.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = self._handled = self._runs = self._errors = 0
        self._busy_s = 0.0
        self._run: tuple[int, float] | None = None
        """The present run: what had been seen when it began, and when that was."""
        self._waiting_since: float | None = None
        """When the oldest change came that is not dealt with."""
        self._during_since: float | None = None
        """When the first change came that the present run may have missed."""

    def saw(self, revision: int) -> None:
        """A change came in."""
        with self._lock:
            self._seen = max(self._seen, revision)
            if self._run is None:
                self._waiting_since = self._clock() if self._waiting_since is None else self._waiting_since
            elif self._during_since is None:
                self._during_since = self._clock()

    def begin(self) -> None:
        """A run begins: it deals with every change that came before."""
        with self._lock:
            self._run = (self._seen, self._clock())

    def end(self, *, failed: bool) -> None:
        """The run ended."""
        with self._lock:
            if self._run is None:
                raise AssertionError("no run has begun")
            revision, began = self._run
            self._run = None
            self._runs += 1
            self._busy_s += self._clock() - began
            if failed:
                self._errors += 1
                self._waiting_since = self._during_since if self._waiting_since is None else self._waiting_since
            else:
                self._handled = revision
                self._waiting_since = self._during_since
            self._during_since = None

    def report(self) -> Report:
        """How it stands now."""
        with self._lock:
            since = self._during_since if self._waiting_since is None else self._waiting_since
            return Report(
                seen_revision=self._seen,
                handled_revision=self._handled,
                lag_s=0.0 if since is None else max(0.0, self._clock() - since),
                runs=self._runs,
                errors=self._errors,
                busy_s=self._busy_s,
            )
