"""The choice of a language, kept by the browser."""

from flask import Blueprint, current_app, redirect
from werkzeug.wrappers import Response as AnyResponse

from web import sessions
from web.pages import forms
from web.text import COOKIE, Language, text

blueprint = Blueprint("language", __name__)

KEPT_S = 365 * 86400


@blueprint.post("/language")
def choose() -> AnyResponse:
    """Take the language that was chosen, and go back to where that was."""
    sessions.csrf.protect()
    chosen = forms.choice("language", Language, what=text("language"))
    response = redirect(forms.own_path(forms.field("next")) or "/", 303)
    response.set_cookie(
        COOKIE,
        chosen,
        max_age=KEPT_S,
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )
    return response
