"""Where people are logged in, and the end of that."""

from flask import g

from web import logins
from web.api.routing import Listing, Routes
from web.context import store
from web.logins import SessionView
from web.roles import Right

routes = Routes("sessions")


@routes.get("/me/sessions", Right.OWN, listing=Listing(name="sessions", order=lambda session: (session.id,)))
def own() -> tuple[SessionView, ...]:
    """Where one is logged in."""
    return logins.list_of(store(), g.user.name)


@routes.delete("/me/sessions", Right.OWN)
def end_every_own() -> None:
    """Log out everywhere; access tokens stay good until they are revoked."""
    g.caller.require_whole()
    logins.end_all(store(), g.user.name)


@routes.delete("/me/sessions/<session>", Right.OWN)
def end_own(session: str) -> None:
    """Log out in one place."""
    g.caller.require_whole()
    logins.end(store(), g.user.name, session)


@routes.get(
    "/users/<user>/sessions",
    Right.ADMINISTER,
    listing=Listing(name="sessions", order=lambda session: (session.id,)),
)
def list_all(user: str) -> tuple[SessionView, ...]:
    """Where somebody is logged in."""
    return logins.list_of(store(), user)


@routes.delete("/users/<user>/sessions", Right.ADMINISTER)
def end_all(user: str) -> None:
    """Log an account out everywhere; its access tokens stay good until they are revoked."""
    logins.end_all(store(), user)
