"""Access tokens: one's own, and everybody's for an administrator."""

from flask import Blueprint, g, redirect, render_template, request
from werkzeug.wrappers import Response as AnyResponse

from larva.errors import InvalidInput, LarvaError
from web import access_tokens
from web.context import store
from web.pages import forms
from web.problems import Problem, problem_of
from web.roles import ALLOWED, AccountRole, Caller, Right
from web.text import text

blueprint = Blueprint("tokens", __name__)

DAYS = (1, 7, 30, 90, 365)
DAY_S = 86400
AS_ACCOUNT = "as-account"
FOR_GOOD = "for-good"


@blueprint.get("/tokens")
def list_all() -> str:
    """The tokens, and the form for another."""
    return _show()


@blueprint.post("/tokens")
def create() -> tuple[str, int]:
    """Make a token, and show its secret this once."""
    try:
        g.caller.require_whole()
        secret = access_tokens.create(
            store(), g.user.name, forms.field("description"), ttl_s=_ttl_s(), role=_role()
        )  # fmt: skip
    except LarvaError as error:
        problem = problem_of(error)
        return _show(problem=problem), problem.status
    return _show(secret=secret), 200


@blueprint.post("/tokens/<token>/revoke")
def revoke(token: str) -> AnyResponse:
    """Make a token useless."""
    g.caller.require_whole()
    access_tokens.revoke(store(), token, _whose(g.caller))
    return redirect("/tokens", 303)


def _ttl_s() -> int | None:
    if forms.field("days") == FOR_GOOD:
        return None
    days = forms.integer("days", what=text("token.days"))
    if days not in DAYS:
        raise InvalidInput(f"{text('token.days')}: {days}", hint=", ".join(map(str, DAYS)))
    return days * DAY_S


def _role() -> AccountRole | None:
    return None if forms.field("role") == AS_ACCOUNT else forms.choice("role", AccountRole, what=text("user.role"))


def _whose(caller: Caller) -> str | None:
    return None if caller.allows(Right.ADMINISTER) else caller.name


def _narrower() -> list[AccountRole]:
    """Roles that a token of this account may be narrowed to, the least first; a tenant's is what its account is."""
    own = ALLOWED[g.user.role]
    found = [role for role in AccountRole if ALLOWED[role] <= own and role is not AccountRole.TENANT]
    return sorted(found, key=lambda role: len(ALLOWED[role]))


def _show(*, secret: str | None = None, problem: Problem | None = None) -> str:
    whose = _whose(g.caller)
    found = sorted(access_tokens.list_all(store(), whose), key=lambda token: token.created_at, reverse=True)
    return render_template(
        "tokens.html", tokens=found, everybodys=whose is None, roles=_narrower(), days=DAYS, as_account=AS_ACCOUNT,
        for_good=FOR_GOOD, secret=secret, problem=problem, typed=request.form.to_dict() if problem else {},
    )  # fmt: skip
