"""The first page."""

from flask import Blueprint, Response

from web import overview, visible
from web.context import store
from web.pages import answering

blueprint = Blueprint("overview", __name__)


@blueprint.get("/")
def show() -> Response:
    """What is wrong, with causes and remedies, and what is there."""
    return answering.page("overview.html", overview.read(store(), visible.cladnets()))
