"""Serve what a service tells Prometheus over HTTP, to one reader after the other."""

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

from larva.errors import InvalidInput
from larva.metrics import REGISTRY, Registry

log = logging.getLogger(__name__)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PATIENCE_S = 5.0
"""For a reader that connects and does not ask."""
OFF = "off"


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


class _Server(HTTPServer):
    def server_bind(self) -> None:
        # HTTPServer's own asks the name service who it is, which may take long where nothing answers.
        super(HTTPServer, self).server_bind()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the base class's form
        log.debug("a reader of metrics at %s went away: %s", client_address, sys.exception())


def _handler(registry: Registry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = PATIENCE_S
        server_version = "larva"
        sys_version = ""

        def do_GET(self) -> None:
            if self.path.split("?", 1)[0] != "/metrics":
                self.send_error(404)
                return
            body = registry.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
            log.debug(format, *arguments)

    return Handler
