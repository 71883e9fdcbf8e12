"""The WebSocket of a page: typed JSON messages, for whoever is logged in, from our own pages only."""

import time
from collections.abc import Callable

from flask import Blueprint, Response, g, request, session
from wsproto.utilities import generate_accept_token

from cladnet.etcd.store import Store
from larva.errors import InvalidInput, Refused
from web import accounts, sessions
from web.context import console
from web.open_page import OpenPage, Session
from web.roles import Caller
from web.security import from_our_pages
from web.takeover import Taken, take

PATH = "/v1/events"
VERSION = "13"  # RFC 6455, §4.1

blueprint = Blueprint("events", __name__)


@blueprint.before_request
def admit() -> None:
    """Check session and origin before the handshake is answered.

    Raises:
        NotAuthenticated: nobody is logged in.
        Refused: a page of another site asks.
        Unavailable: too many pages are open.
    """
    sessions.identify()
    if not from_our_pages(request):
        raise Refused("live events are for this console's own pages", hint="programs read /v1/cladnets instead")
    console().pages.admit()


@blueprint.route(PATH, websocket=True)
def events() -> Response:
    """Tell what changes until the page goes, its session ends or the server stops."""
    greeting = _greeting()
    claims: Session = tuple(item for item in session.items() if isinstance(item[1], str | int | float))
    page = OpenPage(take(request.environ), greeting, caller=g.caller, session=claims, now=time.monotonic())
    console().hub.begin()
    console().pages.adopt(page)
    return Taken()


def caller_of(store: Callable[[], Store], claims: Session) -> Caller | None:
    """Say who a session is of; None when it has ended."""
    user = sessions.holds(store(), dict(claims))
    return accounts.caller(user) if user is not None else None


def _greeting() -> bytes:
    """The server's half of the opening handshake (RFC 6455, §4.2.2)."""
    key = request.headers.get("Sec-WebSocket-Key", "")
    if not key or request.headers.get("Sec-WebSocket-Version") != VERSION:
        raise InvalidInput("this is no handshake of a WebSocket", hint=f"version {VERSION} with a key is understood")
    accepted = generate_accept_token(key.encode("latin-1")).decode()
    head = ("HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade")
    return "\r\n".join((*head, f"Sec-WebSocket-Accept: {accepted}", "", "")).encode("latin-1")
