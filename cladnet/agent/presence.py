"""A host's sign of life in a CLADNet: a key on a lease that vanishes when its agent does."""

import logging
import random
import threading
from collections.abc import Callable

from cladnet.etcd.store import Lease, Store
from larva.errors import LarvaError

log = logging.getLogger(__name__)

TTL_S = 15
REFRESH_S = 5.0


class Presence:
    """Keeps one key alive; a lease that was lost is made anew.

    Args:
        wanted: whether the host should be seen now; asked before each refresh.
    """

    def __init__(self, store: Store, key: str, host: str, *, wanted: Callable[[], bool]) -> None:
        self._store = store
        self._key = key
        self._host = host
        self._wanted = wanted
        self._lease: Lease | None = None

    def run(self, stop: threading.Event) -> None:
        """Refresh until `stop` is set. The key then ends with its lease: a restarting agent is not missed."""
        trouble = False
        while not stop.is_set():
            try:
                self._refresh()
                if trouble:
                    log.info("seen by the control plane again")
                trouble = False
            except LarvaError as error:
                log.log(logging.DEBUG if trouble else logging.WARNING, "not seen by the control plane: %s", error)
                trouble = True
            except Exception:  # a defect of ours must not make the host vanish; it is logged in full
                log.exception("not seen by the control plane: unexpected failure")
                trouble = True
            stop.wait(REFRESH_S * random.uniform(0.8, 1.0))  # noqa: S311 - jitter

    def _refresh(self) -> None:
        if not self._wanted():
            return
        if self._lease is None or not self._lease.refresh():
            self._lease = self._store.lease(TTL_S)
        elif self._store.exists(self._key):
            return
        self._store.put(self._key, self._host, lease=self._lease)

    def end(self) -> None:
        """Take the key away at once: the host leaves."""
        if self._lease is not None:
            self._lease.revoke()
            self._lease = None
