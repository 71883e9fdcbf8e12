"""The first page."""

from flask import Blueprint, Response

from web import overview, visible
from web.context import shared
from web.pages import answering

blueprint = Blueprint("overview", __name__)


@blueprint.get("/")
def show() -> Response:
    """What is wrong, with causes and remedies, and what is there."""
    return answering.page(
        "overview.html", overview.compose(shared(overview.part_of, each) for each in visible.cladnets())
    )
