"""Many who read the same at once cost two readings, and nobody gets what was read before he asked."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from larva.errors import Unavailable
from web.shared import SharedReadings

PATIENCE_S = 20
READERS = 8


class Source:
    """Something that is read slowly: each reading waits to be let on, and notes what there was when it began."""

    def __init__(self) -> None:
        self.revision = 0
        self.begun: list[int] = []
        self.on = threading.Semaphore(0)

    def read(self) -> int:
        """Return the revision at which it began."""
        found = self.revision
        self.begun.append(found)
        assert self.on.acquire(timeout=PATIENCE_S)
        return found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def asking(pool: ThreadPoolExecutor, shared: SharedReadings, source: Source, count: int) -> list[Future[int]]:
    """Let so many ask, and return once they all wait."""
    entered = []

    def ask() -> int:
        entered.append(None)
        return shared.read("hosts", source.read)

    asked = [pool.submit(ask) for _ in range(count)]
    until(lambda: len(entered) == count)
    return asked


def test_who_asks_while_it_is_read_shares_the_next_reading_and_none_that_began_before_he_asked() -> None:
    shared, source = SharedReadings(), Source()
    with ThreadPoolExecutor(1 + READERS) as pool:
        first = asking(pool, shared, source, 1)
        until(lambda: source.begun == [0])
        source.revision = 1
        later = asking(pool, shared, source, READERS)
        until(lambda: len(shared._next) == 1)
        source.on.release()
        assert first[0].result(PATIENCE_S) == 0
        until(lambda: len(source.begun) == 2)
        source.on.release(READERS)
        found = [each.result(PATIENCE_S) for each in later]
    assert set(found) == {1}
    assert len(source.begun) <= 3  # who was slow to ask has a reading of his own
    assert not shared._running
    assert not shared._next


def test_different_things_are_read_at_the_same_time() -> None:
    shared, both = SharedReadings(), threading.Barrier(2, timeout=PATIENCE_S)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda key: shared.read(key, lambda: (both.wait(), key)[1]), ["a", "b"]))
    assert found == ["a", "b"]


def test_a_reading_that_fails_fails_for_who_asked_and_is_tried_anew_for_others() -> None:
    shared = SharedReadings()

    def fail() -> int:
        raise Unavailable("etcd is away")

    for _ in range(2):
        with pytest.raises(Unavailable):
            shared.read("hosts", fail)
    assert shared.read("hosts", lambda: 7) == 7


def test_as_many_as_there_are_get_the_newest_however_they_come() -> None:
    """What was written before somebody asked is in what he gets."""
    shared, written, lock = SharedReadings(), [0], threading.Lock()

    def ask(_: int) -> bool:
        with lock:
            written[0] += 1
            mine = written[0]
        return shared.read("hosts", lambda: written[0]) >= mine

    with ThreadPoolExecutor(READERS) as pool:
        assert all(pool.map(ask, range(2000)))
