"""The trash, as the leading host keeps it: how long each volume has lain there, and when it is destroyed.

No clock empties it: what counts is for how long leaders saw a volume there, each by its own monotonic clock, and that
grows only while somebody looks. A wall clock can only make it later.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from cbstorage.model import VolumeSpecification
from cbstorage.volume_model import Trashed
from cladnet.etcd.store import Store, Versioned
from larva.errors import Conflict

log = logging.getLogger(__name__)

STEP_S = 300
"""Between two writes of how long a volume has lain there: what a leader that is lost has counted for nothing."""
GAP_S = 120.0
"""Whoever did not look for this long was not leading, or slept: the time between does not count."""


def is_due(entry: Trashed, now: datetime) -> bool:
    """Whether a volume's time in the trash is over.

    Two witnesses must agree, leaders' counting and the time that was written at the deletion. That may lie in the
    future, by a clock that went wrong: twice the time by counting alone is enough.
    """
    told = (now - entry.deleted_at).total_seconds() >= entry.keep_s
    return entry.seen_s >= entry.keep_s and (told or entry.seen_s >= 2 * entry.keep_s)


class TrashKeeper:
    """Counts, and destroys what is due.

    Args:
        purge: destroys a volume that lies in the trash; False when it must go on later.
        clock: monotonic, in seconds.
    """

    def __init__(
        self, store: Store, purge: Callable[[VolumeSpecification], bool], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._purge = purge
        self._clock = clock
        self._counted: dict[str, float] = {}
        self._looked = clock()

    def keep(self, trash: Mapping[str, Versioned[Trashed]]) -> bool:
        """Look once; True when nothing was left undone."""
        now = self._clock()
        if now - self._looked > GAP_S:
            self._counted.clear()
        self._looked = now
        self._counted = {name: self._counted.get(name, now) for name in trash}
        settled = True
        for name, item in trash.items():
            try:
                settled &= self._look(name, item, now)
            except Conflict:  # somebody took it back, or another leader was quicker
                settled = False
        return settled

    def _look(self, name: str, item: Versioned[Trashed], now: float) -> bool:
        entry = item.value
        if entry.purging:
            return self._destroy(item)
        gained = int(now - self._counted[name])
        if gained >= STEP_S or gained >= entry.keep_s - entry.seen_s > 0:
            item = self._write(item, replace(entry, seen_s=entry.seen_s + gained))
            self._counted[name] = now
        if is_due(item.value, datetime.now(UTC)):
            # From here on nobody can take it back; whoever did so before makes this write fail.
            return self._destroy(self._write(item, replace(item.value, purging=True)))
        return True

    def _write(self, item: Versioned[Trashed], value: Trashed) -> Versioned[Trashed]:
        return Versioned(item.key, value, self._store.replace(item, value))

    def _destroy(self, item: Versioned[Trashed]) -> bool:
        volume = item.value.volume
        if not self._purge(volume):
            log.info("volume %s of id %s is still being destroyed", volume.name, volume.id)
            return False
        self._store.delete(item.key, revision=item.revision)
        log.info("destroyed volume %s of id %s", volume.name, volume.id)
        return True
