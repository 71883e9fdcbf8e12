"""Sessions as etcd keeps them, so that they can be listed, and ended from anywhere."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cladnet.etcd.store import Delete, Operation, Store, Versioned
from larva.errors import NotFound
from web import accounts
from web.account_model import SESSIONS, Session, User

LONGEST_S = 12 * 3600
MOST = 50
"""Of one account; the oldest ends when there would be more."""
LONGEST_BROWSER = 200
ID_LENGTH = 16
"""As many characters of its digest name a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """A session as it may be shown: the id is of no use for logging in."""

    id: str
    began_at: datetime
    ends_at: datetime
    address: str
    browser: str


def digest(secret: str) -> str:
    """What etcd knows of a session's secret; its beginning is the session's id."""
    return hashlib.sha256(secret.encode()).hexdigest()


def begin(store: Store, user: Versioned[User], address: str, browser: str) -> str:
    """Begin a session of an account as it was when its owner proved to be that; return its secret.

    Those of its sessions that are over are forgotten, and of too many the oldest end.
    """
    kept = sorted(_standing(store, user), key=lambda item: item.value.began_at)[-(MOST - 1) :]
    keys = {item.key for item in kept}
    gone: list[Operation] = [
        Delete(found) for found in store.revisions(_prefix(user.value.name)) if found not in keys
    ]  # fmt: skip
    if gone:
        store.transact([], gone[:MOST])
    secret = secrets.token_urlsafe(32)
    session = Session(
        account_revision=user.revision, began_at=datetime.now(UTC), address=address, browser=browser[:LONGEST_BROWSER]
    )
    store.create(_prefix(user.value.name) + digest(secret), session, lease=store.lease(LONGEST_S))
    return secret


def holds(store: Store, name: str, secret: str) -> User | None:
    """Return the account of a session that stands: nobody ended it, and its account is as it was at its beginning."""
    user = accounts.find(store, name)
    if user is None:
        return None
    found = store.get(_prefix(user.value.name) + digest(secret), Session)
    return user.value if found is not None and _stands(found.value, user) else None


def list_of(store: Store, name: str) -> tuple[SessionView, ...]:
    """The sessions of an account that stand, the newest first; NotFound without the account."""
    found = sorted(_standing(store, accounts.require(store, name)), key=lambda item: item.value.began_at, reverse=True)
    return tuple(
        SessionView(
            id=item.key.rpartition("/")[2][:ID_LENGTH], began_at=item.value.began_at, ends_at=_end(item.value),
            address=item.value.address, browser=item.value.browser,
        )
        for item in found
    )  # fmt: skip


def end(store: Store, name: str, session_id: str) -> None:
    """End one session; NotFound if the account has none of that id."""
    for item in _standing(store, accounts.require(store, name)):
        if item.key.rpartition("/")[2][:ID_LENGTH] == session_id:
            store.delete(item.key)
            return
    raise NotFound(f"there is no session {session_id[:80]!r}", hint="it may have ended by itself")


def forget(store: Store, name: str, secret: str) -> None:
    """End the session of a secret; no error if it is over."""
    store.delete(_prefix(name) + digest(secret))


def end_all(store: Store, name: str) -> None:
    """End every session of an account; NotFound without the account."""
    accounts.require(store, name)
    gone: list[Operation] = [Delete(found) for found in store.revisions(_prefix(name))]
    if gone:
        store.transact([], gone)


def _prefix(name: str) -> str:
    return f"{SESSIONS}{name}/"


def _standing(store: Store, user: Versioned[User]) -> list[Versioned[Session]]:
    found = store.list(_prefix(user.value.name), Session).items
    return [item for item in found if _stands(item.value, user)]


def _stands(session: Session, user: Versioned[User]) -> bool:
    fresh = datetime.now(UTC) < _end(session)  # another console's clock, by which it began, may be ahead of this one
    return fresh and session.account_revision == user.revision and not user.value.disabled


def _end(session: Session) -> datetime:
    return session.began_at + timedelta(seconds=LONGEST_S)
