"""Serve what a service tells Prometheus over HTTP, to one reader after the other.

One page for GET is all it knows of HTTP/1.1 (RFC 9112): the library's server loads e-mail and HTML, 2 MB in an agent.
"""

import contextlib
import logging
import socketserver
import sys
import threading
from collections.abc import Iterator
from http import HTTPStatus

from larva.errors import InvalidInput
from larva.metrics import REGISTRY, Registry

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATIENCE_S = 5.0
"""For a reader that connects and does not ask."""
OFF = "off"
_LONGEST_LINE = 4096
_MOST_LINES = 100


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


def _handler(registry: Registry) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        timeout = PATIENCE_S

        def handle(self) -> None:
            status = self._asked()
            if status is None:
                return
            body = registry.text().encode() if status is HTTPStatus.OK else f"{status.phrase}\n".encode()
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}",
                f"Content-Type: {CONTENT_TYPE}",
                f"Content-Length: {len(body)}",
                "Connection: close",
            )
            self.wfile.write("".join(f"{line}\r\n" for line in (*head, "")).encode() + body)

        def _asked(self) -> HTTPStatus | None:
            """Read a request and say how it is answered; None when there was none."""
            lines = []
            for _ in range(_MOST_LINES):
                line = self.rfile.readline(_LONGEST_LINE)
                if line in (b"\r\n", b"\n"):
                    break
                if not line.endswith(b"\n"):
                    return HTTPStatus.BAD_REQUEST if line else None
                lines.append(line)
            else:
                return HTTPStatus.BAD_REQUEST
            match lines[0].split() if lines else []:
                case [b"GET", target, version] if version.startswith(b"HTTP/1."):
                    return HTTPStatus.OK if target.split(b"?", 1)[0] == b"/metrics" else HTTPStatus.NOT_FOUND
                case [_, _, version] if version.startswith(b"HTTP/1."):
                    return HTTPStatus.METHOD_NOT_ALLOWED
            return HTTPStatus.BAD_REQUEST

    return Handler
