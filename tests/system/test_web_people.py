"""The pages about people: what their forms do, what they refuse, and who gets to see them."""

import html
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from cladnet import networks
from cladnet.etcd.store import Store
from web import access_tokens, accounts, audit, logins
from web.app import create_app
from web.roles import AccountRole

PASSWORD = "correct-horse-battery"
ANOTHER = "another-good-one"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def app(console_etcd: str, console_store: Store, tmp_path: Path) -> Iterator[Flask]:
    app = create_app(lambda: Store([console_etcd]), state_directory=tmp_path, secure=False)
    app.testing = False
    own = networks.create(console_store, name="shop").id
    for role in AccountRole:
        accounts.create(console_store, role.value, PASSWORD, role, (own,) if role is AccountRole.TENANT else ())
    yield app
    app.extensions["larva"].close()


def browser(app: Flask, store: Store, user: str, agent: str = "Firefox") -> FlaskClient:
    """A browser in which somebody is logged in, and whose forms carry their CSRF token."""
    client = app.test_client()
    secret = logins.begin(store, accounts.require(store, user), "192.0.2.7", agent)
    with client.session_transaction() as session:
        session.update(user=user, secret=secret)
    found = re.search(r'name="csrf-token" content="([^"]+)"', client.get("/account").text)
    assert found
    client.environ_base["HTTP_X_CSRFTOKEN"] = found[1]
    return client


@pytest.fixture
def admin(app: Flask, console_store: Store) -> FlaskClient:
    return browser(app, console_store, "admin")


@pytest.mark.parametrize("role", AccountRole)
def test_administrators_see_people_and_others_themselves(app: Flask, console_store: Store, role: AccountRole) -> None:
    client, administers = browser(app, console_store, role.value), role is AccountRole.ADMIN
    for path in ("/users", "/users/viewer", "/audit"):
        assert client.get(path).status_code == (200 if administers else 403), path
    for path in ("/account", "/tokens"):
        page = client.get(path)
        assert page.status_code == 200
        assert ('href="/users"' in page.text, 'href="/audit"' in page.text) == (administers, administers)
    for path, form in (
        ("/users", {"name": "kim", "password": PASSWORD, "role": "admin"}), ("/users/viewer/role", {"role": "admin"}),
        ("/users/viewer/password", {"password": ANOTHER}), ("/users/viewer/disable", {"confirm": "viewer"}),
        ("/users/viewer/enable", {}), ("/users/viewer/sessions/end", {}),
        ("/users/viewer/delete", {"confirm": "viewer"}),
    ):  # fmt: skip
        assert (client.post(path, data=form).status_code == 303) == administers, path
    assert (accounts.find(console_store, "kim") is not None) == administers


def test_an_account_is_made_and_what_was_typed_stays_but_for_the_password(
    admin: FlaskClient, console_store: Store
) -> None:
    group = networks.find(console_store, "shop").id
    for name, password, role, cladnets, status in (
        ("Kim!", PASSWORD, "viewer", [], 422), ("kim", "short", "viewer", [], 422), ("kim", PASSWORD, "king", [], 422),
        ("kim", PASSWORD, "tenant", [], 422), ("kim", PASSWORD, "viewer", [group], 422),
        ("viewer", PASSWORD, "viewer", [], 409), ("kim", PASSWORD, "tenant", ["nothing"], 404),
    ):  # fmt: skip
        form = {"name": name, "password": password, "role": role, "cladnets": cladnets}
        refused = admin.post("/users", data=form)
        assert refused.status_code == status, form
        assert 'role="alert"' in refused.text
        assert f'value="{name}"' in refused.text
        assert password not in refused.text
    assert len(accounts.list_all(console_store)) == len(AccountRole)
    form = {"name": "kim", "password": PASSWORD, "role": "tenant", "cladnets": [group]}
    made = admin.post("/users", data=form)
    assert (made.status_code, made.location) == (303, "/users/kim")
    assert accounts.require(console_store, "kim").value.cladnets == (group,)
    assert "shop" in admin.get("/users/kim").text


def test_what_loses_something_says_what_and_wants_the_name(admin: FlaskClient, console_store: Store) -> None:
    access_tokens.create(console_store, "viewer")
    logins.begin(console_store, accounts.require(console_store, "viewer"), "::1", "")
    page = admin.get("/users/viewer").text
    assert "1 sessions end, 1 API tokens are refused" in page
    assert "1 API tokens are lost for good and 1 sessions end" in page
    for what in ("disable", "delete"):
        refused = admin.post(f"/users/viewer/{what}", data={"confirm": "viewers"})
        assert (refused.status_code, "type viewer exactly" in refused.text) == (422, True)
    assert not accounts.require(console_store, "viewer").value.disabled
    assert admin.post("/users/viewer/disable", data={"confirm": "viewer"}).status_code == 303
    assert accounts.require(console_store, "viewer").value.disabled
    assert 'action="/users/viewer/enable"' in admin.get("/users/viewer").text
    assert admin.post("/users/viewer/enable").status_code == 303
    assert not accounts.require(console_store, "viewer").value.disabled
    assert admin.post("/users/viewer/delete", data={"confirm": "viewer"}).location == "/users"
    assert accounts.find(console_store, "viewer") is None
    assert admin.get("/users/viewer").status_code == 404


def test_the_last_administrator_is_refused_its_end_in_words(admin: FlaskClient) -> None:
    for what, form in (
        ("disable", {"confirm": "admin"}),
        ("delete", {"confirm": "admin"}),
        ("role", {"role": "viewer"}),
    ):
        refused = admin.post(f"/users/admin/{what}", data=form)
        assert (refused.status_code, "only administrator" in refused.text) == (409, True), what


def test_an_administrator_sets_a_password(admin: FlaskClient, app: Flask, console_store: Store) -> None:
    viewer = browser(app, console_store, "viewer")
    assert admin.post("/users/viewer/password", data={"password": "short"}).status_code == 422
    assert viewer.get("/account").status_code == 200
    assert admin.post("/users/viewer/password", data={"password": ANOTHER}).status_code == 303
    assert viewer.get("/account").status_code == 303
    assert accounts.authenticate(console_store, "viewer", ANOTHER)


def test_a_token_is_shown_once_and_revoked(app: Flask, console_store: Store) -> None:
    viewer = browser(app, console_store, "viewer")
    made = viewer.post("/tokens", data={"description": SCRIPT, "role": "viewer", "days": "7"})
    found = re.search(r'<pre id="secret"[^>]*>(larva_[\w-]+)</pre>', made.text)
    assert made.status_code == 200
    assert found
    assert SCRIPT not in made.text
    assert html.escape(SCRIPT) in made.text
    program = app.test_client()
    program.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {found[1]}"
    assert program.get("/v1/me").status_code == 200
    assert found[1] not in viewer.get("/tokens").text
    (listed,) = access_tokens.list_all(console_store, "viewer")
    assert listed.role is AccountRole.VIEWER
    assert listed.expires_at is not None
    assert (listed.expires_at - listed.created_at).days == 7
    operator = browser(app, console_store, "operator")
    assert listed.id not in operator.get("/tokens").text
    assert operator.post(f"/tokens/{listed.id}/revoke").status_code == 404
    admin = browser(app, console_store, "admin")
    assert listed.id in admin.get("/tokens").text
    assert admin.post(f"/tokens/{listed.id}/revoke").status_code == 303
    assert program.get("/v1/me").status_code == 401


@pytest.mark.parametrize(
    ("role", "offered"),
    [
        ("viewer", ["viewer"]), ("tenant", ["viewer"]), ("operator", ["viewer", "operator"]),
        ("admin", ["viewer", "operator", "admin"]),
    ],
)  # fmt: skip
def test_a_token_is_offered_no_more_than_its_account_may_and_the_least_first(
    app: Flask, console_store: Store, role: str, offered: list[str]
) -> None:
    page = browser(app, console_store, role).get("/tokens").text
    (select,) = re.findall(r'<select name="role".*?</select>', page, re.DOTALL)
    assert re.findall(r'value="([^"]+)"', select) == [*offered, "as-account"]


@pytest.mark.parametrize(
    "form", [{"days": "8", "role": "viewer"}, {"days": "x", "role": "viewer"}, {"days": "7", "role": "king"}]
)
def test_a_token_that_cannot_be_made_says_why(app: Flask, console_store: Store, form: dict[str, str]) -> None:
    refused = browser(app, console_store, "viewer").post("/tokens", data={"description": "keep me", **form})
    assert (refused.status_code, 'role="alert"' in refused.text, "keep me" in refused.text) == (422, True, True)
    assert access_tokens.list_all(console_store) == ()


def test_one_changes_ones_own_password_and_stays(app: Flask, console_store: Store) -> None:
    desk, phone = browser(app, console_store, "viewer"), browser(app, console_store, "viewer", "a telephone")
    form = {"present": PASSWORD, "password": ANOTHER, "again": ANOTHER}
    for wrong, status in (({"present": "x"}, 401), ({"again": "x"}, 422), ({"password": "x", "again": "x"}, 422)):
        refused = desk.post("/account/password", data={**form, **wrong})
        assert (refused.status_code, 'role="alert"' in refused.text) == (status, True), wrong
    assert phone.get("/account").status_code == 200
    assert desk.post("/account/password", data=form).status_code == 303
    assert (desk.get("/account").status_code, phone.get("/account").status_code) == (200, 303)
    assert accounts.authenticate(console_store, "viewer", ANOTHER)


def test_guessing_ones_present_password_has_an_end(app: Flask, console_store: Store) -> None:
    viewer = browser(app, console_store, "viewer")
    form = {"present": "wrong", "password": ANOTHER, "again": ANOTHER}
    answers = [viewer.post("/account/password", data=form) for _ in range(7)]
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) > 0


def test_sessions_are_shown_and_ended(app: Flask, console_store: Store) -> None:
    desk, phone = browser(app, console_store, "viewer"), browser(app, console_store, "viewer", SCRIPT)
    page = desk.get("/account").text
    assert SCRIPT not in page
    assert html.escape(SCRIPT) in page
    (ended,) = re.findall(r'action="(/account/sessions/[0-9a-f]+/end)"', page)  # one's own is not offered
    assert desk.post(ended).status_code == 303
    assert (desk.get("/account").status_code, phone.get("/account").status_code) == (200, 303)
    assert desk.post("/account/sessions/end").location == "/login"
    assert desk.get("/account").status_code == 303


def test_the_log_tells_who_changed_what_and_how_it_was(admin: FlaskClient, console_store: Store) -> None:
    admin.post("/users/viewer/role", data={"role": "operator"})
    admin.post("/users/tenant/disable", data={"confirm": "tenant"})
    page = admin.get("/audit").text
    assert page.index("accounts.disable") < page.index("accounts.change_role")
    assert "<del>viewer</del> → <ins>operator</ins>" in page
    filtered = admin.get("/audit?user=admin&action=accounts.change").text
    assert ("accounts.change_role" in filtered, "accounts.disable" in filtered) == (True, False)
    assert "accounts.disable" not in admin.get("/audit?user=viewer").text
    assert "accounts.disable" not in admin.get("/audit?until=2020-01-01").text
    assert "accounts.disable" in admin.get("/audit?since=2020-01-01").text
    refused = admin.get("/audit?since=yesterday&user=kim")
    assert (refused.status_code, "yesterday" in refused.text, 'value="kim"' in refused.text) == (422, True, True)


def test_the_log_is_read_page_by_page(
    admin: FlaskClient, console_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.pages.audit.AT_ONCE", 2)
    for number in range(5):
        admin.post("/users", data={"name": f"kim-{number}", "password": PASSWORD, "role": "viewer"})
    seen, path = [], "/audit?action=accounts.create"
    while path:
        page = admin.get(path).text
        seen += re.findall(r"larva/user/(kim-\d)", page)
        older = re.search(r'href="([^"]+)" rel="next"', page)
        path = html.unescape(older[1]) if older else ""
    assert seen == [f"kim-{number}" for number in (4, 3, 2, 1, 0)]
    assert [entry.user for entry in audit.newest_first(console_store)] == ["admin"] * 5
