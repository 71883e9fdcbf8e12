"""The pages: rendered here, kept current by the scripts in `static`."""

from functools import partial

from flask import Blueprint, g
from flask_wtf.csrf import generate_csrf
from markupsafe import Markup

from web import sessions
from web.account_model import User
from web.pages import (
    account,
    audit,
    cladnets,
    hosts,
    images,
    language,
    login,
    overview,
    placement,
    storage,
    tokens,
    topology,
    users,
    volumes,
)
from web.roles import Caller, Right
from web.text import NAMES, for_scripts, text
from web.text import language as its_language

blueprint = Blueprint("pages", __name__)
for part, changing in (
    (cladnets.blueprint, Right.OPERATE), (cladnets.tests, Right.USE), (volumes.blueprint, Right.USE),
):  # fmt: skip
    part.before_request(partial(sessions.require_user, changing))
    blueprint.register_blueprint(part)
for part_of_seen in (
    overview,
    hosts,
    topology,
    placement,
    storage,
    images,
):  # each shows what the caller sees (`visible`), and changes nothing
    part_of_seen.blueprint.before_request(sessions.identify)
    blueprint.register_blueprint(part_of_seen.blueprint)
for part_of_people, right in (
    (users, Right.ADMINISTER), (audit, Right.ADMINISTER), (tokens, Right.OWN), (account, Right.OWN),
):  # fmt: skip
    part_of_people.blueprint.before_request(partial(sessions.require, right))
    blueprint.register_blueprint(part_of_people.blueprint)
for open_part in (login, language):
    blueprint.register_blueprint(open_part.blueprint)


@blueprint.app_context_processor
def words() -> dict[str, object]:
    """What every template may use: the words, and who is logged in."""
    user: User | None = g.get("user")
    return {
        "t": text,
        "language": its_language(),
        "other_languages": {each: name for each, name in NAMES.items() if each is not its_language()},
        "script_words": for_scripts(),
        "user_name": user.name if user else None,
        "people_pages": _people_pages(),
        "csrf_field": _csrf_field,
        "may": _may,
    }


def _may(right: str, group: str | None = None) -> bool:
    """Whether a page shows the caller what it may not do without this right."""
    caller: Caller = g.caller
    return caller.allows(Right(right), group)


def _people_pages() -> list[tuple[str, str]]:
    caller: Caller | None = g.get("caller")
    administers = caller is not None and caller.allows(Right.ADMINISTER)
    return [(f"/{name}", name) for name in ["users", "audit"] * administers + ["tokens", "account"]]


def _csrf_field() -> Markup:
    return Markup('<input type="hidden" name="csrf_token" value="{}">').format(generate_csrf())
