"""Whose turn it is: a queue in etcd, a key on a lease for each host. The oldest has the turn; who dies leaves.

Each host writes its own key only, so that nobody can take another's turn away. A lease says nothing of a process that
was frozen and goes on: ask `holds` before each step, and whoever is harmed by two at once as well.
"""

import contextlib
import logging
import random
import threading
import time
from collections.abc import Iterator, Mapping

from cladnet.etcd.store import Lease, Store
from larva.errors import Conflict, TimedOut, Unavailable

log = logging.getLogger(__name__)

TTL_S = 60
"""So long the turn of a host that died is still its."""
LOOK_S = 2.0


class Turn:
    """This host's place in a queue.

    Args:
        prefix: of the queue's keys, ending with a slash.
        host: under whose name this one stands; it may stand there once.
        ttl_s: seconds of its lease.
    """

    def __init__(self, store: Store, prefix: str, host: str, *, ttl_s: int = TTL_S) -> None:
        self._store = store
        self._prefix = prefix
        self._host = host
        self._ttl_s = ttl_s
        self._lease: Lease | None = None
        self._revision = 0
        self._ended = threading.Event()

    @contextlib.contextmanager
    def taken(self, *, patience_s: float, look_s: float = LOOK_S) -> Iterator[None]:
        """Queue up, go on when it is this host's turn, and leave at the end, however that comes.

        Args:
            patience_s: seconds to wait.
            look_s: pause between two looks.

        Raises:
            TimedOut: it did not come in time; the message names who has it.
            Unavailable: etcd does not answer at the beginning, or at the end of that time.
        """
        deadline = time.monotonic() + patience_s
        keeper = threading.Thread(target=self._keep, name="turn", daemon=True)
        try:
            self._queue_up(deadline, look_s)
            keeper.start()
            self._wait(deadline, look_s)
            yield
        finally:
            self._ended.set()
            if keeper.is_alive():
                keeper.join()
            if self._lease is not None:
                with contextlib.suppress(Unavailable):  # then it ends by itself
                    self._lease.revoke()

    def holds(self) -> None:
        """Return if it is this host's turn still.

        Raises:
            Conflict: the lease ended, and it may be another's.
            Unavailable: etcd does not answer, so nobody knows.
        """
        if self._lease is None or not self._lease.refresh() or self._first() != self._host:
            raise Conflict("this host's turn is over: it was not heard of for too long", hint="start again")

    def _queue_up(self, deadline: float, look_s: float) -> None:
        """Write the key; one that stands there is of a run that was killed, whose programs may still be at it."""
        if self._lease is not None:
            self._lease.revoke()  # and with it a key of which no answer told that it was written
        self._lease = self._store.lease(self._ttl_s)
        while True:
            try:
                self._revision = self._store.create(self._prefix + self._host, self._host, lease=self._lease)
            except Conflict as error:
                if time.monotonic() > deadline:
                    raise TimedOut("an earlier run of this host has not ended", hint="try again") from error
                time.sleep(random.uniform(look_s / 2, look_s))  # noqa: S311 - jitter
                if not self._lease.refresh():
                    self._lease = self._store.lease(self._ttl_s)
            else:
                return

    def _wait(self, deadline: float, look_s: float) -> None:
        """Return when it is this host's turn; one whose lease ended meanwhile, as of a frozen host, queues up again."""
        told = ""
        while True:
            late = time.monotonic() > deadline
            try:
                ahead = self._first()
                if ahead == self._host:
                    return
                if not ahead and not late:
                    self._queue_up(deadline, look_s)
                words = f"it is {ahead}'s turn" if ahead else "this host had lost its place, and queues up again"
            except Unavailable as error:
                if late:
                    raise
                words = error.message
            else:
                if late:
                    raise TimedOut(f"it was {ahead or 'nobody'}'s turn for too long", hint="the next run tries again")
            if words != told:
                log.info("waiting: %s", words)
                told = words
            time.sleep(random.uniform(look_s / 2, look_s))  # noqa: S311 - jitter

    def _first(self) -> str:
        """Whose turn it is; nobody's where this host's own place is gone, or is not the one it took."""
        standing = self._store.revisions(self._prefix)
        if standing.get(self._prefix + self._host) != self._revision:
            return ""
        return first(self._prefix, standing)

    def _keep(self) -> None:
        """Renew the lease, whichever it is: of one that ended, whoever looks at the queue hears."""
        while not self._ended.wait(self._ttl_s / 4):
            try:
                if self._lease is not None:
                    self._lease.refresh()
            except Unavailable as error:
                log.warning("the turn is not renewed: %s", error.message)


def first(prefix: str, standing: Mapping[str, int]) -> str:
    """Return the host that came first; empty without any. A key is written once, so its revision is its age."""
    return min(standing, key=lambda key: standing[key]).removeprefix(prefix) if standing else ""
