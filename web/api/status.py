"""Status tests: ask for one, read the matrix."""

from dataclasses import dataclass

from flask import Blueprint, Response

from cladnet import keys, networks, status_tests
from cladnet.model import TestSpecification
from web import body
from web.context import store

blueprint = Blueprint("status", __name__, url_prefix="/cladnets/<cladnet>")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusWish:
    """What a caller says of a status test."""

    trials: int = 3


@blueprint.post("/status-tests")
def ask(cladnet: str) -> Response:
    """Ask every agent to measure the latency to every peer; the rows come as events, or from `GET …/status`."""
    wish = body.read(StatusWish)
    return body.answer(status_tests.request(store(), networks.find(store(), cladnet).id, trials=wish.trials), 202)


@blueprint.get("/status")
def matrix(cladnet: str) -> Response:
    """The last test asked for, and the rows that answer it so far; without a test the rows that are there."""
    group = networks.find(store(), cladnet).id
    asked = store().get(keys.test_specification(group), TestSpecification)
    test = asked.value if asked else None
    return body.answer({"test": test, "rows": status_tests.matrix(store(), group, test.id if test else None)})
