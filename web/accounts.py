"""Accounts of the console: who may log in, and the access tokens that programs use instead."""

import hashlib
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from cladnet import keys
from cladnet.etcd.store import Condition, Delete, Operation, Put, Store, Versioned
from cladnet.trust.kinds import signed_by_ca
from larva.errors import Conflict, ExitCode, InvalidInput, LarvaError, NotFound, Unavailable
from web.roles import AccountRole, Caller, Grant

USERS = "larva/user/"
ACCESS_TOKENS = "larva/access-token/"
SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 1000
LONGEST_WAIT_S = 10.0
"""For the turn to have a password checked; each who waits holds one of the server's threads."""
LONGEST_TOKEN_S = 366 * 86400
LONGEST_DESCRIPTION = 200
TOKEN_ID = 16
"""As many characters of its digest name a token."""
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
    role: AccountRole = AccountRole.ADMIN
    """Before there were roles, every account was an administrator's."""
    cladnets: tuple[str, ...] = ()
    """For a tenant: the ids of its CLADNets."""

    @property
    def grant(self) -> Grant:
        """What it may do."""
        return Grant(role=self.role, cladnets=self.cladnets)


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """Lets a program act as its user: `larva/access-token/{sha256}`. The secret itself is kept nowhere."""

    user: str
    description: str
    created_at: datetime
    expires_at: datetime | None = None
    """None: it is good until somebody revokes it."""
    role: AccountRole | None = None
    """It allows no more than this role does, nor than its account may; None: as much as its account."""
    cladnets: tuple[str, ...] = ()
    """For the role tenant: the ids of its CLADNets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenView:
    """An access token as it may be shown: the id is of no use for logging in."""

    id: str
    user: str
    description: str
    created_at: datetime
    expires_at: datetime | None
    role: AccountRole | None
    cladnets: tuple[str, ...]
    expired: bool


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


def list_all(store: Store) -> tuple[User, ...]:
    """Every account, by name."""
    found = store.children(USERS, User)
    return tuple(found[name].value for name in sorted(found))


def require(store: Store, name: str) -> Versioned[User]:
    """Return an account; NotFound without it."""
    found = store.get(user_key(name), User)
    if found is None:
        raise NotFound(f"there is no account {name!r}", hint="`GET /v1/users` shows them")
    return found


def create(
    store: Store, name: str, password: str, role: AccountRole = AccountRole.ADMIN, cladnets: Sequence[str] = ()
) -> User:
    """Create an account.

    Args:
        cladnets: the ids of a tenant's CLADNets.

    Raises:
        InvalidInput: a tenant without a CLADNet, or CLADNets for another role.
        Conflict: there is one of that name.
    """
    _check_grant(role, cladnets)
    user = _user(name, password, role, cladnets)
    try:
        store.create(user_key(name), user)
    except Conflict as error:
        raise Conflict(f"there is an account {name!r} already", hint="choose another name") from error
    return user


def set_password(store: Store, name: str, password: str, role: AccountRole | None = None) -> None:
    """Give an account a new password and so end its sessions.

    Args:
        role: an account that is missing is created with it.

    Raises:
        InvalidInput: as check_password().
        NotFound: there is no such account, and no role for one.
        Conflict: somebody else changed it meanwhile.
    """
    check_password(password)
    before = store.get(user_key(name), User)
    if before is not None:
        store.replace(before, _user(name, password, before.value.role, before.value.cladnets))
    elif role is not None:
        store.create(user_key(name), _user(name, password, role, ()))
    else:
        raise NotFound(f"there is no account {name!r}", hint="`larva console password --role ROLE` creates one")


def check_password(password: str) -> None:
    """Raise InvalidInput for one that is too short to be safe or too long to be hashed."""
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InvalidInput(
            f"the password has {len(password)} characters", hint=f"use {SHORTEST_PASSWORD} to {LONGEST_PASSWORD}"
        )


def set_role(store: Store, name: str, role: AccountRole, cladnets: Sequence[str] = ()) -> User:
    """Give an account another role, which holds from its next request on.

    Raises:
        NotFound: there is no such account.
        InvalidInput: as create().
        Conflict: nobody could give roles any more, or somebody else changed the account meanwhile.
    """
    _check_grant(role, cladnets)
    current = require(store, name)
    changed = replace(current.value, role=role, cladnets=tuple(dict.fromkeys(cladnets)))
    stays = [] if role is AccountRole.ADMIN else [_another_admin(store, name)]
    _write(store, current, Put(current.key, changed), stays)
    return changed


def delete(store: Store, name: str) -> None:
    """Delete an account with its access tokens; its sessions are over.

    Raises:
        NotFound: there is no such account.
        Conflict: it is the last administrator's.
    """
    current, stays = require(store, name), _another_admin(store, name)
    tokens = [item for item in store.list(ACCESS_TOKENS, AccessToken).items if item.value.user == name]
    for item in tokens:
        store.delete(item.key)
    _write(store, current, Delete(current.key), [stays])


def _another_admin(store: Store, name: str) -> Condition:
    """That an administrator stays: two who take each other's role away at the same time do not both succeed."""
    for item in store.children(USERS, User).values():
        if item.value.role is AccountRole.ADMIN and item.value.name != name:
            return Condition(item.key, item.revision)
    raise Conflict(f"{name} is the only administrator", hint="make another account an administrator's first")


def _write(store: Store, current: Versioned[User], operation: Operation, stays: Sequence[Condition]) -> None:
    if not store.transact([Condition(current.key, current.revision), *stays], [operation]):
        raise Conflict("somebody else changed accounts meanwhile", hint="read it again and retry")


def _check_grant(role: AccountRole, cladnets: Sequence[str]) -> None:
    if (role is AccountRole.TENANT) != bool(cladnets):
        raise InvalidInput(
            f"{len(cladnets)} CLADNets are named for the role {role}",
            hint="name CLADNets for the role tenant, and for no other",
        )


def _user(name: str, password: str, role: AccountRole, cladnets: Sequence[str]) -> User:
    return User(
        name=name, password_hash=_hasher.hash(password), password_set_at=datetime.now(UTC), role=role,
        cladnets=tuple(dict.fromkeys(cladnets)),
    )  # fmt: skip


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


def create_token(
    store: Store,
    name: str,
    description: str = "",
    *,
    ttl_s: int | None = None,
    role: AccountRole | None = None,
    cladnets: Sequence[str] = (),
) -> str:
    """Return a new access token's secret; it is shown this once.

    Args:
        ttl_s: seconds for which it is good; without it until it is revoked.
        role: it allows no more than this role; without it as much as the account.
        cladnets: the ids of CLADNets, for the role tenant.

    Raises:
        NotFound: there is no such account.
        InvalidInput: the time, the words or the role cannot be used.
    """
    if find(store, name) is None:
        raise NotFound(f"there is no account {name!r}")
    if ttl_s is not None and not 1 <= ttl_s <= LONGEST_TOKEN_S:
        raise InvalidInput(f"a token cannot be good for {ttl_s} s", hint="from one second to a year")
    if len(description) > LONGEST_DESCRIPTION:
        raise InvalidInput(f"the description has {len(description)} characters", hint=f"{LONGEST_DESCRIPTION} at most")
    if role is not None:
        _check_grant(role, cladnets)
    secret, now = TOKEN_PREFIX + secrets.token_urlsafe(32), datetime.now(UTC)
    token = AccessToken(
        user=name, description=description, created_at=now, role=role, cladnets=tuple(dict.fromkeys(cladnets)),
        expires_at=None if ttl_s is None else now + timedelta(seconds=ttl_s),
    )  # fmt: skip
    store.create(_token_key(secret), token)
    return secret


def tokens(store: Store, name: str | None = None) -> tuple[TokenView, ...]:
    """The access tokens of one account, or of all."""
    now = datetime.now(UTC)
    return tuple(
        _token_view(item, now)
        for item in store.list(ACCESS_TOKENS, AccessToken).items
        if name is None or item.value.user == name
    )


def token_view(store: Store, secret: str) -> TokenView:
    """The view of a token whose secret is known; NotAuthenticated if there is none."""
    found = store.get(_token_key(secret), AccessToken)
    if found is None:
        raise NotAuthenticated("the access token is not valid")
    return _token_view(found, datetime.now(UTC))


def _token_view(item: Versioned[AccessToken], now: datetime) -> TokenView:
    token = item.value
    return TokenView(
        id=item.key.removeprefix(ACCESS_TOKENS)[:TOKEN_ID], user=token.user, description=token.description,
        created_at=token.created_at, expires_at=token.expires_at, role=token.role, cladnets=token.cladnets,
        expired=_expired(token, now),
    )  # fmt: skip


def _expired(token: AccessToken, now: datetime) -> bool:
    return token.expires_at is not None and token.expires_at <= now


def revoke_token(store: Store, token_id: str, name: str | None = None) -> None:
    """Make an access token useless.

    Args:
        name: of the account whose token it has to be; any without it.

    Raises:
        NotFound: there is no such token.
    """
    for item in store.list(ACCESS_TOKENS, AccessToken).items:
        ours = name is None or item.value.user == name
        if ours and item.key.removeprefix(ACCESS_TOKENS)[:TOKEN_ID] == token_id:
            store.delete(item.key)
            return
    raise NotFound(f"there is no access token {token_id[:80]!r}", hint="`GET /v1/access-tokens` shows them")


def caller(user: User) -> Caller:
    """Who asks by a session."""
    return Caller(name=user.name, grants=(user.grant,))


def bearer(store: Store, secret: str) -> tuple[User, Caller]:
    """Return the account that an access token acts for, and what it may do.

    Raises:
        NotAuthenticated: nobody issued it, it has expired, or its account is gone.
    """
    found = store.get(_token_key(secret), AccessToken)
    user = find(store, found.value.user) if found else None
    if found is None or user is None or _expired(found.value, datetime.now(UTC)):
        raise NotAuthenticated("the access token is not valid", hint="make one with `larva console token`")
    token = found.value
    narrower = () if token.role is None else (Grant(role=token.role, cladnets=token.cladnets),)
    return user, Caller(name=user.name, grants=(user.grant, *narrower))
