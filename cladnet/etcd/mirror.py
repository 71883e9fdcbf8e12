"""A typed local copy of what is watched: one listing when it begins, then the events, so that a look costs no reading.

Whoever uses it stays level-triggered: an event says "look again", catch_up() says at what. All work is done by the
thread that looks; the watch's thread only hands over.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from etcd3.utils import prefix_range_end

from cladnet import keys
from cladnet.etcd.store import Condition, Event, Operation, Put, Relist, Snapshot, Store, Versioned
from larva import codec
from larva.errors import MalformedData
from larva.metrics import REGISTRY

log = logging.getLogger(__name__)

T = TypeVar("T")

RELIST_S = 600.0
"""So often everything is listed again, in case an event was lost by a defect of etcd's or ours."""
LISTED = REGISTRY.counter("larva_mirror_lists_total", "Listings of a watched prefix: at the start and after a break.")


class Mirror:
    """The values under some prefixes as etcd had them at the last catch_up().

    Without a watch that calls note() it lists everything each time, and is as right, only dearer.

    What it shows of one transaction over several prefixes may be half of it for a moment: writes are guarded by the
    revisions read here, and the other half says "look again".

    Args:
        kinds: prefix, ending with a slash, or key → the type of the values; no prefix may be within another.
        relist_s: everything is listed anew after about this many seconds.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        store: Store,
        kinds: Mapping[str, Any],
        *,
        relist_s: float = RELIST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._copies = tuple(_Copy(prefix, kind, store.decode) for prefix, kind in kinds.items())
        self._relist_s = relist_s
        self._clock = clock
        self._lock = threading.Lock()
        self._inbox: dict[str, Event] = {}
        """The newest event of each key since the last catch_up()."""
        self._followed: set[str] = set()
        """Prefixes whose watch stands."""
        self._stale = set(kinds)
        """Prefixes to be listed, since events may have been missed."""
        self._changed: set[str] = set()
        self._next_relist = clock() + self._pause()

    @property
    def prefixes(self) -> tuple[str, ...]:
        """What has to be watched, with note() told of every item."""
        return tuple(copy.prefix for copy in self._copies)

    def note(self, item: Event | Relist) -> None:
        """Take what a watch gave, from any thread."""
        with self._lock:
            if isinstance(item, Relist):
                self._begin_anew(item.prefix)
                return
            known = self._inbox.get(item.key)
            if known is None or known.revision <= item.revision:
                self._inbox[item.key] = item

    def _begin_anew(self, prefix: str) -> None:
        """What came before is of a history that may not be etcd's any more."""
        for copy in self._copies:
            if prefix in ("", copy.prefix):
                self._followed.add(copy.prefix)
                self._stale.add(copy.prefix)
                for key in [key for key in self._inbox if copy.covers(key)]:
                    del self._inbox[key]

    def catch_up(self) -> frozenset[str]:
        """Bring the copy up to what etcd has told, and return the keys that changed since the last call.

        Raises:
            Unavailable, Refused: a listing is needed and cannot be had; call it again.
        """
        if self._clock() >= self._next_relist:
            self._next_relist = self._clock() + self._pause()
            with self._lock:
                self._stale.update(self.prefixes)
        for copy in self._copies:
            self._list_if_stale(copy)
        with self._lock:
            inbox, self._inbox = self._inbox, {}
        for event in inbox.values():
            for copy in self._copies:
                if copy.covers(event.key) and copy.apply(event):
                    self._changed.add(event.key)
        changed, self._changed = frozenset(self._changed), set()
        return changed

    def _list_if_stale(self, copy: "_Copy") -> None:
        with self._lock:
            if copy.prefix not in self._stale:
                return
            self._stale.discard(copy.prefix)  # before it is listed: a Relist that comes meanwhile asks again
        listed = False
        try:
            end = prefix_range_end(copy.prefix.encode()) if copy.prefix.endswith("/") else b""
            self._changed |= copy.replace(self._store.raw(copy.prefix, range_end=end))
            LISTED.add()
            listed = True
        finally:
            with self._lock:
                if not listed or copy.prefix not in self._followed:
                    self._stale.add(copy.prefix)

    def _pause(self) -> float:
        return self._relist_s * random.uniform(0.75, 1.25)  # noqa: S311 - jitter

    def get(self, key: str, kind: type[T]) -> Versioned[T] | None:
        """Return the value of a key, or None when there is none that can be read."""
        return self._copy(key, kind).items.get(key)

    def list(self, prefix: str, kind: type[T]) -> tuple[Versioned[T], ...]:
        """Return every value right below a prefix, by key; those that cannot be read are left out."""
        found = self._copy(prefix, kind).folders.get(prefix, {})
        return tuple(found[key] for key in sorted(found))

    def children(self, prefix: str, kind: type[T]) -> dict[str, Versioned[T]]:
        """Return the values right below a prefix by their name; keys that nobody of us would write are left out."""
        found = {keys.child(prefix, item.key): item for item in self.list(prefix, kind)}
        return {name: item for name, item in found.items() if name is not None}

    def revisions(self, prefix: str) -> dict[str, int]:
        """Return every key under a prefix and the revision of its last writing, whatever its value is."""
        items = self._copy(prefix, None).items
        return {key: item.revision for key, item in items.items() if key.startswith(prefix)} | self.unreadable(prefix)

    def unreadable(self, prefix: str) -> dict[str, int]:
        """Return the keys under a prefix whose values cannot be read, and the revisions of their last writing."""
        found = self._copy(prefix, None).unreadable
        return {key: revision for key, revision in found.items() if key.startswith(prefix)}

    def _copy(self, place: str, kind: type[Any] | None) -> "_Copy":
        for copy in self._copies:
            if copy.covers(place) and kind in (None, copy.kind):
                return copy
        raise AssertionError(f"{place} is not mirrored as {kind}")

    def transact(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> bool:
        """Store.transact(), and know at once what it wrote: else the next look would decide the same once more."""
        revision = self._store.commit(conditions, operations)
        for operation in operations if revision else ():
            value = self._store.encode(operation.key, operation.value) if isinstance(operation, Put) else None
            self.note(Event(operation.key, value, revision or 0))
        return revision is not None


class _Copy:
    """What is under one prefix, or at one key."""

    def __init__(self, prefix: str, kind: Any, decode: Callable[[str, bytes, Any], Any]) -> None:
        self.prefix = prefix
        self._decode = decode
        self.items: dict[str, Versioned[Any]] = {}
        self.folders: dict[str, dict[str, Versioned[Any]]] = {}
        """The same, by what the key is right below of."""
        self.unreadable: dict[str, int] = {}
        self._deleted: dict[str, int] = {}
        """When keys were deleted that events older than that may still come of."""
        self.kind = kind
        self._revision = 0
        """Of the last listing: events up to it are in it."""

    def covers(self, key: str) -> bool:
        """Whether the key belongs here."""
        return key.startswith(self.prefix) if self.prefix.endswith("/") else key == self.prefix

    def replace(self, snapshot: Snapshot[bytes]) -> set[str]:
        """Be what was listed; return the keys that are not as they were.

        Values are compared too: an etcd that was restored gives the same revisions to other values.
        """
        items, unreadable = self.items, self.unreadable
        self.items, self.folders, self.unreadable, self._deleted = {}, {}, {}, {}
        self._revision = snapshot.revision
        for found in snapshot.items:
            self._keep(found.key, found.value, found.revision, known=items.get(found.key))
        before, now = items.keys() | unreadable.keys(), self.items.keys() | self.unreadable.keys()
        return {
            key
            for key in before | now
            if items.get(key) != self.items.get(key) or unreadable.get(key) != self.unreadable.get(key)
        }

    def apply(self, event: Event) -> bool:
        """Take an event in; return whether it was news."""
        item = self.items.get(event.key)
        known = item.revision if item is not None else self.unreadable.get(event.key, self._deleted.get(event.key, 0))
        if event.revision <= max(known, self._revision):
            return False
        there = item is not None or event.key in self.unreadable
        self._drop(event.key)
        if event.value is None:
            self._deleted[event.key] = event.revision
            return there
        self._keep(event.key, event.value, event.revision)
        return True

    def _keep(self, key: str, data: bytes, revision: int, *, known: Versioned[Any] | None = None) -> None:
        """Have a value; where it is the one that was `known`, that one goes on: others hold it, too."""
        self._deleted.pop(key, None)
        try:
            item = Versioned(key, self._decode(key, data, self.kind), revision)
        except MalformedData as error:
            log.warning("left out: %s", error)
            self.unreadable[key] = revision
            return
        if known is not None and known == item and _is_same(known.value, item.value):
            item = known
        self.items[key] = item
        self.folders.setdefault(_folder(key), {})[key] = item

    def _drop(self, key: str) -> None:
        self.unreadable.pop(key, None)
        if self.items.pop(key, None) is not None:
            folder = self.folders[_folder(key)]
            del folder[key]
            if not folder:
                del self.folders[_folder(key)]


def _is_same(one: object, other: object) -> bool:
    """Whether two values are the same in what equality takes no notice of, too."""
    return one is other or codec.encode(one) == codec.encode(other)


def _folder(key: str) -> str:
    return key[: key.rfind("/") + 1]
