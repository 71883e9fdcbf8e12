"""Deleted volumes that can still be taken back."""

from flask import Blueprint, Response, g

from cbstorage.wanted import trash
from web import visible
from web.context import store
from web.pages import answering
from web.roles import Right

blueprint = Blueprint("trash", __name__)


@blueprint.get("/volumes/trash")
def show() -> Response:
    """Those of every CLADNet that the caller sees."""
    found = [
        {
            "cladnet": each.name,
            "may": g.caller.allows(Right.USE, each.id),
            "volumes": trash.list_all(store(), each.id),
            "id": each.id,
        }
        for each in visible.cladnets()
    ]
    return answering.page("trash.html", {"cladnets": found})
