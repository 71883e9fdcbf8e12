"""Status tests: ask for one, read the matrix."""

from dataclasses import dataclass

from cladnet import keys, status_tests
from cladnet.model import HostStatus, TestSpecification
from web.api.routing import Routes
from web.context import store
from web.roles import Right

routes = Routes("status", "/cladnets/<cladnet>")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusWish:
    """What a caller says of a status test."""

    trials: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A status test and what has been measured for it."""

    test: TestSpecification | None
    """The last one that was asked for."""
    rows: tuple[HostStatus, ...]
    """Those that answer it so far; without a test those that are there."""


@routes.post("/status-tests", Right.USE, status=202)
def ask(group: str, wish: StatusWish) -> TestSpecification:
    """Ask every agent to measure the latency to every peer; the rows come as events, or from `GET …/status`."""
    return status_tests.request(store(), group, trials=wish.trials)


@routes.get("/status")
def matrix(group: str) -> Matrix:
    """The last test asked for, and the rows that answer it so far; without a test the rows that are there."""
    asked = store().get(keys.test_specification(group), TestSpecification)
    test = asked.value if asked else None
    return Matrix(test=test, rows=status_tests.matrix(store(), group, test.id if test else None))
