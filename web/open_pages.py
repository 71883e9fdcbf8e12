"""Carries news to every open page from one thread, at the pace that each page takes them."""

import contextlib
import logging
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable

from larva.errors import Unavailable
from web.messages import Message
from web.open_page import OpenPage, PageGone, Session
from web.outbox import Note, Outbox
from web.roles import Caller

log = logging.getLogger(__name__)

MOST_PAGES = 1000
"""A page costs some 60 KB, most of it TLS's, and two of the process's files."""
PAUSE_S = 0.1
"""Between two rounds over all pages: what changes many times meanwhile is told once."""
LOOK_S = 1.0
RECHECK_S = 20.0
"""How often the sessions of open pages are checked again."""


class OpenPages:
    """Owns the connections of the pages, a thread that serves them and one that looks after their sessions.

    Args:
        caller_of: says who a session is of, None when it has ended; may raise LarvaError, and is then asked again.
    """

    def __init__(self, caller_of: Callable[[Session], Caller | None]) -> None:
        self._caller_of = caller_of
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._fresh = Outbox()
        """What all pages are to be told in the next round."""
        self._arriving: deque[OpenPage] = deque()
        self._pages: set[OpenPage] = set()
        self._selector = selectors.DefaultSelector()
        self._alarm: int | None = None
        """Wakes the thread that serves; there is one once that thread is."""

    def admit(self) -> None:
        """Raise Unavailable when there is no room for another page; better said before a handshake than after."""
        if self._stop.is_set() or len(self._pages) + len(self._arriving) >= MOST_PAGES:
            raise Unavailable("too many pages are open", hint="close some; this one still works without live news")

    def adopt(self, page: OpenPage) -> None:
        """Serve a page from now on; admit() was asked before."""
        with self._lock:
            self._arriving.append(page)
            if self._alarm is None:  # not before the first page: the server forks, and threads do not survive that
                self._alarm = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                self._selector.register(self._alarm, selectors.EVENT_READ)
                for name, run in (("larva-pages", self._serve), ("larva-page-sessions", self._keep_rechecking)):
                    threading.Thread(target=run, name=name, daemon=True).start()
        self._wake()

    def publish(self, message: Message) -> None:
        """Tell every page."""
        if not (self._arriving or self._pages):
            return  # who comes later begins with reading everything
        note = Note.of(message)
        with self._lock:
            first = not self._fresh
            self._fresh.put(note)
        if first:
            self._wake()

    def close(self) -> None:
        """Hang up on every page."""
        self._stop.set()
        self._wake()

    def _wake(self) -> None:
        if self._alarm is not None:
            os.eventfd_write(self._alarm, 1)

    def _serve(self) -> None:
        next_round = next_look = 0.0
        while not self._stop.is_set():
            now = time.monotonic()
            until = min(next_look, next_round) if self._fresh else next_look
            for key, _ in self._selector.select(max(0.0, until - now)):
                if isinstance(key.data, OpenPage):
                    self._attend(key.data, time.monotonic(), readable=True)
                else:
                    os.eventfd_read(key.fd)
            now = time.monotonic()
            while self._arriving:
                self._welcome(now)
            if self._fresh and now >= next_round:
                self._round(now)
                next_round = time.monotonic() + PAUSE_S
            if now >= next_look:
                next_look = now + LOOK_S
                for page in tuple(self._pages):
                    self._attend(page, now, look=True)
        for page in (*self._pages, *self._arriving):
            page.hang_up()

    def _welcome(self, now: float) -> None:
        page = self._arriving[0]
        with self._lock:  # it counts all the while
            self._pages.add(page)
            self._arriving.popleft()
        self._attend(page, now, fresh=True)

    def _round(self, now: float) -> None:
        with self._lock:
            notes = self._fresh.take()
        for page in tuple(self._pages):
            for note in notes:
                page.tell(note)
            self._attend(page, now)

    def _attend(
        self, page: OpenPage, now: float, *, fresh: bool = False, readable: bool = False, look: bool = False
    ) -> None:
        """Do what is due to one page; whatever goes wrong there ends there."""
        before = page.interest
        try:
            if fresh:
                self._selector.register(page.connection, before, page)
            if readable:
                page.read(now)
            if look:
                page.look(now)
            page.write(now)
            if page.interest != before:
                self._selector.modify(page.connection, page.interest, page)
        except (PageGone, OSError):
            self._let_go(page)
        except Exception:
            log.exception("a page is closed, for what is a defect of ours")  # the others have no part in it
            self._let_go(page)

    def _let_go(self, page: OpenPage) -> None:
        with self._lock:
            self._pages.discard(page)
        with contextlib.suppress(KeyError, ValueError):  # it never came so far
            self._selector.unregister(page.connection)
        page.hang_up()

    def _keep_rechecking(self) -> None:
        while not self._stop.wait(RECHECK_S):
            with self._lock:
                pages = tuple(self._pages)
            for session in {page.session for page in pages}:
                try:
                    caller = self._caller_of(session)
                except Unavailable:
                    break  # etcd is away: nothing secret flows meanwhile
                except Exception as error:  # noqa: BLE001 - whoever cannot be checked hears no more, the others do
                    log.warning("a page is closed, since its session cannot be checked: %r", error)
                    caller = None
                for page in pages:
                    if page.session == session:
                        page.caller = caller
