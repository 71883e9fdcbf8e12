"""Who is asking: a login session in a signed cookie, or an access token in the Authorization header."""

import secrets
from collections.abc import Mapping
from pathlib import Path

from flask import Flask, g, request, session
from flask_wtf.csrf import CSRFProtect

from cladnet.etcd.store import Store, Versioned
from larva import files
from web import access_tokens, accounts, logins, recording, visible
from web.account_model import User
from web.accounts import NotAuthenticated
from web.context import console
from web.roles import Caller, Right

KEY_BYTES = 32

csrf = CSRFProtect()


def session_key(state_directory: Path) -> bytes:
    """Return the key that signs session cookies, made on first use, 0600."""
    path = state_directory / "console-session.key"
    if not path.exists():
        files.write_once(path, secrets.token_bytes(KEY_BYTES), mode=files.SECRET)
    return path.read_bytes()


def set_up(app: Flask, *, key: bytes, secure: bool) -> None:
    """Configure cookies and CSRF tokens.

    Args:
        secure: whether the console is served by TLS; the cookie's name then forbids weaker use (RFC 6265bis, §4.1.3).
    """
    app.config.update(
        SECRET_KEY=key,
        SESSION_COOKIE_NAME="__Host-larva" if secure else "larva",
        SESSION_COOKIE_SECURE=secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        WTF_CSRF_CHECK_DEFAULT=False,  # `require_user` and the login page ask for it where a cookie speaks
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
    )
    csrf.init_app(app)


def begin(store: Store, user: Versioned[User]) -> None:
    """Start a session; whatever the browser had before is dropped, against fixation."""
    secret = logins.begin(store, user, request.remote_addr or "?", request.user_agent.string)
    session.clear()
    session["user"] = user.value.name
    session["secret"] = secret


def end(store: Store) -> None:
    """End the session of this browser, here and in etcd."""
    claims = dict(session)
    session.clear()
    user = holds(store, claims)
    if user is not None:
        logins.forget(store, user.name, str(claims["secret"]))


def own_id() -> str | None:
    """The id of this browser's session; None for who has none."""
    secret = session.get("secret")
    return logins.digest(secret)[: logins.ID_LENGTH] if isinstance(secret, str) else None


def holds(store: Store, claims: Mapping[str, object]) -> User | None:
    """Return the account of a session that stands; None where it is over.

    Args:
        claims: what the signed cookie says.
    """
    name, secret = claims.get("user"), claims.get("secret")
    if not isinstance(name, str) or not isinstance(secret, str):
        return None
    return logins.holds(store, name, secret)


def require_user(changing: Right = Right.OPERATE) -> None:
    """Let the request of a page pass for whoever is known and may do this.

    Looking takes the right to read in the CLADNet that the path names. A page of several shows each caller what is
    theirs (`visible`); changing something of none is not for a tenant.

    Args:
        changing: what a change takes.

    Raises:
        NotAuthenticated: no valid token and no valid session.
        Refused: the caller may not do this.
    """
    identify()
    name = (request.view_args or {}).get("cladnet")
    looks = request.method in ("GET", "HEAD")
    right = Right.READ if looks else changing
    caller: Caller = g.caller
    if name is None:
        if not looks:
            caller.require(right)
    elif not caller.allows(right):
        caller.require(right, visible.cladnet(name).id)


def require(right: Right) -> None:
    """Let the request of a page pass for whoever is known and may do this; raises as require_user()."""
    identify()
    caller: Caller = g.caller
    caller.require(right)


def identify() -> None:
    """Let the request pass only for somebody known; a cookie must come with its CSRF token when it changes things.

    Raises:
        NotAuthenticated: no valid token and no valid session.
    """
    store = console().store()
    authorization = request.authorization
    if authorization is not None:
        if authorization.type != "bearer" or not authorization.token:
            raise NotAuthenticated("only bearer tokens are understood", hint="make one with `larva console token`")
        g.user, g.caller = access_tokens.bearer(store, authorization.token)
        _record(store)
        return
    user = holds(store, session)
    if user is None:
        raise NotAuthenticated("log in first", hint="log in, or send `Authorization: Bearer TOKEN`")
    g.user, g.caller = user, accounts.caller(user)
    csrf.protect()
    _record(store)


def _record(store: Store) -> None:
    if request.method not in ("GET", "HEAD"):
        recording.begin(store, g.caller.name)
