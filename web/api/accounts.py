"""Accounts, their roles, and the access tokens by which programs act for them."""

from dataclasses import dataclass
from datetime import datetime

from flask import g, url_for

from web import access_tokens, accounts, own_password, passwords, visible
from web.access_tokens import TokenView
from web.account_model import User
from web.api.routing import Created, Listing, Routes
from web.context import store
from web.roles import AccountRole, Caller, Right

routes = Routes("accounts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account without its password."""

    name: str
    role: AccountRole
    cladnets: tuple[str, ...]
    password_set_at: datetime
    disabled: bool
    """Nobody gets in, and its tokens are refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountWish:
    """An account to be created; its owner had better change the password."""

    name: str
    password: str
    role: AccountRole
    cladnets: tuple[str, ...] = ()
    """For the role tenant: ids or names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleWish:
    """What an account is to be from now on."""

    role: AccountRole
    cladnets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordWish:
    """A new password; it ends the account's sessions."""

    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnPasswordWish:
    """A new password of one's own, and the present one."""

    present: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTokenWish:
    """A token for a program that acts for the caller."""

    description: str = ""
    ttl_s: int | None = 90 * 86400
    """None: until it is revoked."""
    role: AccountRole | None = None
    """It allows no more than this role does; None: as much as the account."""
    cladnets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAccessToken:
    """An access token; nobody can read the secret again."""

    token: TokenView
    secret: str


def _account(user: User) -> Account:
    return Account(
        name=user.name, role=user.role, cladnets=user.cladnets, password_set_at=user.password_set_at,
        disabled=user.disabled,
    )  # fmt: skip


def _ids(cladnets: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(visible.cladnet(each).id for each in cladnets)


def _key(user: str) -> str:
    return accounts.user_key(user)


@routes.get("/me", Right.OWN)
def me() -> Account:
    """Who the caller is."""
    return _account(g.user)


@routes.put("/me/password", Right.OWN, first=own_password.check_guesses)
def change_own_password(wish: OwnPasswordWish) -> None:
    """Change one's own password, and end one's sessions; access tokens stay good until they are revoked."""
    own_password.change(wish.present, wish.password)


@routes.get("/users", Right.ADMINISTER, listing=Listing(name="users", order=lambda account: (account.name,)))
def list_all() -> tuple[Account, ...]:
    """Every account."""
    return tuple(_account(user) for user in accounts.list_all(store()))


@routes.post("/users", Right.ADMINISTER, status=201)
def create(wish: AccountWish) -> Created[Account]:
    """Create an account."""
    passwords.check(wish.password)
    user = accounts.create(store(), wish.name, wish.password, wish.role, _ids(wish.cladnets))
    return Created(_account(user), url_for(".show", user=user.name))


@routes.get("/users/<user>", Right.ADMINISTER, resource=_key)
def show(user: str) -> Account:
    """One account."""
    return _account(accounts.require(store(), user).value)


@routes.patch("/users/<user>", Right.ADMINISTER, resource=_key)
def change_role(user: str, wish: RoleWish) -> Account:
    """Give an account another role; it holds from the next request on, and its sessions are over."""
    return _account(accounts.set_role(store(), user, wish.role, _ids(wish.cladnets)))


@routes.put("/users/<user>/password", Right.ADMINISTER, resource=_key)
def set_password(user: str, wish: PasswordWish) -> None:
    """Give an account another password, and end its sessions; its access tokens stay good until they are revoked."""
    accounts.set_password(store(), user, wish.password)


@routes.post("/users/<user>/disable", Right.ADMINISTER, status=200, resource=_key)
def disable(user: str) -> Account:
    """Let nobody in to an account: its sessions are over, and its access tokens are refused until it is enabled."""
    return _account(accounts.disable(store(), user))


@routes.post("/users/<user>/enable", Right.ADMINISTER, status=200, resource=_key)
def enable(user: str) -> Account:
    """Let people in to an account again; its access tokens count again."""
    return _account(accounts.enable(store(), user))


@routes.delete("/users/<user>", Right.ADMINISTER, resource=_key)
def delete(user: str) -> None:
    """Delete an account with its tokens; its sessions are over."""
    accounts.delete(store(), user)


@routes.get("/access-tokens", Right.OWN, listing=Listing(name="tokens", order=lambda token: (token.id,)))
def list_tokens() -> tuple[TokenView, ...]:
    """One's own access tokens; an administrator sees everybody's."""
    return access_tokens.list_all(store(), _whose(g.caller))


@routes.post("/access-tokens", Right.OWN, status=201, secret=True)
def create_token(wish: AccessTokenWish) -> NewAccessToken:
    """Make an access token; the answer holds the secret, this once."""
    g.caller.require_whole()
    secret = access_tokens.create(
        store(), g.user.name, wish.description, ttl_s=wish.ttl_s, role=wish.role, cladnets=_ids(wish.cladnets)
    )
    return NewAccessToken(token=access_tokens.view(store(), secret), secret=secret)


@routes.delete("/access-tokens/<token>", Right.OWN)
def revoke_token(token: str) -> None:
    """Make an access token useless: one's own; for an administrator, anybody's."""
    g.caller.require_whole()
    access_tokens.revoke(store(), token, _whose(g.caller))


def _whose(caller: Caller) -> str | None:
    return None if caller.allows(Right.ADMINISTER) else caller.name
