"""Accounts of the console: who may log in, and the access tokens that programs use instead."""

import hashlib
import secrets
import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cladnet import keys
from cladnet.etcd.store import Store
from cladnet.trust.kinds import signed_by_ca
from larva.errors import ExitCode, InvalidInput, LarvaError, NotFound, Unavailable

USERS = "larva/user/"
ACCESS_TOKENS = "larva/access-token/"
SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 1000
LONGEST_WAIT_S = 10.0
"""For the turn to have a password checked; each who waits holds one of the server's threads."""
TOKEN_PREFIX = "larva_"  # noqa: S105 - makes a leaked token recognisable to scanners

_hasher = PasswordHasher()  # argon2id with the parameters of RFC 9106, low memory: 64 MiB, three passes
_NOBODY = _hasher.hash(secrets.token_hex())  # verified for unknown names, so that they take as long as known ones
_at_once = threading.BoundedSemaphore(2)  # 64 MiB each: a flood of logins must not eat the host's memory


class NotAuthenticated(LarvaError):
    """The caller has not said who it is, or not proved it."""

    exit_code = ExitCode.REFUSED
    code = "not-authenticated"
    http_status = 401


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One account: `larva/user/{name}`."""

    name: str
    password_hash: str
    """argon2id, in the PHC string format."""
    password_set_at: datetime
    """A session that began under an older password is over."""


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """Lets a program act as its user: `larva/access-token/{sha256}`. The secret itself is kept nowhere."""

    user: str
    description: str
    created_at: datetime


def user_key(name: str) -> str:
    """The key of one account."""
    return USERS + keys.segment(name, what="user name")


def find(store: Store, name: str) -> User | None:
    """Return the account, or None; a name that no account can have is None too."""
    try:
        key = user_key(name)
    except InvalidInput:
        return None
    found = store.get(key, User)
    return found.value if found else None


def anybody(store: Store) -> bool:
    """Whether there is any account yet."""
    return bool(store.list(USERS, User).items)


def create(store: Store, name: str, password: str) -> User:
    """Create an account.

    Raises:
        Conflict: there is one of that name.
    """
    user = _user(name, password)
    store.create(user_key(name), user)
    return user


def set_password(store: Store, name: str, password: str) -> None:
    """Give an account a new password and so end its sessions; the account is created if it is missing."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidInput(
            f"the password has {len(password)} characters", hint=f"use {SHORTEST_PASSWORD} to {LONGEST_PASSWORD}"
        )
    store.put(user_key(name), _user(name, password))


def _user(name: str, password: str) -> User:
    return User(name=name, password_hash=_hasher.hash(password), password_set_at=datetime.now(UTC))


def authenticate(store: Store, name: str, password: str) -> User:
    """Return the account whose password this is.

    Raises:
        NotAuthenticated: unknown name or wrong password; it does not say which.
        Unavailable: too many wait for the same.
    """
    user = find(store, name)
    if not _at_once.acquire(timeout=LONGEST_WAIT_S):
        raise Unavailable("too many people log in at once", hint="try again in a moment")
    try:
        _hasher.verify(user.password_hash if user else _NOBODY, password[:LONGEST_PASSWORD])
    except (VerificationError, InvalidHashError):
        user = None
    finally:
        _at_once.release()
    if user is None:
        raise NotAuthenticated("user name or password is wrong")
    return user


def _token_key(secret: str) -> str:
    return ACCESS_TOKENS + hashlib.sha256(secret.encode()).hexdigest()


def create_token(store: Store, name: str, description: str) -> str:
    """Return a new access token's secret; it is shown this once."""
    if find(store, name) is None:
        raise NotFound(f"there is no account {name!r}")
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    store.create(_token_key(secret), AccessToken(user=name, description=description, created_at=datetime.now(UTC)))
    return secret


def user_of_token(store: Store, secret: str) -> User:
    """Return the account that an access token acts for.

    Raises:
        NotAuthenticated: nobody issued it, or its account is gone.
    """
    found = store.get(_token_key(secret), AccessToken)
    user = find(store, found.value.user) if found else None
    if user is None:
        raise NotAuthenticated("the access token is not valid", hint="make one with `larva console token`")
    return user
