"""The placement advisor: where the members of a clustered service should run, and why there."""

from dataclasses import dataclass

from flask import Blueprint, Response, request

from cladnet.placement import advice
from cladnet.placement.model import Recommendation, Survive
from larva import codec
from larva.errors import InvalidInput
from web import visible
from web.context import store
from web.pages import answering
from web.problems import Problem, problem_of

blueprint = Blueprint("placement", __name__)

WIDEST = "widest"
"""Asks for the widest failure that these hosts can survive."""
SIZES = (3, 5, 7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What the URL asks."""

    cladnet: str = ""
    nodes: int = SIZES[0]
    survive: str = WIDEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Advised:
    """The answer for one CLADNet: hosts, or what is missing for them."""

    placement: Recommendation | None
    problem: Problem | None = None


@blueprint.get("/placement")
def show() -> Response:
    """For the CLADNet of `?cladnet=`, by id or name; the first one without it."""
    question = codec.from_texts(request.args.to_dict(), Question, source="query")
    found = visible.cladnets()
    shown = visible.cladnet(question.cladnet) if question.cladnet else next(iter(found), None)
    return answering.page(
        "placement.html",
        {"cladnet": shown, "advice": _advised(shown.id, question) if shown else None},
        cladnets=found,
        shown=shown,
        question=question,
        sizes=SIZES,
        policies=(WIDEST, *Survive),
    )


def _advised(group: str, question: Question) -> Advised:
    try:
        if question.survive == WIDEST:
            return Advised(placement=advice.widest_of_cladnet(store(), group, nodes=question.nodes))
        survive = _policy(question.survive)
        return Advised(placement=advice.of_cladnet(store(), group, nodes=question.nodes, survive=survive))
    except InvalidInput as error:
        return Advised(placement=None, problem=problem_of(error))


def _policy(asked: str) -> Survive:
    if asked not in list(Survive):
        raise InvalidInput(f"{asked[:20]!r} is nothing that a service survives", hint=f"choose: {', '.join(Survive)}")
    return Survive(asked)
