"""The revocations that this machine has heard of, kept on disk: who can write etcd cannot make it forget them."""

import logging
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from cladnet.enrol.authority import LEAF_LIFETIME
from cladnet.model import RevocationList
from larva import codec, files, settings
from larva.errors import MalformedData

log = logging.getLogger(__name__)

NONE = RevocationList(number=0, serials={})
MARGIN = timedelta(days=1)
MOST_KEPT = 1000
"""So many are kept although their certificates have ended, some 70 kB: a clock that jumped ahead forgets nothing."""


def revocations_file() -> Path:
    """Where this host's agent keeps what it has heard."""
    return settings.state_directory() / "revocations.json"


class Memory:
    """The list of the highest number; safe to share between threads.

    Args:
        path: of its file, 0600.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._list = self._load()

    def _load(self) -> RevocationList:
        try:
            return codec.decode(self._path.read_bytes(), RevocationList, source=str(self._path))
        except FileNotFoundError:
            return NONE
        except (OSError, MalformedData) as error:
            log.warning("the revocations on disk are of no use: %s", error)
            return NONE

    @property
    def known(self) -> RevocationList:
        """The list as it is known."""
        return self._list

    def serials(self) -> frozenset[str]:
        """Serial numbers (hexadecimal) of the certificates that are good no more."""
        return frozenset(self._list.serials)

    def hear(self, heard: RevocationList) -> bool:
        """learn() what control nodes publish, and keep what was known before: restored ones may have forgotten some."""
        return self.learn(replace(heard, serials={**self._list.serials, **heard.serials}))

    def learn(self, heard: RevocationList) -> bool:
        """Remember a list, whose signature was seen, unless a newer one is known; return whether it was news.

        A disk that is full or read-only is logged: until a restart the list is remembered all the same.
        """
        with self._lock:
            if heard.number <= self._list.number:
                return False
            self._list = heard
            try:
                files.write_if_changed(self._path, codec.encode(heard), mode=files.SECRET)
            except OSError as error:
                log.warning("cannot keep the revocations for the next start in %s: %s", self._path, error.strerror)
            return True


def merged(known: RevocationList, *others: RevocationList, now: datetime) -> RevocationList:
    """Return everything that the lists say and that still matters: the newest list if it does, else one above it."""
    serials: dict[str, datetime] = {}
    for each in (known, *others):
        for serial, at in each.serials.items():
            serials[serial] = max(serials.get(serial, at), at)
    matters = {serial: at for serial, at in serials.items() if at + LEAF_LIFETIME + MARGIN > now}
    kept = serials if len(serials) <= MOST_KEPT else matters
    newest = max((known, *others), key=lambda each: each.number)
    if kept == newest.serials and newest.number > 0:
        return newest
    # Seconds of the clock keep it above what hosts have seen, also after etcd was restored from an old backup.
    return RevocationList(number=max(newest.number + 1, int(now.timestamp())), serials=kept)
