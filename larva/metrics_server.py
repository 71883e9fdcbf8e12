"""Serve what a service tells Prometheus over HTTP, to one reader after the other.

One page for GET is all it knows of HTTP/1.1 (RFC 9112): the library's server loads e-mail and HTML, 2 MB in an agent.
"""

import contextlib
import logging
import re
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus

from larva.errors import InvalidInput
from larva.metrics import REGISTRY, Registry

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATIENCE_S = 5.0
"""For a reader to ask, from its first byte to its last, and again to take the answer: a drip holds up nobody longer."""
OFF = "off"
_LONGEST = 8192
"""Of a request, in bytes."""
_BLANK_LINE = re.compile(rb"(?:^|\n)\r?\n")


@contextlib.contextmanager
def served(address: str, registry: Registry = REGISTRY) -> Iterator[int | None]:
    """Serve `GET /metrics` meanwhile; gives the port, None when nothing is served.

    A port that is taken is logged and no more: nobody shall lose the network for want of a graph.

    Args:
        address: `ADDRESS:PORT`, port 0 for any; `off` serves nothing.

    Raises:
        InvalidInput: it is neither.
    """
    if address == OFF:
        yield None
        return
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise InvalidInput(f"{address!r} is no address to serve metrics at", hint="write 127.0.0.1:9101, or off")
    try:
        server = _Server((host, int(port)), _handler(registry))
    except OSError as error:
        log.warning("no metrics at %s: %s", address, error.strerror or error)
        yield None
        return
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=PATIENCE_S)


class _Server(socketserver.TCPServer):
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class's form
        log.debug("a reader of metrics at %s went away: %s", client_address, sys.exception())


def _handler(registry: Registry) -> type[socketserver.BaseRequestHandler]:
    class Handler(socketserver.BaseRequestHandler):
        request: socket.socket

        def handle(self) -> None:
            head = _head(self.request)
            if not head:
                return
            status = _asked(head)
            body = registry.text().encode() if status is HTTPStatus.OK else f"{status.phrase}\n".encode()
            lines = (
                f"HTTP/1.1 {status.value} {status.phrase}",
                f"Content-Type: {CONTENT_TYPE}",
                f"Content-Length: {len(body)}",
                "Connection: close",
            )
            self.request.settimeout(PATIENCE_S)  # of sendall() for all of it, not for each part
            self.request.sendall("".join(f"{line}\r\n" for line in (*lines, "")).encode() + body)

    return Handler


def _head(reader: socket.socket) -> bytes:
    """Return a request up to its blank line; less when the reader ended before, more than a request when it is none.

    Raises:
        TimeoutError: it was not there in time, however often some of it came.
    """
    deadline = time.monotonic() + PATIENCE_S
    head = b""
    while len(head) < _LONGEST and _BLANK_LINE.search(head) is None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request was not there in time")
        reader.settimeout(left)
        data = reader.recv(_LONGEST)
        if not data:
            break
        head += data
    return head


def _asked(head: bytes) -> HTTPStatus:
    """Say how a request is answered."""
    if _BLANK_LINE.search(head) is not None:
        match head.split(b"\n", 1)[0].split():
            case [b"GET", target, version] if version.startswith(b"HTTP/1."):
                return HTTPStatus.OK if target.split(b"?", 1)[0] == b"/metrics" else HTTPStatus.NOT_FOUND
            case [_, _, version] if version.startswith(b"HTTP/1."):
                return HTTPStatus.METHOD_NOT_ALLOWED
    return HTTPStatus.BAD_REQUEST
