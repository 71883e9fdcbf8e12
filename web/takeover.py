"""How an application takes a connection from the server, for longer than a request lasts."""

import socket
from collections.abc import Callable, Mapping
from typing import Any, cast

from flask import Response

from larva.errors import Unavailable

TAKE = "larva.take_connection"
"""In a WSGI environment: gives its connection; from then on the server neither uses nor closes it."""


class Taken(Response):
    """Stands for the answer to a request whose connection was taken: whoever took it answers."""

    def __call__(self, *_: object) -> Any:
        """End the request; gunicorn's threads know this as the end of a connection."""
        raise StopIteration


def take(environ: Mapping[str, object]) -> socket.socket:
    """Take the connection of a request.

    Raises:
        Unavailable: this server does not give it.
    """
    if TAKE not in environ:
        raise Unavailable("live events need the console's own server", hint="start it by `larva console serve`")
    return cast("Callable[[], socket.socket]", environ[TAKE])()
