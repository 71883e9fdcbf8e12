"""The console's HTTP server: gunicorn, one process with threads, TLS 1.2 and later."""

import contextlib
import logging
import resource
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, cast

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import ThreadWorker

from web.context import EXTENSION, Console
from web.open_pages import MOST_PAGES
from web.takeover import TAKE

THREADS = 64
"""For requests; open pages need none."""
FILES = MOST_PAGES + 4 * THREADS + 512
"""Open at once at most; the unit asks for more, and what a shell gives is often 1,024."""
GRACE_S = 5
UNFINISHED_S = 15.0
"""Who has not said by then what he wants is hung up on: anybody could hold every thread otherwise."""
UNTAKEN_S = 30.0
"""Who takes nothing of his answer for so long is hung up on, for the same reason."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainListener:
    """A second listener, without TLS, and the application that is served there and nowhere else."""

    address: IPv4Address | IPv6Address
    port: int
    make_app: Callable[[Flask], Flask]
    """From the main application, in the serving process."""


class _Plain:
    """gunicorn's configuration as a connection of the plain listener sees it."""

    is_ssl = False

    def __init__(self, cfg: Any) -> None:
        self._cfg = cfg

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cfg, name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """The files of the server's certificate and its key."""

    certificate: Path
    key: Path


class ConsoleWorker(ThreadWorker):  # type: ignore[misc] # gunicorn has no annotations
    """A worker that releases the open pages when it is told to end, and hangs up on callers who never finish speaking.

    gunicorn's threads read greeting, head and body, and write answers, without a bound of their own.
    """

    sockets: Any
    wsgi: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._listened_to: dict[Any, float] = {}
        self._taken: set[Any] = set()
        """Connections that are not the server's any more."""
        self._plain: Any = None
        """Where the plain listener listens."""

    def init_process(self) -> None:
        """Called in the serving process, which stays in here."""
        plain: PlainListener | None = self.app.plain
        if plain is not None:
            try:
                opened = _listen(plain)
            except OSError as error:  # the old service itself may still run here
                log.warning("nothing is served on %s port %d: %s", plain.address, plain.port, error.strerror)
            else:
                self.sockets = [*self.sockets, opened]
                self._plain = opened.getsockname()
        super().init_process()

    def load_wsgi(self) -> None:
        """Make the applications."""
        super().load_wsgi()
        plain: PlainListener | None = self.app.plain
        if plain is not None:
            self._plain_wsgi = plain.make_app(self.app.callable)
            self.wsgi = self._by_listener(self.wsgi)
        self.wsgi = self._giving_connections(self.wsgi)

    def _by_listener(self, main: Any) -> Any:
        """Which listener a connection came by decides, nothing that its request says."""

        def serve(environ: Any, start_response: Any) -> Any:
            here = environ["gunicorn.socket"].getsockname() == self._plain
            return (self._plain_wsgi if here else main)(environ, start_response)

        return serve

    def _giving_connections(self, wsgi: Any) -> Any:
        def serve(environ: Any, start_response: Any) -> Any:
            def take() -> Any:
                self._taken.add(environ["gunicorn.socket"])
                return environ["gunicorn.socket"]

            environ[TAKE] = take
            return wsgi(environ, start_response)

        return serve

    def finish_request(self, conn: Any, fs: Any) -> None:
        """Called in the main thread after `handle`."""
        if conn.sock in self._taken or conn.sock.fileno() < 0:
            self._taken.discard(conn.sock)
            self.nr_conns -= 1
        else:
            super().finish_request(conn, fs)

    def handle(self, conn: Any) -> Any:
        """Serve one request of a connection, in a thread of the pool."""
        self._listened_to[conn] = time.monotonic()
        if not conn.initialized:
            conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNTAKEN_S * 1000))  # tcp(7)
            if conn.server == self._plain:
                conn.cfg = _Plain(conn.cfg)
        try:
            stays = super().handle(conn)
        finally:
            self._listened_to.pop(conn, None)
        if not stays and conn.sock not in self._taken:
            with contextlib.suppress(OSError):  # it is closed already
                conn.close(graceful=True)  # here: it waits for the caller to hang up, which the main thread must not
        return stays

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request whose head was read; one that only looks is whole then, and may last as downloads do."""
        if req.method in ("GET", "HEAD"):
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
        if self.app.callable is not None:  # else it is told to end while it begins, and has nothing open yet
            self.method_queue.defer(_console(self.app.callable).close)

    handle_quit = handle_exit


def _console(app: Flask) -> Console:
    return cast("Console", app.extensions[EXTENSION])


class _Server(BaseApplication):  # type: ignore[misc] # gunicorn has no annotations
    def __init__(self, make_app: Callable[[], Flask], settings: dict[str, object], plain: PlainListener | None) -> None:
        self.plain = plain
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
    make_app: Callable[[], Flask],
    *,
    listen: str,
    tls: Certificate | None,
    ready: Callable[[Flask], None],
    plain: PlainListener | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        make_app: called in the serving process, after it was forked: connections to etcd do not survive a fork.
        listen: ADDRESS:PORT.
        tls: None serves plain HTTP.
        ready: called in the serving process once the application is there.
        plain: a second listener without TLS; when its port is taken, a line in the log says so.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:  # not so in the unit, which forbids this call
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, FILES), hard))
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
    _Server(make_app, settings, plain).run()


def _listen(plain: PlainListener) -> socket.socket:
    family = socket.AF_INET6 if plain.address.version == 6 else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((str(plain.address), plain.port))
        opened.listen()
    except OSError:
        opened.close()
        raise
    return opened
