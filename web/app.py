"""The console as a Flask application."""

from collections.abc import Callable
from pathlib import Path

from flask import Flask

from cladnet.enrol.authority import Authority
from cladnet.etcd.store import Store
from larva import settings
from web import api, compression, events, image_shelf, pages, problems, security, sessions
from web.api import document
from web.cbnetwork import routes as cbnetwork
from web.context import EXTENSION, Console
from web.enrolment import enrolment_blueprint
from web.hub import Hub
from web.login_guard import LoginGuard
from web.open_pages import OpenPages

MOST_BODY_BYTES = 64 * 1024
MOST_FORM_PARTS = 200


def create_app(
    open_store: Callable[[], Store],
    *,
    open_authority: Callable[[], Authority] | None = None,
    admit: Callable[[str], None] | None = None,
    hand_over: Callable[[str], str] | None = None,
    state_directory: Path | None = None,
    images: Path | None = None,
    secure: bool = True,
) -> Flask:
    """Return the console; it opens etcd only when the first request needs it.

    Args:
        open_store: gives the connection to etcd; called again after it failed.
        open_authority: gives the CA of this control node; without it no host can be enrolled here.
        admit: gives an enrolled host its rights in etcd; without it the controller does.
        hand_over: seals a further control node's secrets to its key; without it none can be enrolled here.
        state_directory: where the session key and the first password are kept; this host's own by default.
        images: where the images are that are handed out; without it where this host's join file says.
        secure: whether it is served by TLS; without it cookies travel in the clear: for tests on loopback.
    """
    app = Flask("web", static_folder="static", template_folder="templates")
    directory = state_directory or settings.state_directory()
    app.config.update(
        MAX_CONTENT_LENGTH=MOST_BODY_BYTES,
        MAX_FORM_MEMORY_SIZE=MOST_BODY_BYTES,
        MAX_FORM_PARTS=MOST_FORM_PARTS,
    )
    sessions.set_up(app, key=sessions.session_key(directory), secure=secure)
    open_pages = OpenPages(lambda claims: events.caller_of(console.store, claims))
    console = Console(
        open_store=open_store,
        state_directory=directory,
        hub=Hub(lambda: console.store(), open_pages.publish),
        pages=open_pages,
        login_guard=LoginGuard(),
        images=lambda: images or image_shelf.place(directory),
    )
    app.extensions[EXTENSION] = console
    problems.register(app)
    security.register(app)
    compression.register(app)
    app.register_blueprint(api.blueprint)
    app.register_blueprint(document.routes.blueprint)
    app.register_blueprint(document.page)
    app.register_blueprint(events.blueprint)
    app.register_blueprint(pages.blueprint)
    cbnetwork.register(app)
    if open_authority is not None:
        app.register_blueprint(enrolment_blueprint(console.store, open_authority, admit, hand_over))
    return app
