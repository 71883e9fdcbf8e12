"""What every unit test shares: hypothesis without deadlines, since no test asserts a wall-clock figure.

Each run of the tests tries the same examples. `LARVA_EXAMPLES=100000 .venv/bin/pytest tests/unit -k fuzz` tries that
many others of each property; a failure prints the example and `@reproduce_failure(...)`, to put above the test.
"""

import asyncio
import os
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True, database=None)
settings.register_profile(
    "search", deadline=None, max_examples=int(os.environ.get("LARVA_EXAMPLES", "0")) or 100, print_blob=True
)
settings.load_profile("search" if os.environ.get("LARVA_EXAMPLES") else "house")


class _Skipping(selectors.SelectSelector):
    """Waits in no time: the clock is put forward instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        self.now += timeout or 0.0
        return super().select(0)


class _VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock goes on only while all wait."""

    def __init__(self) -> None:
        self.skipping = _Skipping()
        super().__init__(self.skipping)

    def time(self) -> float:
        return self.skipping.now


@pytest.fixture(scope="session")
def run_virtually() -> Callable[[Coroutine[Any, Any, Any]], tuple[Any, float]]:
    """Runs a coroutine in no time: what it returned, and the seconds it took by the loop's own clock."""

    def run(work: Coroutine[Any, Any, Any]) -> tuple[Any, float]:
        with asyncio.Runner(loop_factory=_VirtualLoop) as runner:
            done = runner.run(work)
            return done, runner.get_loop().time()

    return run
