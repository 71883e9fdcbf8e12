"""The old service's API without a login, for clients that know none: on loopback only, and for no browser.

Only who may run programs on this control node reaches it; a browser there would carry foreign pages' wishes in.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from flask import Flask, request

from larva.errors import Refused
from web import recording, security
from web.cbnetwork import routes
from web.context import EXTENSION, Console, console

MOST_BODY_BYTES = 64 * 1024
NOBODY = "(program on the control node)"
"""In the audit log: this listener knows no names."""

BROWSERS_SEND = ("Origin", "Referer", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Cookie")
"""Headers that a browser adds by itself, and that a page can take away only in part."""


def create_local_app(console: Console) -> Flask:
    """Return the application of the loopback listener; it has neither sessions nor pages."""
    app = Flask("web.cbnetwork.local", static_folder=None, template_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=MOST_BODY_BYTES)
    app.extensions[EXTENSION] = console
    security.register(app)
    app.before_request(refuse_browsers)
    routes.register(app, guard=refuse_browsers, alone=True)
    return app


def refuse_browsers() -> None:
    """Refuse what a browser may have sent for a foreign page.

    A name that is not loopback's in `Host` is DNS rebinding. `Origin` comes with every request of a script to another
    origin, `Sec-Fetch-Site` with every request at all of a browser since 2023 (Fetch Metadata), to loopback too; older
    ones say `Mozilla/` for themselves, which no page can change without a script.

    Raises:
        Refused: such a request.
    """
    if not is_loopback(request.host):
        raise Refused(f"the name {request.host[:100]!r} is not this listener's", hint="call it 127.0.0.1 or localhost")
    sent = [name for name in BROWSERS_SEND if name in request.headers]
    if sent or request.headers.get("User-Agent", "").startswith("Mozilla/"):
        raise Refused("this listener serves no browsers", hint="use the console, or its API with an access token")
    recording.begin(console().store(), NOBODY)


def is_loopback(host: str) -> bool:
    """Whether a `Host` header names this machine to itself."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False
