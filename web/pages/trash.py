"""Deleted volumes that can still be taken back."""

from dataclasses import dataclass

from flask import Blueprint, Response, g

from cbstorage.wanted import trash
from cbstorage.wanted.trash import TrashView
from web import visible
from web.context import store
from web.pages import answering
from web.roles import Right

blueprint = Blueprint("trash", __name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trash:
    """Of one CLADNet."""

    id: str
    name: str
    may: bool
    """Whether the caller may take volumes back, and destroy them."""
    volumes: tuple[TrashView, ...]


@blueprint.get("/volumes/trash")
def show() -> Response:
    """Those of every CLADNet that the caller sees."""
    found = [
        Trash(
            id=each.id,
            name=each.name,
            may=g.caller.allows(Right.USE, each.id),
            volumes=trash.list_all(store(), each.id),
        )
        for each in visible.cladnets()
    ]
    return answering.page("trash.html", {"cladnets": found})
