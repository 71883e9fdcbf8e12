"""The rows of a status test as they come: follows a watch, so that nobody asks etcd again and again."""

import logging
import threading
from collections.abc import Callable, Iterator

from cladnet import keys
from cladnet.etcd.store import Event, Relist, Store
from cladnet.model import HostStatus, TestSpecification
from larva import codec
from larva.errors import MalformedData

log = logging.getLogger(__name__)


def arriving(
    store: Store, group: str, test: TestSpecification, *, expected: Callable[[], set[str]], wait_s: float
) -> Iterator[HostStatus]:
    """Yield each host's row of a test once; end when every expected host has answered.

    Args:
        expected: the hosts whose row is waited for; asked again when a host comes, goes or changes.
        wait_s: seconds after which it ends with what has come.
    """
    statuses, asked = keys.statuses_of(group), store.get(keys.test_specification(group), TestSpecification)
    # Rows are written after the test: a watch from there on brings each of them, and nothing needs to be listed.
    start = asked.revision + 1 if asked is not None and asked.value.id == test.id else None
    seen: set[str] = set()
    wanted = expected()
    with store.watch([statuses, keys.presences_of(group), keys.rules_of(group)], start_revision=start) as watch:
        bell = threading.Timer(wait_s, watch.close)
        bell.daemon = True
        bell.start()
        try:
            items = iter(watch)
            while not wanted <= seen:
                item = next(items, None)  # None: the time is over
                for row in _rows(store, statuses, item):
                    if row.test_id == test.id and row.host not in seen:
                        seen.add(row.host)
                        yield row
                if item is None:
                    return
                if isinstance(item, Relist) or not item.key.startswith(statuses):
                    wanted = expected()
        finally:
            bell.cancel()


def _rows(store: Store, statuses: str, item: Event | Relist | None) -> tuple[HostStatus, ...]:
    """The rows that one item of the watch brings: all there are when events may have been missed, and at the end."""
    if not isinstance(item, Event):
        return tuple(row.value for row in store.children(statuses, HostStatus).values())
    if item.value is None or keys.child(statuses, item.key) is None:
        return ()
    try:
        return (codec.decode(item.value, HostStatus, source=item.key),)
    except MalformedData as error:  # a host wrote it: the others' rows count, and its own is waited for
        log.warning("left out: %s", error)
        return ()
