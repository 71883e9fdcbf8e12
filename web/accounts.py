"""Accounts of the console: who may log in, and as what."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from cladnet import keys
from cladnet.etcd.store import Condition, Delete, Operation, Put, Store, Versioned
from larva.errors import Conflict, ExitCode, InvalidInput, LarvaError, NotFound
from web import passwords
from web.account_model import ACCESS_TOKENS, USERS, AccessToken, User
from web.roles import AccountRole, Caller, check_grant

AT_ONCE = 100
"""Keys in one transaction, of which etcd allows 128 by default (`--max-txn-ops`)."""


class NotAuthenticated(LarvaError):
    """The caller has not said who it is, or not proved it."""

    exit_code = ExitCode.REFUSED
    code = "not-authenticated"
    http_status = 401


def user_key(name: str) -> str:
    """The key of one account."""
    return USERS + keys.segment(name, what="user name")


def find(store: Store, name: str) -> Versioned[User] | None:
    """Return the account, or None; a name that no account can have is None too."""
    try:
        key = user_key(name)
    except InvalidInput:
        return None
    return store.get(key, User)


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


def create(store: Store, name: str, password: str, role: AccountRole, cladnets: Sequence[str] = ()) -> User:
    """Create an account.

    Args:
        cladnets: the ids of a tenant's CLADNets.

    Raises:
        InvalidInput: a tenant without a CLADNet, or CLADNets for another role.
        Conflict: there is one of that name.
    """
    check_grant(role, cladnets)
    user = _user(name, password, role, cladnets)
    try:
        store.create(user_key(name), user)
    except Conflict as error:
        raise Conflict(f"there is an account {name!r} already", hint="choose another name") from error
    return user


def set_password(store: Store, name: str, password: str, role: AccountRole | None = None) -> None:
    """Give an account a new password and so end its sessions; its access tokens, which programs have, stay good.

    Args:
        role: an account that is missing is created with it.

    Raises:
        InvalidInput: as passwords.check().
        NotFound: there is no such account, and no role for one.
        Conflict: somebody else changed it meanwhile.
    """
    passwords.check(password)
    before = store.get(user_key(name), User)
    if before is not None:
        hashed = passwords.hashed(password)
        store.replace(before, replace(before.value, password_hash=hashed, password_set_at=datetime.now(UTC)))
    elif role is not None:
        store.create(user_key(name), _user(name, password, role, ()))
    else:
        raise NotFound(f"there is no account {name!r}", hint="`larva console password --role ROLE` creates one")


def set_role(store: Store, name: str, role: AccountRole, cladnets: Sequence[str] = ()) -> User:
    """Give an account another role, which holds from its next request on; its sessions are over.

    Raises:
        NotFound: there is no such account.
        InvalidInput: as create().
        Conflict: nobody could give roles any more, or somebody else changed the account meanwhile.
    """
    check_grant(role, cladnets)
    current = require(store, name)
    changed = replace(current.value, role=role, cladnets=tuple(dict.fromkeys(cladnets)))
    stays = [] if role is AccountRole.ADMIN else [_another_admin(store, name)]
    _write(store, current, [Put(current.key, changed)], stays)
    return changed


def disable(store: Store, name: str) -> User:
    """Let nobody in to an account: its sessions are over, and its access tokens are refused until enable().

    Raises:
        NotFound: there is no such account.
        Conflict: it is the last administrator's, or somebody else changed it meanwhile.
    """
    current = require(store, name)
    changed = replace(current.value, disabled=True)
    _write(store, current, [Put(current.key, changed)], [_another_admin(store, name)])
    return changed


def enable(store: Store, name: str) -> User:
    """Let people in to an account again, and its access tokens count.

    Raises:
        NotFound: there is no such account.
        Conflict: somebody else changed it meanwhile.
    """
    current = require(store, name)
    changed = replace(current.value, disabled=False)
    _write(store, current, [Put(current.key, changed)], [])
    return changed


def delete(store: Store, name: str) -> None:
    """Delete an account with its access tokens; its sessions are over.

    Raises:
        NotFound: there is no such account.
        Conflict: it is the last administrator's.
    """
    current, stays = require(store, name), _another_admin(store, name)
    _write(store, current, [Delete(current.key), *_tokens_gone(store, name)[:AT_ONCE]], [stays])
    for left in _tokens_gone(store, name):  # who has a name after it was free must not find tokens of another
        store.delete(left.key)


def _tokens_gone(store: Store, name: str) -> list[Delete]:
    return [Delete(item.key) for item in store.list(ACCESS_TOKENS, AccessToken).items if item.value.user == name]


def _another_admin(store: Store, name: str) -> Condition:
    """That an administrator stays: two who take each other's role away at the same time do not both succeed."""
    for item in store.children(USERS, User).values():
        if item.value.role is AccountRole.ADMIN and item.value.name != name and not item.value.disabled:
            return Condition(item.key, item.revision)
    raise Conflict(f"{name} is the only administrator", hint="make another account an administrator's first")


def _write(store: Store, current: Versioned[User], operations: Sequence[Operation], stays: Sequence[Condition]) -> None:
    if not store.transact([Condition(current.key, current.revision), *stays], operations):
        raise Conflict("somebody else changed accounts meanwhile", hint="read it again and retry")


def _user(name: str, password: str, role: AccountRole, cladnets: Sequence[str]) -> User:
    return User(
        name=name, password_hash=passwords.hashed(password), password_set_at=datetime.now(UTC), role=role,
        cladnets=tuple(dict.fromkeys(cladnets)),
    )  # fmt: skip


def authenticate(store: Store, name: str, password: str) -> Versioned[User]:
    """Return the account whose password this is.

    Raises:
        NotAuthenticated: unknown name or wrong password, it does not say which; or the account is disabled.
        Unavailable: too many wait for the same.
    """
    found = find(store, name)
    if not passwords.verifies(found.value.password_hash if found else None, password) or found is None:
        raise NotAuthenticated("user name or password is wrong")
    if found.value.disabled:
        raise NotAuthenticated("this account is disabled", hint="ask an administrator to enable it")
    return found


def caller(user: User) -> Caller:
    """Who asks by a session."""
    return Caller(name=user.name, grants=(user.grant,))
