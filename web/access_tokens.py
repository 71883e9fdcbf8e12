"""Access tokens: the secrets by which programs act for an account."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cladnet.etcd.store import Condition, Put, Store, Versioned
from larva.errors import Conflict, InvalidInput, NotFound
from web import accounts
from web.account_model import ACCESS_TOKENS, AccessToken, User
from web.accounts import NotAuthenticated
from web.roles import AccountRole, Caller, Grant, check_grant

LONGEST_S = 366 * 86400
LONGEST_DESCRIPTION = 200
ID_LENGTH = 16
"""As many characters of its digest name a token."""
PREFIX = "larva_"  # makes a leaked token recognisable to scanners


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


def _key(secret: str) -> str:
    return ACCESS_TOKENS + hashlib.sha256(secret.encode()).hexdigest()


def create(
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
        Conflict: somebody else changed the account meanwhile.
    """
    account = accounts.find(store, name)
    if account is None:
        raise NotFound(f"there is no account {name!r}")
    if ttl_s is not None and not 1 <= ttl_s <= LONGEST_S:
        raise InvalidInput(f"a token cannot be good for {ttl_s} s", hint="from one second to a year")
    if len(description) > LONGEST_DESCRIPTION:
        raise InvalidInput(f"the description has {len(description)} characters", hint=f"{LONGEST_DESCRIPTION} at most")
    if role is not None:
        check_grant(role, cladnets)
    secret, now = PREFIX + secrets.token_urlsafe(32), datetime.now(UTC)
    token = AccessToken(
        user=name, description=description, created_at=now, role=role, cladnets=tuple(dict.fromkeys(cladnets)),
        expires_at=None if ttl_s is None else now + timedelta(seconds=ttl_s),
    )  # fmt: skip
    if not store.transact([Condition(account.key, account.revision)], [Put(_key(secret), token)]):
        raise Conflict(f"somebody else changed the account {name!r} meanwhile", hint="try again")
    return secret


def list_all(store: Store, name: str | None = None) -> tuple[TokenView, ...]:
    """The access tokens of one account, or of all."""
    now = datetime.now(UTC)
    return tuple(
        _view(item, now)
        for item in store.list(ACCESS_TOKENS, AccessToken).items
        if name is None or item.value.user == name
    )


def view(store: Store, secret: str) -> TokenView:
    """The view of a token whose secret is known; NotAuthenticated if there is none."""
    found = store.get(_key(secret), AccessToken)
    if found is None:
        raise NotAuthenticated("the access token is not valid")
    return _view(found, datetime.now(UTC))


def _view(item: Versioned[AccessToken], now: datetime) -> TokenView:
    token = item.value
    return TokenView(
        id=item.key.removeprefix(ACCESS_TOKENS)[:ID_LENGTH], user=token.user, description=token.description,
        created_at=token.created_at, expires_at=token.expires_at, role=token.role, cladnets=token.cladnets,
        expired=_expired(token, now),
    )  # fmt: skip


def _expired(token: AccessToken, now: datetime) -> bool:
    return token.expires_at is not None and token.expires_at <= now


def revoke(store: Store, token_id: str, name: str | None = None) -> None:
    """Make an access token useless.

    Args:
        name: of the account whose token it has to be; any without it.

    Raises:
        NotFound: there is no such token.
    """
    for item in store.list(ACCESS_TOKENS, AccessToken).items:
        ours = name is None or item.value.user == name
        if ours and item.key.removeprefix(ACCESS_TOKENS)[:ID_LENGTH] == token_id:
            store.delete(item.key)
            return
    raise NotFound(f"there is no access token {token_id[:80]!r}", hint="`GET /v1/access-tokens` shows them")


def bearer(store: Store, secret: str) -> tuple[User, Caller]:
    """Return the account that an access token acts for, and what it may do.

    Raises:
        NotAuthenticated: nobody issued it, it has expired, or its account is gone or disabled.
    """
    found = store.get(_key(secret), AccessToken)
    account = accounts.find(store, found.value.user) if found else None
    user = account.value if account else None
    if found is None or user is None or user.disabled or _expired(found.value, datetime.now(UTC)):
        raise NotAuthenticated("the access token is not valid", hint="make one with `larva console token`")
    token = found.value
    narrower = () if token.role is None else (Grant(role=token.role, cladnets=token.cladnets),)
    return user, Caller(name=user.name, grants=(user.grant, *narrower))
