"""Follows etcd for all open pages: one watch in the process."""

import logging
import random
import threading
from collections.abc import Callable

from cladnet.etcd.store import Event, Store, Watch
from larva.errors import LarvaError
from web.messages import WATCHED, Message, Resync, message_of

log = logging.getLogger(__name__)

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 15.0


class Hub:
    """Owns the watch.

    Args:
        store: gives the connection to etcd; may raise LarvaError, and is then asked again later.
        publish: told every message.
    """

    def __init__(self, store: Callable[[], Store], publish: Callable[[Message], None]) -> None:
        self._store = store
        self._publish = publish
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._watch: Watch | None = None
        self._stop = threading.Event()

    def begin(self) -> None:
        """Follow from now on; not before the first page: the server forks, and threads do not survive that."""
        with self._lock:
            if self._thread is None and not self._stop.is_set():
                self._thread = threading.Thread(target=self._follow, name="larva-events", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()
        with self._lock:
            watch = self._watch
        if watch is not None:
            watch.close()

    def _follow(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._stop.is_set():
            try:
                with self._store().watch(WATCHED) as watch:
                    with self._lock:
                        self._watch = watch
                    if self._stop.is_set():
                        watch.close()
                    for event in watch:  # it begins with Relists: what changed while nobody watched is in no event
                        wait_s = FIRST_WAIT_S
                        message = message_of(event) if isinstance(event, Event) else Resync()
                        if message is not None:
                            self._publish(message)
            except LarvaError as error:
                log.warning("no news from etcd: %s; trying again within %.0f s", error, wait_s)
            except Exception:
                log.exception("no news from etcd, for what is a defect of ours; trying again within %.0f s", wait_s)
            self._stop.wait(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            wait_s = min(LONGEST_WAIT_S, wait_s * 2)
