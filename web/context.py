"""What every request of the console needs, kept once per process and found through the Flask application."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar, cast

from flask import current_app, g

from cladnet.etcd.store import Store
from web.checksums import Checksums
from web.hub import Hub
from web.login_guard import LoginGuard
from web.open_pages import OpenPages
from web.shared import SharedReadings

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

EXTENSION = "larva"


@dataclass(slots=True, kw_only=True)
class Console:
    """The process's connection to etcd, its event hub, and its memory of failed logins and of files' checksums."""

    open_store: Callable[[], Store]
    state_directory: Path
    hub: Hub
    pages: OpenPages
    login_guard: LoginGuard
    images: Callable[[], Path]
    """Where the images are that are handed out."""
    checksums: Checksums = field(default_factory=Checksums)
    shared: SharedReadings = field(default_factory=SharedReadings)
    _store: Store | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def store(self) -> Store:
        """Return the connection to etcd, opened by the first who asks.

        Raises:
            Unavailable, NotFound: this host cannot reach etcd, or is not enrolled yet.
        """
        with self._lock:
            if self._store is None:
                self._store = self.open_store()
            return self._store

    def close(self) -> None:
        """End the watch, every page's connection and the one to etcd."""
        self.hub.close()
        self.pages.close()
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None


def console() -> Console:
    """Return the Console of the application that handles this request."""
    return cast("Console", current_app.extensions[EXTENSION])


def store() -> Store:
    """Return this process's connection to etcd; for a request that may change things, one that records who does so."""
    recorded: Store | None = g.get("store")
    return recorded if recorded is not None else console().store()


def shared(read: Callable[[Store, K], T], what: K) -> T:
    """Return what `read` returns of `what`, read once for all who ask for that now; it must not be changed.

    Args:
        read: takes nothing from the request, such as its language or its caller.
    """
    return console().shared.read((read, what), lambda: read(console().store(), what))
