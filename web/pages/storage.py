"""The storage cluster of one CLADNet."""

from flask import Blueprint, Response, request

from web import storage_page, visible
from web.context import store
from web.pages import answering

blueprint = Blueprint("storage", __name__)


@blueprint.get("/storage")
def show() -> Response:
    """That of the CLADNet of `?cladnet=`, by id or name; without it the first one that has storage."""
    wanted = request.args.get("cladnet", "")
    found = visible.cladnets()
    facts = None
    shown = visible.cladnet(wanted) if wanted else next(iter(found), None)
    for each in [shown] if wanted or shown is None else found:
        if each is not None and (facts := storage_page.read(store(), each)) is not None:
            shown = each
            break
    return answering.page("storage.html", {"cladnet": shown, "storage": facts}, cladnets=found, shown=shown)
