"""Fans the changes of etcd out to every open page: one watch in the process, one bounded outbox a page."""

import logging
import random
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cladnet.etcd.store import Event, Store, Watch
from larva.errors import LarvaError, Unavailable
from web.messages import WATCHED, Message, Resync, message_of

log = logging.getLogger(__name__)

OUTBOX_MESSAGES = 256
"""More different changes than this between two sends, and the page had better read everything anew."""
MOST_PAGES = 64
"""Each open page holds one of the server's threads."""
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 15.0


class Outbox:
    """What one page has not been sent yet: the last message on each subject, or a Resync when that grows too much."""

    def __init__(self, limit: int = OUTBOX_MESSAGES) -> None:
        self._limit = limit
        self._waiting: OrderedDict[object, Message] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the server is going down."""
        return self._closed

    def put(self, message: Message) -> None:
        """Add a message; a later one on the same subject takes the place of an earlier one."""
        with self._changed:
            resync = Resync()
            if resync.subject in self._waiting:
                return  # the page will read everything anyway
            self._waiting.pop(message.subject, None)
            self._waiting[message.subject] = message
            if len(self._waiting) > self._limit or isinstance(message, Resync):
                self._waiting.clear()
                self._waiting[resync.subject] = resync
            self._changed.notify()

    def take(self, timeout_s: float) -> tuple[Message, ...]:
        """Return and forget what is waiting, oldest first; empty after `timeout_s` without any."""
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._closed, timeout_s)
            taken = tuple(self._waiting.values())
            self._waiting.clear()
            return taken

    def close(self) -> None:
        """Wake whoever takes, for the last time."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Hub:
    """Owns the watch and the outboxes.

    Args:
        store: gives the connection to etcd; may raise LarvaError, and is then asked again later.
    """

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store
        self._outboxes: set[Outbox] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._watch: Watch | None = None
        self._stop = threading.Event()

    def admit(self) -> None:
        """Raise Unavailable when there is no room for another page; better said before a handshake than after."""
        if self._stop.is_set() or len(self._outboxes) >= MOST_PAGES:
            raise Unavailable("too many pages are open", hint="close some; this one still works without live news")

    @contextmanager
    def subscription(self) -> Iterator[Outbox]:
        """Give an outbox that fills until the block is left; it begins with a Resync.

        Raises:
            Unavailable: too many pages are open, or the server is going down.
        """
        outbox = Outbox()
        outbox.put(Resync())
        with self._lock:
            self.admit()
            self._outboxes.add(outbox)
            if self._thread is None:  # not before the first page: the server forks, and threads do not survive that
                self._thread = threading.Thread(target=self._follow, name="larva-events", daemon=True)
                self._thread.start()
        try:
            yield outbox
        finally:
            with self._lock:
                self._outboxes.discard(outbox)

    def publish(self, message: Message) -> None:
        """Put a message into every outbox."""
        with self._lock:
            outboxes = tuple(self._outboxes)
        for outbox in outboxes:
            outbox.put(message)

    def close(self) -> None:
        """Stop watching and release every page."""
        self._stop.set()
        with self._lock:
            watch, outboxes = self._watch, tuple(self._outboxes)
        if watch is not None:
            watch.close()
        for outbox in outboxes:
            outbox.close()

    def _follow(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._stop.is_set():
            try:
                watch = self._store().watch(WATCHED)
                with self._lock:
                    self._watch = watch
                if self._stop.is_set():
                    watch.close()
                for event in watch:  # it begins with Relists: what changed while nobody watched is in no event
                    wait_s = FIRST_WAIT_S
                    message = message_of(event) if isinstance(event, Event) else Resync()
                    if message is not None:
                        self.publish(message)
            except LarvaError as error:
                log.warning("no news from etcd: %s; trying again within %.0f s", error, wait_s)
            self._stop.wait(wait_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            wait_s = min(LONGEST_WAIT_S, wait_s * 2)
