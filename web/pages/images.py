"""The appliance's images, and how each is launched."""

from flask import Blueprint, Response

from web import image_shelf
from web.pages import answering

blueprint = Blueprint("images", __name__)


@blueprint.get("/images")
def list_all() -> Response:
    """Every image that this console hands out."""
    found = image_shelf.of_this_console().offered()
    return answering.page("images.html", {"images": found}, images=found)
