"""Who changed what: an entry in etcd for each change that somebody made by the console or its API."""

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from cladnet.etcd.store import Delete, Operation, Store
from cladnet.keys import is_segment
from cladnet.trust.kinds import signed_by_ca
from cladnet.trust.signature import split
from larva import codec
from larva.errors import MalformedData

AUDIT = "larva/audit/"
KEPT = 10_000
"""Entries; the oldest go."""
PRUNED_EVERY = 100
"""Changes: so many more than `KEPT` there may be, for each console."""
MOST_CHANGES = 20
"""Keys of etcd whose values one entry tells; of more it tells how many."""
LONGEST_TEXT = 300
MOST_MEMBERS = 60
HIDDEN = frozenset({"password_hash", "box", "certificate", "token_digest", "key_digest", "sealed"})
"""Members of values that are secret, or sealed and of no use to readers."""
_AT_ONCE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A key of etcd that was written or deleted, and its value before and after; None where there was or is none."""

    key: str
    before: Any
    after: Any


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change: `larva/audit/{id}`."""

    id: str
    """Orders entries by time."""
    at: datetime
    user: str
    address: str
    """Where the request came from."""
    action: str
    """The operation, as in the API's description: `volumes.create`."""
    method: str
    path: str
    changes: tuple[Change, ...]
    more: int = 0
    """Further keys that were written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """Who does what, as far as a request says."""

    user: str
    address: str
    action: str
    method: str
    path: str


def entry(doing: Doing, changes: Sequence[Change], more: int) -> Entry:
    """Return the entry of a change that is made now."""
    now = time.time()
    return Entry(
        id=f"{int(now * 1000):013x}-{secrets.token_hex(4)}", at=datetime.fromtimestamp(now, UTC), user=doing.user,
        address=doing.address, action=doing.action, method=doing.method, path=doing.path, changes=tuple(changes),
        more=more,
    )  # fmt: skip


def key(entry_id: str) -> str:
    """The key of one entry."""
    return AUDIT + entry_id


def told(raw: bytes | None) -> Any:
    """Return a value of etcd as an entry tells it: without its signature and what is hidden, and not too long."""
    if raw is None:
        return None
    try:
        return shown(codec.decode(split(raw)[0], Any, source="audit"))
    except MalformedData:
        return "(no JSON)"


def shown(value: Any) -> Any:
    """Leave out of a value what an entry must not hold."""
    if isinstance(value, dict):
        members = list(value.items())[:MOST_MEMBERS]
        return {name: "…" if name in HIDDEN and each else shown(each) for name, each in members}
    if isinstance(value, list):
        return [shown(each) for each in value[:MOST_MEMBERS]]
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return value[:LONGEST_TEXT] + "…"
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries; all of them without anything."""

    user: str | None = None
    action: str = ""
    """The beginning of it."""
    since: datetime | None = None
    """Not before then."""
    until: datetime | None = None
    """Before then."""
    before: str | None = None
    """Older than the one of this id."""

    def in_time(self, entry_id: str) -> bool:
        """Whether it was made when it has to be."""
        return (
            (self.before is None or entry_id < self.before)
            and (self.since is None or entry_id >= _moment(self.since))
            and (self.until is None or entry_id < _moment(self.until))
        )

    def told(self, entry: Entry) -> bool:
        """Whether it tells what is asked for."""
        return self.user in (None, entry.user) and entry.action.startswith(self.action)


def part(store: Store, wanted: Wanted, limit: int) -> tuple[tuple[Entry, ...], str | None]:
    """Return so many entries, the newest first, and the id after which there are more; None without more."""
    matching = (entry for entry in newest_first(store, wanted) if wanted.told(entry))
    found = tuple(islice(matching, limit + 1))
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def _moment(at: datetime) -> str:
    """How the ids of that time begin."""
    return f"{max(0, int(at.timestamp() * 1000)):013x}"


def newest_first(store: Store, wanted: Wanted | None = None) -> Iterator[Entry]:
    """Yield the entries of a time, the newest first, read from etcd as they are taken."""
    found = sorted((name for name in _ids(store) if wanted is None or wanted.in_time(name)), reverse=True)
    for start in range(0, len(found), _AT_ONCE):
        part = found[start : start + _AT_ONCE]
        end = key(part[0]).encode() + b"\0"
        for item in reversed(store.between(key(part[-1]), end, Entry).items):
            yield item.value


def prune(store: Store, kept: int = KEPT) -> None:
    """Delete the oldest entries beyond those that are kept."""
    old = sorted(_ids(store))[:-kept]
    for start in range(0, len(old), _AT_ONCE):
        gone: list[Operation] = [Delete(key(name)) for name in old[start : start + _AT_ONCE]]
        store.transact([], gone)


def _ids(store: Store) -> Iterator[str]:
    names = (found.removeprefix(AUDIT) for found in store.revisions(AUDIT))
    return (name for name in names if is_segment(name))
