"""One's own account: its password, and where one is logged in."""

from flask import Blueprint, Response, g, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from larva.errors import InvalidInput, LarvaError
from web import accounts, logins, own_password, sessions
from web.context import console, store
from web.problems import Problem, problem_of, say_when
from web.text import text

blueprint = Blueprint("account", __name__)


@blueprint.get("/account")
def show() -> str:
    """The account, and its sessions."""
    return _show()


@blueprint.post("/account/password")
def change_password() -> AnyResponse:
    """Change the password; every session ends but this one, which begins anew."""
    try:
        own_password.check_guesses()
        wanted = request.form.get("password", "")
        if wanted != request.form.get("again", ""):
            raise InvalidInput(text("account.password.mismatch"), hint=text("account.password.mismatch.hint"))
        own_password.change(request.form.get("present", ""), wanted)
    except LarvaError as error:
        problem = problem_of(error)
        response = Response(_show(problem), problem.status, mimetype="text/html")
        say_when(response, error)
        return response
    if sessions.own_id() is not None:
        sessions.begin(console().store(), accounts.authenticate(store(), g.user.name, wanted))
    return redirect("/account", 303)


@blueprint.post("/account/sessions/<session>/end")
def end_session(session: str) -> AnyResponse:
    """Log out in one place."""
    g.caller.require_whole()
    logins.end(store(), g.user.name, session)
    return redirect("/account", 303)


@blueprint.post("/account/sessions/end")
def end_every_session() -> AnyResponse:
    """Log out everywhere, here too."""
    g.caller.require_whole()
    logins.end_all(store(), g.user.name)
    return redirect("/login", 303)


def _show(problem: Problem | None = None) -> str:
    return render_template(
        "account.html", user=g.user, sessions=logins.list_of(store(), g.user.name), own=sessions.own_id(),
        problem=problem,
    )  # fmt: skip
