"""Sessions of people: listed, ended from anywhere, and over as soon as the account is another one."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from contract import checked_client
from flask import Flask
from flask.testing import FlaskClient

from cladnet.etcd.store import Store
from larva import codec
from larva.errors import Conflict
from web import access_tokens, accounts, audit, logins
from web.account_model import SESSIONS, Session, User
from web.app import create_app
from web.roles import AccountRole

PASSWORD = "correct-horse-battery"


@pytest.fixture
def app(console_etcd: str, console_store: Store, tmp_path: Path) -> Iterator[Flask]:
    app = create_app(lambda: Store([console_etcd]), state_directory=tmp_path, secure=False)
    app.testing = False
    app.test_client_class = checked_client(app)
    for name, role in (("admin", AccountRole.ADMIN), ("kim", AccountRole.OPERATOR), ("lee", AccountRole.VIEWER)):
        accounts.create(console_store, name, PASSWORD, role)
    yield app
    app.extensions["larva"].close()


def csrf_of(client: FlaskClient, path: str = "/login") -> str:
    found = re.search(r'name="csrf-token" content="([^"]+)"', client.get(path).text)
    assert found
    return found[1]


def browser(app: Flask, user: str, agent: str = "Firefox on a desk") -> FlaskClient:
    """A browser in which somebody has logged in."""
    client = app.test_client()
    client.environ_base["HTTP_USER_AGENT"] = agent
    form = {"user": user, "password": PASSWORD, "csrf_token": csrf_of(client)}
    assert client.post("/login", data=form).status_code == 303
    client.environ_base["HTTP_X_CSRFTOKEN"] = csrf_of(client)
    return client


def inside(client: FlaskClient) -> bool:
    return client.get("/v1/me").status_code == 200


def test_a_session_is_listed_with_where_it_is(app: Flask) -> None:
    kim = browser(app, "kim")
    browser(app, "lee")
    (listed,) = kim.get("/v1/me/sessions").json["sessions"]
    assert (listed["address"], listed["browser"]) == ("127.0.0.1", "Firefox on a desk")
    admin = browser(app, "admin")
    assert admin.get("/v1/users/kim/sessions").json["sessions"] == [listed]
    assert kim.get("/v1/users/lee/sessions").status_code == 403


def test_a_stolen_cookie_is_of_no_use_after_the_logout(app: Flask) -> None:
    kim = browser(app, "kim")
    thief = app.test_client()
    with kim.session_transaction() as mine, thief.session_transaction() as stolen:
        stolen.update(mine)
    assert inside(thief)
    assert kim.post("/logout", data={}).status_code == 303
    assert not inside(thief)


def test_one_session_is_ended_from_another(app: Flask, console_store: Store) -> None:
    desk, phone = browser(app, "kim"), browser(app, "kim", "a telephone")
    listed = desk.get("/v1/me/sessions").json["sessions"]
    wanted = next(each["id"] for each in listed if each["browser"] == "a telephone")
    lee = browser(app, "lee")
    assert lee.delete(f"/v1/me/sessions/{wanted}").status_code == 404, "it is none of hers"
    assert desk.delete(f"/v1/me/sessions/{wanted}").status_code == 204
    assert (inside(desk), inside(phone)) == (True, False)
    assert desk.delete(f"/v1/me/sessions/{wanted}").status_code == 404
    entry = next(audit.newest_first(console_store))
    assert (entry.user, entry.action) == ("kim", "sessions.end_own")
    assert entry.changes[0].before["browser"] == "a telephone"


def test_logging_out_everywhere_leaves_others_and_tokens_alone(app: Flask, console_store: Store) -> None:
    desk, phone, lee = browser(app, "kim"), browser(app, "kim"), browser(app, "lee")
    program = app.test_client()
    program.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {access_tokens.create(console_store, 'kim')}"
    assert desk.delete("/v1/me/sessions").status_code == 204
    assert [inside(each) for each in (desk, phone, lee, program)] == [False, False, True, True]
    assert program.delete("/v1/me/sessions").status_code == 204, "there is none, and that is well"


def test_a_narrow_token_ends_no_session(app: Flask, console_store: Store) -> None:
    desk = browser(app, "kim")
    narrow = app.test_client()
    secret = access_tokens.create(console_store, "kim", role=AccountRole.VIEWER)
    narrow.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    (listed,) = desk.get("/v1/me/sessions").json["sessions"]
    assert narrow.delete("/v1/me/sessions").status_code == 403
    assert narrow.delete(f"/v1/me/sessions/{listed['id']}").status_code == 403
    assert inside(desk)


@pytest.mark.parametrize(
    "change",
    [
        lambda store: accounts.set_password(store, "kim", "another-good-one"),
        lambda store: accounts.set_role(store, "kim", AccountRole.VIEWER),
        lambda store: accounts.disable(store, "kim"),
        lambda store: (accounts.disable(store, "kim"), accounts.enable(store, "kim")),
        lambda store: accounts.delete(store, "kim"),
        lambda store: (accounts.delete(store, "kim"), accounts.create(store, "kim", PASSWORD, AccountRole.OPERATOR)),
        lambda store: logins.end_all(store, "kim"),
    ],
    ids=["password", "role", "disabled", "enabled-again", "deleted", "another-of-that-name", "ended"],
)
def test_a_session_ends_with_what_it_was_begun_under(
    app: Flask, console_store: Store, change: Callable[[Store], object]
) -> None:
    kim, lee = browser(app, "kim"), browser(app, "lee")
    assert inside(kim)
    change(console_store)
    assert not inside(kim)
    assert inside(lee)


def test_a_login_under_an_old_password_that_is_late_opens_nothing(app: Flask, console_store: Store) -> None:
    proved = accounts.authenticate(console_store, "kim", PASSWORD)
    accounts.set_password(console_store, "kim", "another-good-one")
    secret = logins.begin(console_store, proved, "::1", "")
    assert logins.holds(console_store, "kim", secret) is None
    assert logins.list_of(console_store, "kim") == ()


def test_a_session_is_over_after_half_a_day(console_store: Store, app: Flask) -> None:
    kim = browser(app, "kim")
    (item,) = console_store.list(SESSIONS, Session).items
    began = item.value.began_at - timedelta(seconds=logins.LONGEST_S)
    console_store.replace(item, replace(item.value, began_at=began))
    assert not inside(kim)
    browser(app, "kim")
    assert item.key not in console_store.revisions(SESSIONS), "what is over is forgotten at the next login"


def test_a_session_stands_at_a_console_whose_clock_is_behind(console_store: Store, app: Flask) -> None:
    kim = browser(app, "kim")
    (item,) = console_store.list(SESSIONS, Session).items
    console_store.replace(item, replace(item.value, began_at=item.value.began_at + timedelta(seconds=30)))
    assert inside(kim)


def test_of_too_many_sessions_the_oldest_ends(
    console_store: Store, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "MOST", 3)
    kim = accounts.require(console_store, "kim")
    secrets = [logins.begin(console_store, kim, "::1", str(number)) for number in range(5)]
    assert [logins.holds(console_store, "kim", each) is not None for each in secrets] == [False] * 2 + [True] * 3


def test_the_secret_is_kept_nowhere(console_store: Store, app: Flask) -> None:
    secret = logins.begin(console_store, accounts.require(console_store, "kim"), "::1", "x" * 5000)
    (item,) = console_store.raw(SESSIONS, range_end=b"larva/session0").items
    assert secret not in item.key
    assert secret.encode() not in item.value
    assert len(item.value) < 1000


def test_a_disabled_account_gets_in_by_nothing_until_it_is_enabled(app: Flask, console_store: Store) -> None:
    admin, program = browser(app, "admin"), app.test_client()
    program.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {access_tokens.create(console_store, 'kim')}"
    disabled = admin.post("/v1/users/kim/disable")
    assert (disabled.status_code, disabled.json["disabled"]) == (200, True)
    assert program.get("/v1/me").status_code == 401
    client = app.test_client()
    form = {"user": "kim", "csrf_token": csrf_of(client)}
    right = client.post("/login", data={**form, "password": PASSWORD})
    assert (right.status_code, "this account is disabled" in right.text) == (401, True)
    wrong = client.post("/login", data={**form, "password": "wrong"})
    assert "disabled" not in wrong.text, "only who knows the password is told"
    assert admin.post("/v1/users/kim/enable").json["disabled"] is False
    assert inside(program)
    assert inside(browser(app, "kim"))


def test_the_last_administrator_who_gets_in_stays(console_store: Store, app: Flask) -> None:
    accounts.create(console_store, "another", PASSWORD, AccountRole.ADMIN)
    accounts.disable(console_store, "another")
    for end in (
        accounts.disable,
        accounts.delete,
        lambda store, name: accounts.set_role(store, name, AccountRole.VIEWER),
    ):
        with pytest.raises(Conflict):
            end(console_store, "admin")


def test_an_account_that_says_no_role_may_look_only(console_store: Store, app: Flask) -> None:
    record = codec.to_builtins(accounts.require(console_store, "admin").value)
    del record["role"]
    console_store.put(accounts.user_key("admin"), record)
    found = console_store.get(accounts.user_key("admin"), User)
    assert found is not None
    assert found.value.role is AccountRole.VIEWER
