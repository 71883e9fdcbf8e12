"""The accounts of the console, for administrators: the list, and one account with what can be done to it."""

from collections.abc import Callable

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from cladnet import networks
from larva.errors import InvalidInput, LarvaError
from web import access_tokens, accounts, logins, passwords
from web.account_model import User
from web.context import store
from web.pages import forms
from web.problems import Problem, problem_of
from web.roles import AccountRole
from web.text import text

blueprint = Blueprint("users", __name__)

Answer = AnyResponse | tuple[str, int]


@blueprint.get("/users")
def list_all() -> str:
    """Every account, and the form for another."""
    return _list(typed={}, cladnets=[], problem=None)


@blueprint.post("/users")
def create() -> Answer:
    """Create what the form says; refused, the form comes back as it was typed, but for the password."""
    try:
        password = request.form.get("password", "")
        passwords.check(password)
        made = accounts.create(store(), forms.field("name"), password, *_role())
    except LarvaError as error:
        problem, typed = problem_of(error), request.form.to_dict()
        return _list(typed=typed, cladnets=request.form.getlist("cladnets"), problem=problem), problem.status
    return redirect(f"/users/{made.name}", 303)


@blueprint.get("/users/<user>")
def show(user: str) -> str:
    """One account."""
    return _show(accounts.require(store(), user).value)


@blueprint.post("/users/<user>/role")
def change_role(user: str) -> Answer:
    """Give it another role."""
    return _done("role", user, lambda found: accounts.set_role(store(), found.name, *_role()))


@blueprint.post("/users/<user>/password")
def set_password(user: str) -> Answer:
    """Give it another password."""
    password = request.form.get("password", "")
    return _done("password", user, lambda found: accounts.set_password(store(), found.name, password))


@blueprint.post("/users/<user>/sessions/end")
def end_sessions(user: str) -> AnyResponse:
    """Log it out everywhere."""
    logins.end_all(store(), accounts.require(store(), user).value.name)
    return redirect(f"/users/{user}", 303)


@blueprint.post("/users/<user>/disable")
def disable(user: str) -> Answer:
    """Let nobody in to an account whose name was typed as confirmation."""
    return _done("disable", user, lambda found: accounts.disable(store(), _confirmed(found)))


@blueprint.post("/users/<user>/enable")
def enable(user: str) -> AnyResponse:
    """Let people in again."""
    return redirect(f"/users/{accounts.enable(store(), user).name}", 303)


@blueprint.post("/users/<user>/delete")
def delete(user: str) -> Answer:
    """Delete an account whose name was typed as confirmation."""
    return _done("delete", user, lambda found: accounts.delete(store(), _confirmed(found)), then="/users")


def _done(form: str, user: str, change: Callable[[User], object], *, then: str | None = None) -> Answer:
    """Change an account as one of its page's forms says; refused, the page comes back with why beside that form.

    Args:
        then: where it goes on; at the account's page without it.
    """
    found = accounts.require(store(), user).value
    try:
        change(found)
    except LarvaError as error:
        problem = problem_of(error)
        return _show(found, **{form: problem}), problem.status
    return redirect(then or f"/users/{found.name}", 303)


def _role() -> tuple[AccountRole, tuple[str, ...]]:
    """The role that was chosen, and the CLADNets that were ticked, by id."""
    role = forms.choice("role", AccountRole, what=text("user.role"))
    return role, tuple(networks.find(store(), each).id for each in request.form.getlist("cladnets"))


def _confirmed(user: User) -> str:
    """The account's name, where it was typed as confirmation."""
    if forms.field("confirm") != user.name:
        raise InvalidInput(text("delete.mismatch"), hint=text("delete.mismatch.hint", wanted=user.name))
    return user.name


def _list(*, typed: dict[str, str], cladnets: list[str], problem: Problem | None) -> str:
    return render_template(
        "users.html", users=accounts.list_all(store()), networks=networks.list_all(store()), roles=_roles(),
        typed=typed, ticked=cladnets, problem=problem,
    )  # fmt: skip


def _show(user: User, **problems: Problem) -> str:
    """The page of one account.

    Args:
        problems: what each of its forms was refused for.
    """
    return render_template(
        "user.html", user=user, networks=networks.list_all(store()), roles=_roles(), problems=problems,
        sessions=logins.list_of(store(), user.name), tokens=len(access_tokens.list_all(store(), user.name)),
    )  # fmt: skip


def _roles() -> list[AccountRole]:
    """The least first."""
    return [AccountRole.VIEWER, AccountRole.TENANT, AccountRole.OPERATOR, AccountRole.ADMIN]
