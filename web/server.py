"""The console's HTTP server: gunicorn, one process with threads, TLS 1.2 and later."""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import ThreadWorker

from web.context import EXTENSION, Console
from web.hub import MOST_PAGES

THREADS = MOST_PAGES + 32
"""Each open page holds one thread for its events; the rest answer requests."""
GRACE_S = 5
UNFINISHED_S = 15.0
"""Who has not said by then what he wants is hung up on: anybody could hold every thread otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The files of the server's certificate and its key."""

    certificate: Path
    key: Path


class ConsoleWorker(ThreadWorker):  # type: ignore[misc] # gunicorn has no annotations
    """A worker that releases the open pages when it is told to end, and hangs up on callers who never finish speaking.

    gunicorn's threads read greeting, head and body without a bound of their own.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._listened_to: dict[Any, float] = {}

    def handle(self, conn: Any) -> Any:
        """Serve one request of a connection, in a thread of the pool."""
        self._listened_to[conn] = time.monotonic()
        try:
            return super().handle(conn)
        finally:
            self._listened_to.pop(conn, None)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request whose head has been read; one by GET is whole then, and may last, as a page's events do."""
        if req.method == "GET":
            self._listened_to.pop(conn, None)
        return super().handle_request(req, conn)

    def notify(self) -> None:
        """Called every second at least, in the main thread."""
        super().notify()
        late = time.monotonic() - UNFINISHED_S
        for conn, since in tuple(self._listened_to.items()):
            if since < late:
                self._listened_to.pop(conn, None)
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(conn.sock, socket.SHUT_RDWR)  # wakes the thread; TLS is not asked

    def handle_exit(self, sig: int, frame: Any) -> None:
        """On SIGTERM: no new connections, and the hub closes those that last."""
        super().handle_exit(sig, frame)
        self.method_queue.defer(_console(self.app.callable).close)

    handle_quit = handle_exit


def _console(app: Flask) -> Console:
    return cast("Console", app.extensions[EXTENSION])


class _Server(BaseApplication):  # type: ignore[misc] # gunicorn has no annotations
    def __init__(self, make_app: Callable[[], Flask], settings: dict[str, object]) -> None:
        self._make_app = make_app
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._settings.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._make_app()


def _at_least_tls_1_2(_config: object, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    context = default()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def serve(
    make_app: Callable[[], Flask], *, listen: str, tls: Certificate | None, ready: Callable[[Flask], None]
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        make_app: called in the serving process, after it was forked: connections to etcd do not survive a fork.
        listen: ADDRESS:PORT.
        tls: None serves plain HTTP.
        ready: called in the serving process once the application is there.
    """
    settings: dict[str, object] = {
        "bind": [listen],
        "worker_class": ConsoleWorker,
        "workers": 1,  # events are fanned out within one process
        "threads": THREADS,
        "worker_connections": 4 * THREADS,
        "timeout": 60,
        "graceful_timeout": GRACE_S,
        "keepalive": 15,
        "limit_request_line": 4094,
        "limit_request_fields": 60,
        "control_socket_disable": True,
        "loglevel": "warning",
        "proc_name": "larva-console",
        "post_worker_init": lambda worker: ready(worker.app.callable),
    }
    if tls is not None:
        settings |= {"certfile": str(tls.certificate), "keyfile": str(tls.key), "ssl_context": _at_least_tls_1_2}
    _Server(make_app, settings).run()
