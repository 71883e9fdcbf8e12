"""The change of one's own password, by the API and by a page; who guesses at the present one is slowed down."""

from flask import g, request

from web import accounts
from web.accounts import NotAuthenticated
from web.context import console, store


def check_guesses() -> None:
    """Raise TooManyFailures for who has guessed too often."""
    console().login_guard.check(_source(), g.user.name)


def change(present: str, password: str) -> None:
    """Give the caller's account a new password, and so end its sessions.

    Raises:
        NotAuthenticated: `present` is not its password.
        InvalidInput: as passwords.check().
    """
    try:
        accounts.authenticate(store(), g.user.name, present)
    except NotAuthenticated:
        console().login_guard.failed(_source(), g.user.name)
        raise
    accounts.set_password(store(), g.user.name, password)


def _source() -> str:
    return request.remote_addr or "?"
