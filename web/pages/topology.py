"""The picture of one CLADNet."""

from flask import Blueprint, Response, request

from web import topology, visible
from web.context import shared
from web.pages import answering

blueprint = Blueprint("topology", __name__)


@blueprint.get("/topology")
def show() -> Response:
    """The CLADNet of `?cladnet=`, by id or name; the first one without it."""
    wanted = request.args.get("cladnet", "")
    found = visible.cladnets()
    shown = visible.cladnet(wanted) if wanted else next(iter(found), None)
    picture = shared(topology.read, shown) if shown else None
    return answering.page(
        "topology.html", {"cladnet": shown, "topology": picture}, cladnets=found, shown=shown, most=topology.MOST_PATHS
    )
