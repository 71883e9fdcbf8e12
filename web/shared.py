"""What many ask for at once, as when all pages were told of a change, is read once for all of them."""

import threading
from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

T = TypeVar("T")


class _Reading:
    """One reading and what came of it."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.value: Any = None
        self.error: Exception | None = None


class SharedReadings:
    """Nobody gets what was read before he asked: who comes while a reading runs waits for the next one.

    What is read is shared between threads, hence must not be changed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[Hashable, _Reading] = {}
        self._next: dict[Hashable, _Reading] = {}

    def read(self, key: Hashable, read: Callable[[], T]) -> T:
        """Return what `read` returns, called by this thread or by another one that asks for the same now.

        Args:
            key: what is read; whoever gives the same key gives a `read` that does the same.

        Raises:
            Exception: what `read` raised.
        """
        with self._lock:
            before = self._running.get(key)
            if before is None:
                mine = self._running[key] = _Reading()
                leading = True
            else:
                leading = key not in self._next
                mine = self._next.setdefault(key, _Reading())
        if not leading:
            mine.done.wait()
        else:
            if before is not None:
                before.done.wait()  # whose end has made this one the running one
            self._lead(key, mine, read)
        if mine.error is not None:
            raise mine.error
        return cast("T", mine.value)

    def _lead(self, key: Hashable, mine: _Reading, read: Callable[[], object]) -> None:
        try:
            mine.value = read()
        except Exception as error:  # noqa: BLE001 - raised by everyone who asked
            mine.error = error
        finally:
            with self._lock:
                following = self._next.pop(key, None)
                if following is None:
                    del self._running[key]
                else:
                    self._running[key] = following
            mine.done.set()
