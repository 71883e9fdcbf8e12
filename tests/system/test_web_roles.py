"""Every role at every route: what it may is done or refused for another reason, what it may not is refused for that."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from contract import checked_client
from flask import Flask
from flask.testing import FlaskClient

from cbstorage import keys as storage_keys
from cbstorage.model import VolumeSpecification
from cladnet import keys, networks
from cladnet.etcd.store import Condition, Operation, Store
from cladnet.model import CloudFacts, NetworkingRule
from larva.errors import Conflict, NotFound
from web import access_tokens, accounts, logins, openapi
from web.account_model import ACCESS_TOKENS, AccessToken
from web.accounts import NotAuthenticated
from web.api.routing import operation_of
from web.app import create_app
from web.openapi import Route
from web.roles import AccountRole, Grant, Right

PASSWORD = "correct-horse-battery"
A_TIME = datetime(2026, 1, 1, tzinfo=UTC)
A_RULE = NetworkingRule(host="a", address=IPv4Address("10.77.0.2"), public_key="k", endpoints=(), cloud=CloudFacts())


EVERYBODY = frozenset(AccountRole)
OPERATORS = frozenset({AccountRole.ADMIN, AccountRole.OPERATOR})
ADMINISTRATORS = frozenset({AccountRole.ADMIN})
PAGES = {
    "/": EVERYBODY,
    "/account": EVERYBODY,
    "/api": EVERYBODY,
    "/audit": ADMINISTRATORS,
    "/cladnets": EVERYBODY,
    "/cladnets/<cladnet>": EVERYBODY,
    "/health": EVERYBODY - {AccountRole.TENANT},
    "/hosts": EVERYBODY,
    "/hosts/<cladnet>/<host>": EVERYBODY,
    "/images": EVERYBODY,
    "/login": EVERYBODY,
    "/new-cladnet": OPERATORS,
    "/placement": EVERYBODY,
    "/storage": EVERYBODY,
    "/tokens": EVERYBODY,
    "/topology": EVERYBODY,
    "/users": ADMINISTRATORS,
    "/users/<user>": ADMINISTRATORS,
    "/v1/cladnet": EVERYBODY - {AccountRole.TENANT},
    "/volumes": EVERYBODY,
    "/volumes/<cladnet>/<name>": EVERYBODY,
    "/volumes/new": EVERYBODY,
    "/volumes/trash": EVERYBODY,
}
"""Whom each page is for, and each path of the old service that tells of all CLADNets."""


@pytest.fixture
def app(console_etcd: str, console_store: Store, tmp_path: Path) -> Iterator[Flask]:
    app = create_app(lambda: Store([console_etcd]), state_directory=tmp_path, secure=False)
    app.testing = False
    app.test_client_class = checked_client(app)
    own = networks.create(console_store, name="own").id
    networks.create(console_store, name="foreign")
    for role in AccountRole:
        cladnets = (own,) if role is AccountRole.TENANT else ()
        accounts.create(console_store, role.value, PASSWORD, role, cladnets)
    accounts.create(console_store, "another-admin", PASSWORD, AccountRole.ADMIN)
    yield app
    app.extensions["larva"].close()


def client_of(app: Flask, store: Store, role: AccountRole) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {access_tokens.create(store, role.value)}"
    return client


def called(client: FlaskClient, route: Route, cladnet: str) -> tuple[int, str]:
    """Status and code of the answer to a call of a route, about things that are not there."""
    path = re.sub(r"\{[a-z]+\}", "1", route.path.replace("{cladnet}", cladnet))
    answer = client.open(path, method=route.method, json={} if route.operation.wish is not None else None)
    return answer.status_code, (answer.json or {}).get("code", "") if answer.status_code >= 400 else ""


@pytest.mark.parametrize("role", AccountRole)
def test_a_role_reaches_what_it_may_and_nothing_else(app: Flask, console_store: Store, role: AccountRole) -> None:
    client = client_of(app, console_store, role)
    grant = Grant(role=role, cladnets=("own",))
    for route in openapi.routes(app):
        in_a_cladnet = "{cladnet}" in route.path
        for cladnet in ("own", "foreign") if in_a_cladnet else ("",):
            status, code = called(client, route, cladnet)
            where = f"{role} {route.method} {route.path} in {cladnet!r}: {status} {code}"
            if grant.allows(route.operation.right, cladnet or None):
                assert status not in (401, 403), where
            elif role is AccountRole.TENANT and cladnet == "foreign" and route.operation.right in (
                Right.READ, Right.USE,
            ):  # fmt: skip
                assert (status, code) == (404, "not-found"), f"{where}: a tenant is not told what others have"
            else:
                assert (status, code) == (403, "refused"), where


def test_no_refusal_tells_a_tenant_what_others_have(app: Flask, console_store: Store) -> None:
    tenant = client_of(app, console_store, AccountRole.TENANT)
    foreign = networks.find(console_store, "foreign")
    for name in ("none", "foreign", foreign.id):
        answers = [
            tenant.get(f"/v1/cladnets/{name}"),
            tenant.post(f"/v1/cladnets/{name}/volumes", json={"name": "photos", "size_bytes": 1 << 30}),
            tenant.post("/v1/access-tokens", json={"role": "tenant", "cladnets": [name]}),
            tenant.get(f"/cladnets/{name}"),
            tenant.get(f"/topology?cladnet={name}"),
            tenant.get(f"/placement?cladnet={name}"),
            tenant.get(f"/storage?cladnet={name}"),
            tenant.get(f"/hosts/{name}/a"),
            tenant.post(f"/volumes/{name}/photos/delete", data={"confirm": "photos"}),
        ]
        for answer in answers:
            assert answer.status_code == 404, (name, answer.request.path)
            told = answer.text.replace(name, "")
            assert "CLADNets: own" in told
            assert not {"foreign", foreign.id} & set(re.findall(r"[\w-]+", told)), answer.text


@pytest.mark.parametrize("role", AccountRole)
def test_lists_show_a_tenant_its_own_only(app: Flask, console_store: Store, role: AccountRole) -> None:
    found = client_of(app, console_store, role).get("/v1/cladnets").json["cladnets"]
    assert [each["name"] for each in found] == (["own"] if role is AccountRole.TENANT else ["own", "foreign"])


@pytest.mark.parametrize("role", AccountRole)
def test_where_nothing_is_yet_only_who_may_make_it_is_told_where(
    app: Flask, console_store: Store, role: AccountRole
) -> None:
    client = client_of(app, console_store, role)
    console_store.delete_prefix(keys.CONFIGURATION)
    for path in ("/cladnets", "/topology", "/placement"):
        page = client.get(path)
        assert page.status_code == 200
        assert ('href="/new-cladnet"' in page.text) == (role in (AccountRole.ADMIN, AccountRole.OPERATOR)), path


@pytest.mark.parametrize("role", AccountRole)
def test_pages_show_what_the_role_sees(app: Flask, console_store: Store, role: AccountRole) -> None:
    client = client_of(app, console_store, role)
    own, foreign = (networks.find(console_store, name) for name in ("own", "foreign"))
    seen = {own.id} if role is AccountRole.TENANT else {own.id, foreign.id}
    for group in (own.id, foreign.id):
        console_store.put(keys.rule(group, "a"), A_RULE)
        volume = VolumeSpecification(group=group, name="photos", id="0" * 8, size_bytes=1 << 30, created_at=A_TIME)
        console_store.put(storage_keys.volume(group, "photos"), volume)
    as_data = {"Accept": "application/json"}
    assert client.get("/", headers=as_data).json["cladnets"] == len(seen)
    assert {each["cladnet"] for each in client.get("/hosts", headers=as_data).json["hosts"]} == seen
    for path in (
        "/",
        "/hosts",
        "/topology",
        "/storage",
        "/cladnets",
        "/volumes",
        "/placement",
        "/volumes/trash",
        "/volumes/own/photos",
        "/topology?cladnet=own",
        "/placement?cladnet=own",
        "/storage?cladnet=own",
        "/hosts/own/a",
        "/images",
    ):
        page = client.get(path)
        assert (page.status_code, page.mimetype) == (200, "text/html"), path
        assert (foreign.id in page.text) == (
            foreign.id in seen and path not in ("/", "/hosts/own/a", "/volumes/own/photos", "/images")
        ), path
    uses = role is not AccountRole.VIEWER
    assert ('action="/volumes/' in client.get("/volumes/own/photos").text) == uses
    for cladnet in (own, foreign):
        wish = {"everywhere": "on", "path": "/srv/photos"}
        mounted = client.post(f"/volumes/{cladnet.name}/photos/mount", data=wish).status_code
        assert mounted == (404 if cladnet.id not in seen else 303 if uses else 403), cladnet
    for path in (
        "/topology?cladnet=foreign",
        "/placement?cladnet=foreign",
        "/storage?cladnet=foreign",
        "/hosts/foreign/a",
        "/volumes/foreign/photos",
    ):
        assert (client.get(path).status_code == 200) == (foreign.id in seen), path
    assert client.get("/topology?cladnet=none").status_code == 404


@pytest.mark.parametrize("role", AccountRole)
@pytest.mark.parametrize("accepted", ["text/html", "application/json"])
def test_a_page_is_for_its_roles_and_tells_a_tenant_nothing_of_others(
    app: Flask, console_store: Store, role: AccountRole, accepted: str
) -> None:
    pages = {
        rule.rule
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and not rule.websocket and rule.endpoint != "static"
        and operation_of(app.view_functions[rule.endpoint]) is None
        and not rule.rule.startswith(("/v1/cladnet/<cladnet>", "/v1/control/cladnet/<cladnet>"))
    }  # fmt: skip
    assert pages == PAGES.keys(), "who is a new page for?"
    theirs = {name: networks.find(console_store, name).id for name in ("own", "foreign")}
    for name, group in theirs.items():
        console_store.put(keys.rule(group, f"host-{name}"), replace(A_RULE, host=f"host-{name}"))
        volume = VolumeSpecification(group=group, name=f"vol-{name}", id="0" * 8, size_bytes=1 << 30, created_at=A_TIME)
        console_store.put(storage_keys.volume(group, volume.name), volume)
    for other in AccountRole:
        access_tokens.create(console_store, other.value, f"program-{other}")
    client = client_of(app, console_store, role)
    told = ""
    for page, roles in PAGES.items():
        for name in theirs if "<cladnet>" in page else ("own",):
            path = page.replace("<cladnet>", name).replace("<host>", f"host-{name}")
            answer = client.get(
                path.replace("<name>", f"vol-{name}").replace("<user>", "viewer"), headers={"Accept": accepted}
            )
            hidden = name == "foreign" and role is AccountRole.TENANT
            assert answer.status_code == (404 if hidden else 200 if role in roles else 403), path
            told += "" if hidden else answer.text
    assert "host-own" in told
    secret = {f"program-{other}" for other in AccountRole if other is not role} | {"another-admin"}
    if role is AccountRole.TENANT:
        secret |= {"foreign", "host-foreign", "vol-foreign", theirs["foreign"]}
    found = {each for each in secret if re.search(rf"(?<![\w-]){each}(?![\w-])", told)}
    assert found == (secret if role is AccountRole.ADMIN else set())


@pytest.mark.parametrize("role", AccountRole)
def test_pages_keep_to_the_roles_too(app: Flask, console_store: Store, role: AccountRole) -> None:
    client = client_of(app, console_store, role)
    operates = role in (AccountRole.ADMIN, AccountRole.OPERATOR)
    looks = role is not AccountRole.TENANT
    assert (client.get("/cladnets/foreign").status_code == 200) == looks
    assert client.get("/cladnets/own").status_code == 200
    assert client.get("/new-cladnet").status_code == (200 if operates else 403), "it tells what others have"
    made = client.post("/cladnets", data={"name": "more", "rule_type": "basic", "confirmed": "yes"}).status_code
    assert made == (303 if operates else 403)
    gone = client.post("/cladnets/own/delete", data={"confirm": "x"}).status_code
    assert gone == (422 if operates else 403)
    for cladnet in ("own", "foreign"):
        page = client.get(f"/cladnets/{cladnet}")
        asked = client.post(f"/cladnets/{cladnet}/status-tests", data={"trials": "3"}).status_code
        hidden = cladnet == "foreign" and not looks
        assert asked == (404 if hidden else 403 if role is AccountRole.VIEWER else 303)
        assert ("status-tests" in page.text) == (asked == 303), "who may send the form is shown it"
    used = client.post("/volumes/own/photos/mount", data={}).status_code
    assert used == (403 if role is AccountRole.VIEWER else 404), "there is no such volume"
    for cladnet in ("own", "foreign"):
        made = client.post(f"/volumes/{cladnet}", data={"name": "photos", "size": "1", "confirmed": "yes"}).status_code
        hidden = cladnet == "foreign" and not looks
        assert made == (403 if role is AccountRole.VIEWER else 404), "there is no storage, or no such CLADNet"
        offered = client.get(f"/volumes/new?cladnet={cladnet}").status_code
        assert offered == (404 if hidden else 403 if role is AccountRole.VIEWER else 200)
    old = client.get("/v1/control/cladnet/own/command/UP").status_code
    assert (old < 400) == operates, "which the old service does by GET"


def test_a_token_of_a_narrower_role_stays_narrow(app: Flask, console_store: Store) -> None:
    admin = client_of(app, console_store, AccountRole.ADMIN)
    wish = {"description": "a dashboard", "role": "viewer", "ttl_s": 3600}
    made = admin.post("/v1/access-tokens", json=wish)
    assert made.status_code == 201
    narrow = app.test_client()
    narrow.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {made.json['secret']}"
    assert narrow.get("/v1/cladnets").status_code == 200
    assert narrow.post("/v1/cladnets", json={"name": "more"}).status_code == 403
    assert narrow.get("/v1/users").status_code == 403
    assert narrow.post("/v1/access-tokens", json={}).status_code == 403, "it could make itself a wider one"
    assert narrow.delete(f"/v1/access-tokens/{made.json['token']['id']}").status_code == 403, "nor end wider ones"
    assert admin.delete(f"/v1/access-tokens/{made.json['token']['id']}").status_code == 204
    assert narrow.get("/v1/cladnets").status_code == 401


def test_a_token_ends_when_it_was_said_to(app: Flask, console_store: Store) -> None:
    secret = access_tokens.create(console_store, "admin", "short", ttl_s=60)
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    assert client.get("/v1/me").status_code == 200
    (item,) = console_store.list(ACCESS_TOKENS, AccessToken).items
    ended = replace(item.value, expires_at=item.value.created_at)
    console_store.replace(item, ended)
    assert client.get("/v1/me").status_code == 401
    assert access_tokens.list_all(console_store)[0].expired


def test_tokens_are_their_owners_and_the_administrators(app: Flask, console_store: Store) -> None:
    access_tokens.create(console_store, "operator", "theirs")
    viewer, admin = (client_of(app, console_store, role) for role in (AccountRole.VIEWER, AccountRole.ADMIN))
    assert {token["user"] for token in viewer.get("/v1/access-tokens").json["tokens"]} == {"viewer"}
    everybody = admin.get("/v1/access-tokens").json["tokens"]
    assert {token["user"] for token in everybody} == {"operator", "viewer", "admin"}
    theirs = next(token["id"] for token in everybody if token["user"] == "operator")
    assert viewer.delete(f"/v1/access-tokens/{theirs}").status_code == 404


def test_the_life_of_an_account(app: Flask, console_store: Store) -> None:
    admin = client_of(app, console_store, AccountRole.ADMIN)
    wish = {"name": "kim", "password": PASSWORD, "role": "viewer"}
    made = admin.post("/v1/users", json=wish)
    assert (made.status_code, made.headers["Location"]) == (201, "/v1/users/kim")
    assert "password" not in made.json
    assert admin.post("/v1/users", json=wish).status_code == 409
    assert admin.post("/v1/users", json={**wish, "name": "lee", "password": "short"}).status_code == 422
    assert admin.post("/v1/users", json={**wish, "name": "lee", "cladnets": ["own"]}).status_code == 422
    assert admin.post("/v1/users", json={**wish, "name": "lee", "role": "tenant"}).status_code == 422
    kim = app.test_client()
    kim.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {access_tokens.create(console_store, 'kim')}"
    assert kim.post("/v1/cladnets", json={"name": "more"}).status_code == 403
    changed = admin.patch("/v1/users/kim", json={"role": "operator"})
    assert (changed.status_code, changed.json["role"]) == (200, "operator")
    assert kim.post("/v1/cladnets", json={"name": "more"}).status_code == 201, "from the next request on"
    assert kim.put("/v1/me/password", json={"present": "wrong", "password": PASSWORD}).status_code == 401
    assert kim.put("/v1/me/password", json={"present": PASSWORD, "password": "another-good-one"}).status_code == 204
    assert accounts.authenticate(console_store, "kim", "another-good-one").value.role is AccountRole.OPERATOR
    assert admin.delete("/v1/users/kim").status_code == 204
    assert kim.get("/v1/me").status_code == 401
    assert access_tokens.list_all(console_store, "kim") == ()


@pytest.mark.parametrize("by", ["owner", "administrator"])
def test_a_new_password_ends_sessions_and_leaves_tokens_that_are_listed(
    app: Flask, console_store: Store, by: str
) -> None:
    browser, admin = app.test_client(), client_of(app, console_store, AccountRole.ADMIN)
    secret = logins.begin(console_store, accounts.require(console_store, "viewer"), "127.0.0.1", "")
    with browser.session_transaction() as session:
        session.update(user="viewer", secret=secret)
    assert browser.get("/v1/me").status_code == 200
    program = client_of(app, console_store, AccountRole.VIEWER)
    if by == "owner":
        wish = {"present": PASSWORD, "password": "another-good-one"}
        assert program.put("/v1/me/password", json=wish).status_code == 204
    else:
        assert admin.put("/v1/users/viewer/password", json={"password": "another-good-one"}).status_code == 204
    assert browser.get("/v1/me").status_code == 401
    (listed,) = program.get("/v1/access-tokens").json["tokens"]
    assert (listed["user"], listed["expired"]) == ("viewer", False)
    assert admin.delete(f"/v1/access-tokens/{listed['id']}").status_code == 204
    assert program.get("/v1/me").status_code == 401


def test_who_holds_a_token_cannot_guess_the_password(app: Flask, console_store: Store) -> None:
    viewer = client_of(app, console_store, AccountRole.VIEWER)
    wish = {"present": "wrong", "password": "another-good-one"}
    answers = [viewer.put("/v1/me/password", json=wish) for _ in range(8)]
    assert answers[0].status_code == 401
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert viewer.put("/v1/me/password", json={**wish, "present": PASSWORD}).status_code == 429


def test_a_mistyped_name_makes_no_account(console_store: Store) -> None:
    with pytest.raises(NotFound):
        accounts.set_password(console_store, "amdin", PASSWORD)
    assert not accounts.anybody(console_store)
    accounts.set_password(console_store, "kim", PASSWORD, AccountRole.VIEWER)
    accounts.set_password(console_store, "kim", "another-good-one", AccountRole.ADMIN)
    assert accounts.authenticate(console_store, "kim", "another-good-one").value.role is AccountRole.VIEWER


@pytest.mark.parametrize(
    "end", [accounts.delete, lambda store, name: accounts.set_role(store, name, AccountRole.VIEWER)]
)
def test_two_administrators_who_end_each_other_leave_one(
    console_store: Store, monkeypatch: pytest.MonkeyPatch, end: Callable[[Store, str], object]
) -> None:
    for name in ("kim", "lee"):
        accounts.create(console_store, name, PASSWORD, AccountRole.ADMIN)
    just_before_the_next_write(monkeypatch, lambda: end(console_store, "kim"))  # who is an administrator was looked at
    with pytest.raises(Conflict):
        end(console_store, "lee")
    assert [user.name for user in accounts.list_all(console_store) if user.role is AccountRole.ADMIN] == ["lee"]


def just_before_the_next_write(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Let somebody else do something between what is read and what is written then."""
    write = Store.commit

    def late(store: Store, conditions: Sequence[Condition], operations: Sequence[Operation]) -> int | None:
        monkeypatch.setattr(Store, "commit", write)
        do()
        return write(store, conditions, operations)

    monkeypatch.setattr(Store, "commit", late)


def test_no_token_of_a_deleted_account_is_one_of_the_next_of_that_name(
    console_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    accounts.create(console_store, "admin", PASSWORD, AccountRole.ADMIN)
    accounts.create(console_store, "kim", PASSWORD, AccountRole.VIEWER)
    just_before_the_next_write(monkeypatch, lambda: made.append(access_tokens.create(console_store, "kim")))
    accounts.delete(console_store, "kim")
    accounts.create(console_store, "kim", PASSWORD, AccountRole.OPERATOR)
    with pytest.raises(NotAuthenticated):
        access_tokens.bearer(console_store, made[0])
    just_before_the_next_write(monkeypatch, lambda: accounts.delete(console_store, "kim"))
    with pytest.raises(Conflict):
        access_tokens.create(console_store, "kim")
    assert access_tokens.list_all(console_store) == ()


def test_an_account_that_stays_keeps_its_tokens(console_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts.create(console_store, "admin", PASSWORD, AccountRole.ADMIN)
    accounts.create(console_store, "kim", PASSWORD, AccountRole.VIEWER)
    secret = access_tokens.create(console_store, "kim")
    just_before_the_next_write(monkeypatch, lambda: accounts.set_role(console_store, "kim", AccountRole.OPERATOR))
    with pytest.raises(Conflict):
        accounts.delete(console_store, "kim")
    assert access_tokens.bearer(console_store, secret)[0].name == "kim"


def test_there_is_always_an_administrator(app: Flask, console_store: Store) -> None:
    admin = client_of(app, console_store, AccountRole.ADMIN)
    assert admin.delete("/v1/users/another-admin").status_code == 204
    for refused in (admin.delete("/v1/users/admin"), admin.patch("/v1/users/admin", json={"role": "viewer"})):
        assert (refused.status_code, refused.json["code"]) == (409, "conflict")
