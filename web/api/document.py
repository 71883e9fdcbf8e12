"""The API's own description: as OpenAPI for programs, as a page for people."""

from typing import Any

from flask import Blueprint, current_app, render_template

from web import openapi, sessions
from web.api.routing import Routes
from web.roles import Right

EXTENSION = "larva-openapi"

routes = Routes("document")
page = Blueprint("api_page", __name__)
page.before_request(sessions.require_user)


def described() -> dict[str, Any]:
    """The OpenAPI document of this application, made once."""
    found: dict[str, Any] = current_app.extensions.setdefault(EXTENSION, {})
    if not found:
        found.update(openapi.document(current_app))
    return found


@routes.get("/v1/openapi.json", Right.PUBLIC)
def document() -> dict[str, Any]:
    """This description, as OpenAPI 3.1."""
    return described()


@page.get("/api")
def show() -> str:
    """The same for people."""
    return render_template("api.html", document=described(), find=openapi.name_of)
