"""The WebSocket of a page: typed JSON messages from the hub, for whoever is logged in, from our own pages only."""

import time

from flask import Blueprint, Response, g, request, session
from flask_sock import Sock
from simple_websocket import ConnectionClosed, Server

from larva import codec
from larva.errors import Refused, Unavailable
from web import accounts, sessions
from web.context import console
from web.duplex import DuplexSocket
from web.messages import Resync
from web.roles import Caller
from web.security import from_our_pages

PATH = "/v1/events"
PING_S = 25
STALLED_S = 20.0
"""A page that takes nothing for this long is cut off."""
RECHECK_S = 20.0
"""How often an open page's session is checked again."""
SERVER_OPTIONS = {"ping_interval": PING_S, "max_message_size": 4096}

blueprint = Blueprint("events", __name__)
sock = Sock()


@blueprint.before_request
def admit() -> None:
    """Check session and origin before the handshake is answered, and make its socket fit for two threads.

    Raises:
        NotAuthenticated: nobody is logged in.
        Refused: a page of another site asks.
    """
    sessions.identify()
    if not from_our_pages(request):
        raise Refused("live events are for this console's own pages", hint="programs read /v1/cladnets instead")
    console().hub.admit()
    for name in ("gunicorn.socket", "werkzeug.socket"):
        if name in request.environ:
            request.environ[name] = DuplexSocket(request.environ[name], STALLED_S)


@sock.route(PATH, bp=blueprint)  # type: ignore[untyped-decorator] # flask-sock has no annotations
def events(socket: Server) -> Response | None:
    """Send what changes until the page goes, its session ends or the server stops."""
    claims = dict(session)
    caller: Caller = g.caller
    try:
        with console().hub.subscription() as outbox:
            checked = time.monotonic()
            while socket.connected and not outbox.closed:
                for message in outbox.take(timeout_s=2.0):
                    if isinstance(message, Resync) or caller.sees(message.cladnet):
                        socket.send(codec.encode(message).decode())
                if time.monotonic() - checked > RECHECK_S:
                    checked = time.monotonic()
                    try:
                        user = sessions.holds(console().store(), claims, time.time())
                        if user is None:
                            return None
                        caller = accounts.caller(user)
                    except Unavailable:
                        continue  # etcd is away: nothing secret flows meanwhile
    except (ConnectionClosed, OSError):
        return None  # the page went away, or reads nothing
    return None
