"""Log in and out."""

import logging

from flask import Blueprint, Response, g, make_response, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from larva.errors import LarvaError
from web import accounts, first_account, sessions
from web.accounts import NotAuthenticated
from web.context import console
from web.pages import forms
from web.problems import problem_of, say_when

log = logging.getLogger(__name__)

blueprint = Blueprint("login", __name__)


@blueprint.get("/login")
def show() -> str:
    """The form."""
    return render_template("login.html", typed={}, problem=None, next=forms.own_path(request.args.get("next", "")))


@blueprint.post("/login")
def log_in() -> AnyResponse:
    """Check name and password and begin a session."""
    sessions.csrf.protect()
    name, password, wanted = (
        forms.field("user")[:100],
        request.form.get("password", ""),
        forms.own_path(forms.field("next")),
    )
    address = request.remote_addr or "?"
    guard = console().login_guard
    try:
        guard.check(address, name)
        store = console().store()
        first_account.found(store, console().state_directory)
        try:
            user = accounts.authenticate(store, name, password)
        except NotAuthenticated:
            guard.failed(address, name)
            log.warning("login of %r from %s failed", name[:80], address)
            raise
        sessions.begin(store, user)
    except LarvaError as error:
        problem = problem_of(error)
        page = render_template("login.html", typed={"user": name}, problem=problem, next=wanted)
        response: Response = make_response(page, problem.status)
        say_when(response, error)
        return response
    first_account.used(console().state_directory, user.value.name)
    log.info("%s logged in from %s", user.value.name, address)
    return redirect(wanted or "/", 303)


@blueprint.post("/logout")
def log_out() -> AnyResponse:
    """End the session."""
    sessions.csrf.protect()
    sessions.end(console().store())
    g.pop("user", None)
    return redirect("/login", 303)
