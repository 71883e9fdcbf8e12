"""The API and the pages over a real etcd: who is let in, what is answered, what is refused and how."""

import re
import stat
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path

import pytest
import stage
from contract import checked_client
from flask import Flask
from flask.testing import FlaskClient

from cbstorage import keys as storage_keys
from cbstorage.model import ClusterSpecification, ClusterState, Health
from cladnet import keys, networks
from cladnet.enrol.authority import Authority
from cladnet.etcd.store import Store
from cladnet.model import ControlPlane, TestSpecification
from cladnet.quality import Alarm, AlarmKind, Figures, HostQuality, PairQuality, Window
from web import access_tokens, accounts, first_account, openapi
from web.app import create_app
from web.roles import AccountRole, Right

PASSWORD = "correct-horse-battery"
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def app(console_etcd: str, console_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    monkeypatch.setenv("LARVA_CONFIG", str(tmp_path))
    authority = Authority.found(tmp_path / "ca")
    app = create_app(
        lambda: Store([console_etcd]), open_authority=lambda: authority, state_directory=tmp_path, secure=False
    )
    app.testing = False  # errors are answered as they are for users
    app.test_client_class = checked_client(app)
    accounts.create(console_store, "admin", PASSWORD, AccountRole.ADMIN)
    yield app
    app.extensions["larva"].close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """Nobody yet."""
    return app.test_client()


@pytest.fixture
def program(app: Flask, console_store: Store) -> FlaskClient:
    """A program with an access token."""
    token = access_tokens.create(console_store, "admin", "tests")
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


@pytest.mark.parametrize("path", ["/v1/cladnets/{}/volumes"])
@pytest.mark.parametrize("size", [1 << 61, 1 << 70, 10**30])
def test_a_size_that_no_quota_holds_is_bad_input(
    program: FlaskClient, console_store: Store, path: str, size: int
) -> None:
    networks.create(console_store, name="shop")
    answer = program.post(path.format("shop"), json={"name": "big", "size_bytes": size})
    assert answer.status_code in (400, 422)
    assert answer.json["code"] in ("invalid-input", "malformed-data")


def csrf_of(client: FlaskClient, path: str = "/login") -> str:
    found = re.search(r'name="csrf-token" content="([^"]+)"', client.get(path).text)
    assert found
    return found[1]


def log_in(client: FlaskClient, password: str = PASSWORD, user: str = "admin", **more: str):
    form = {"user": user, "password": password, "csrf_token": csrf_of(client), **more}
    return client.post("/login", data=form)


def assert_problem(response, status: int, code: str, said: str = "") -> None:
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    problem = response.json
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["type"] == f"urn:larva:problem:{code}"
    assert said in problem["detail"]


NO_OSD = ClusterState(
    health=Health.OK, checks=(), quorum=(), monitors=(), manager="", active_mds=(), standby_mds=(), osds=(),
    total_bytes=0, used_bytes=0, clean=None, observed_at=datetime.now(UTC),
)  # fmt: skip
PAGES = [
    "/",
    "/cladnets",
    "/new-cladnet",
    "/cladnets/a",
    "/storage",
    "/hosts",
    "/hosts/a/b",
    "/topology",
    "/images",
    "/placement",
    "/images",
    "/volumes",
    "/volumes/new",
    "/volumes/trash",
    "/volumes/a/b",
    "/users",
    "/users/a",
    "/tokens",
    "/audit",
    "/account",
    "/api",
]


def test_nobody_gets_nothing_from_the_api(client: FlaskClient, app: Flask) -> None:
    private = [route for route in openapi.routes(app) if route.operation.right is not Right.PUBLIC]
    for route in private:
        path = re.sub(r"\{[a-z]+\}", "1", route.path)
        assert_problem(client.open(path, method=route.method), 401, "not-authenticated")
    handshake = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert_problem(client.get("/v1/events", headers=handshake), 401, "not-authenticated")
    assert len(private) > 80


@pytest.mark.parametrize("path", PAGES)
def test_nobody_is_sent_to_the_login(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 303
    assert response.location.startswith("/login")


def test_every_route_is_described_or_a_page_that_these_tests_know(app: Flask) -> None:
    known = {"/v1/events", "/login", "/logout", "/language", "/static/<path:filename>"}
    forms = {"/cladnets/?/join", "/cladnets/?/status-tests", "/cladnets/?/delete", "/volumes/?"}
    forms |= {f"/users/?/{what}" for what in ("role", "password", "sessions/end", "disable", "enable", "delete")}
    forms |= {"/tokens/?/revoke", "/account/password", "/account/sessions/end", "/account/sessions/?/end"}
    of_a_volume = ("mount", "shares", "snapshots", "schedule", "size", "mirrors", "delete")
    forms |= {f"/volumes/?/?/{path}" for path in of_a_volume}
    pages = forms | {re.sub("(?<=/)[ab](?=/|$)", "?", path) for path in PAGES}
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("cb_network.") or rule.rule in known:  # which test_web_cbnetwork.py tries
            continue
        described = openapi.operation_of(app.view_functions[rule.endpoint]) is not None
        assert described == rule.rule.startswith("/v1/"), rule
        assert described or re.sub("<[^>]+>", "?", rule.rule) in pages, rule


@pytest.mark.parametrize("path", ["/cladnets", "/cladnets/a/join", "/cladnets/a/delete", "/volumes/a/b/mount"])
def test_forms_of_nobody_change_nothing(client: FlaskClient, console_store: Store, path: str) -> None:
    response = client.post(path, data={"name": "shop", "csrf_token": csrf_of(client)})
    assert response.status_code == 303
    assert networks.list_all(console_store) == ()


def test_a_password_opens_the_pages(client: FlaskClient) -> None:
    response = log_in(client, next="/volumes")
    assert (response.status_code, response.location) == (303, "/volumes")
    cookie = response.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert client.get("/cladnets").status_code == 200


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"])
def test_the_login_leads_nowhere_else(client: FlaskClient, elsewhere: str) -> None:
    assert log_in(client, next=elsewhere).location == "/"


@pytest.mark.parametrize(
    ("user", "password"), [("admin", "wrong"), ("nobody", PASSWORD), ("../user", PASSWORD), ("", "")]
)
def test_wrong_is_wrong_in_the_same_words(client: FlaskClient, user: str, password: str) -> None:
    response = log_in(client, password, user)
    assert response.status_code == 401
    assert "user name or password is wrong" in response.text
    assert client.get("/cladnets").status_code == 303


def test_guessing_has_an_end(client: FlaskClient) -> None:
    answers = [log_in(client, "wrong").status_code for _ in range(8)]
    assert answers[0] == 401
    assert answers[-1] == 429
    refused = log_in(client)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0


def test_a_login_without_its_csrf_token_is_refused(client: FlaskClient) -> None:
    assert client.post("/login", data={"user": "admin", "password": PASSWORD}).status_code == 400


def test_a_new_password_ends_old_sessions(client: FlaskClient, console_store: Store) -> None:
    log_in(client)
    assert client.get("/cladnets").status_code == 200
    accounts.set_password(console_store, "admin", "another-good-password")
    assert client.get("/cladnets").status_code == 303


def test_logging_out_ends_the_session(client: FlaskClient) -> None:
    log_in(client)
    client.post("/logout", data={"csrf_token": csrf_of(client, "/cladnets")})
    assert client.get("/cladnets").status_code == 303


def test_a_cookie_alone_changes_nothing(client: FlaskClient, console_store: Store) -> None:
    log_in(client)
    assert_problem(client.post("/v1/cladnets", json={"name": "shop"}), 400, "bad-request", "CSRF")
    assert client.post("/cladnets", data={"name": "shop", "rule_type": "basic"}).status_code == 400
    assert networks.list_all(console_store) == ()
    headers = {"X-CSRFToken": csrf_of(client, "/cladnets")}
    assert client.post("/v1/cladnets", json={"name": "shop"}, headers=headers).status_code == 201


@pytest.mark.parametrize("authorization", ["Bearer wrong", "Bearer ", "Basic YWRtaW46eA==", "Bearer ../../user/admin"])
def test_a_wrong_token_opens_nothing(client: FlaskClient, authorization: str) -> None:
    log_in(client)  # not even with a session beside it
    response = client.get("/v1/cladnets", headers={"Authorization": authorization})
    assert_problem(response, 401, "not-authenticated")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_dies_with_its_account(program: FlaskClient, console_store: Store) -> None:
    assert program.get("/v1/cladnets").status_code == 200
    console_store.delete(accounts.user_key("admin"))
    assert_problem(program.get("/v1/cladnets"), 401, "not-authenticated")


def test_the_life_of_a_cladnet(program: FlaskClient) -> None:
    created = program.post("/v1/cladnets", json={"name": "shop", "cidr": "10.77.0.0/24", "description": SCRIPT})
    assert created.status_code == 201
    group = created.json["id"]
    assert created.headers["Location"] == f"/v1/cladnets/{group}"
    assert program.get(created.headers["Location"]).json == created.json
    assert program.get("/v1/cladnets").json["cladnets"] == [created.json]
    assert program.get("/v1/cladnets/shop/hosts").json == {"hosts": [], "next": None}
    assert program.delete("/v1/cladnets/shop").status_code == 204
    assert program.get(f"/v1/cladnets/{group}").json["state"] == "deleting"


@pytest.mark.parametrize(
    ("body", "status", "code", "said"),
    [
        ({"name": "shop", "cidr": "10.300.0.0/24"}, 422, "invalid-input", "10.300.0.0/24"),
        ({"name": "Shop!", "cidr": "10.1.0.0/24"}, 422, "invalid-input", "Shop!"),
        ({"name": "taken", "cidr": "10.1.0.0/24"}, 409, "conflict", "taken"),
        ({"name": "shop", "cidr": "10.80.9.0/24"}, 409, "conflict", "10.80.0.0/16"),
        ({"cidr": "10.1.0.0/24"}, 400, "malformed-data", "name"),
        ({"name": 7}, 400, "malformed-data", "$.name"),
        ({"name": "shop", "rule_type": "fastest"}, 400, "malformed-data", "$.rule_type"),
        ([], 400, "malformed-data", "array"),
    ],
)
def test_what_cannot_be_created_says_why(
    program: FlaskClient, console_store: Store, body: object, status: int, code: str, said: str
) -> None:
    networks.create(console_store, name="taken", cidr="10.80.0.0/16")
    assert_problem(program.post("/v1/cladnets", json=body), status, code, said)
    assert len(networks.list_all(console_store)) == 1


def test_bodies_are_json_and_small(program: FlaskClient) -> None:
    assert_problem(program.post("/v1/cladnets", data="name=shop"), 415, "unsupported-media-type")
    assert_problem(program.post("/v1/cladnets", data="{", content_type="application/json"), 400, "malformed-data")
    large = {"name": "shop", "description": "x" * 100_000}
    assert_problem(program.post("/v1/cladnets", json=large), 413, "request-entity-too-large")


def test_what_is_not_there_is_a_problem_too(program: FlaskClient) -> None:
    assert_problem(program.get("/v1/nothing"), 404, "not-found")
    assert_problem(program.get("/v1/cladnets/nobody"), 404, "not-found", "nobody")
    assert_problem(program.put("/v1/cladnets"), 405, "method-not-allowed")


def test_a_status_test_and_its_rows(program: FlaskClient, console_store: Store, agents) -> None:
    group = networks.create(console_store, name="shop").id
    assert program.get("/v1/cladnets/shop/status").json == {"test": None, "rows": []}
    asked = program.post("/v1/cladnets/shop/status-tests", json={"trials": 5})
    assert asked.status_code == 202
    found = console_store.get(keys.test_specification(group), TestSpecification)
    assert found is not None
    assert (found.value.id, found.value.trials) == (asked.json["id"], 5)
    agents.answer(group, found.value, {"a": {"b": 2.5}})
    status = program.get("/v1/cladnets/shop/status").json
    assert status["test"]["id"] == asked.json["id"]
    assert [row["latencies"][0]["avg_ms"] for row in status["rows"]] == [2.5]
    assert_problem(program.post("/v1/cladnets/shop/status-tests", json={"trials": 0}), 422, "invalid-input")


def test_alarms_and_paths_are_told(program: FlaskClient, console_store: Store, agents) -> None:
    group = networks.create(console_store, name="shop").id
    for number, host in enumerate(("a", "b")):
        agents.join(group, host, number)
    assert program.get("/v1/cladnets/shop/alarms").json == {"summary": [], "alarms": []}
    assert program.get("/v1/cladnets/shop/quality").json == {"paths": [], "next": None}
    lost = Alarm(kind=AlarmKind.UNREACHABLE, destination="b", since=datetime.now(UTC), evidence="3 echoes were lost")
    agents.raise_alarms(group, "a", lost, replace(lost, destination="gone"))
    console_store.put(keys.quality(group, "b"), "rubbish")
    found = program.get("/v1/cladnets/shop/alarms").json
    assert [(line["destination"], line["sources"]) for line in found["summary"]] == [("b", ["a"])]
    assert [(each["source"], each["destination"]) for each in found["alarms"]] == [("a", "b")], "of peers there are"
    figures = Figures(sent=20, received=19, avg_ms=2.5)
    pair = PairQuality(destination="b", measured_at=datetime.now(UTC), windows={Window.HOUR: figures})
    row = HostQuality(host="a", written_at=datetime.now(UTC), pairs=(pair,))
    console_store.put(keys.quality(group, "a"), row)
    (path,) = program.get("/v1/cladnets/shop/quality?window=1h").json["paths"]
    assert (path["source"], path["destination"], path["avg_ms"], round(path["loss"], 3)) == ("a", "b", 2.5, 0.05)
    assert program.get("/v1/cladnets/shop/alarms").json["summary"] == []
    console_store.put(keys.quality(group, "a"), replace(row, written_at=row.written_at - timedelta(days=1)))
    assert program.get("/v1/cladnets/shop/quality").json == {"paths": [], "next": None}, "of a host that is off"
    assert_problem(program.get("/v1/cladnets/shop/quality?window=1y"), 422, "invalid-input", "1y")


def test_volumes_are_mirrored(program: FlaskClient, console_store: Store) -> None:
    group = networks.create(console_store, name="shop").id
    stage.set_up(console_store, group)
    program.post("/v1/cladnets/shop/volumes", json={"name": "photos", "size_bytes": 1 << 30})
    asked = "/v1/cladnets/shop/volumes/photos/mirrors"
    assert_problem(program.post(asked, json={}), 422, "invalid-input", "where the mirror lies")
    assert_problem(program.post(asked, json={"home": "oracle"}), 422, "invalid-input", "oracle")
    made = program.post(asked, json={"home": "azure", "every_s": 600})
    assert (made.status_code, made.json["name"], made.json["status"]) == (202, "photos-mirror", "waiting")
    assert program.get("/v1/cladnets/shop/volumes/photos-mirror").json["mirror_of"] == "photos"
    (listed,) = program.get("/v1/cladnets/shop/mirrors").json["mirrors"]
    assert (listed["source"], listed["every_s"], listed["promise"]["home"]) == ("photos", 600, "azure")
    mirror = "/v1/cladnets/shop/mirrors/photos-mirror"
    assert_problem(program.post(f"{mirror}/promote", json={"force": True}), 409, "conflict", "nothing whole")
    assert program.post(f"{mirror}/now", json={}).status_code == 202
    assert program.delete(mirror).status_code == 204
    assert_problem(program.post(f"{mirror}/now", json={}), 409, "conflict", "no longer")


def test_volumes_are_created_and_mounted(program: FlaskClient, console_store: Store, agents) -> None:
    group = networks.create(console_store, name="shop").id
    wish = {"name": "photos", "size_bytes": 1 << 30}
    assert_problem(program.post("/v1/cladnets/shop/volumes", json=wish), 404, "not-found", "storage cluster")
    cluster = ClusterSpecification(
        group=group, fsid="5248e297-0307-4aad-a81e-d3b7ee2f8cd4", cidr=IPv4Network("10.0.0.0/24"),
        mon_hosts=(), mgr_hosts=(), mds_hosts=(), created_at=datetime.now(UTC),
    )  # fmt: skip
    console_store.put(storage_keys.cluster(group), cluster)
    agents.join(group, "aws-1", 0)
    assert program.post("/v1/cladnets/shop/volumes", json=wish).status_code == 201
    assert_problem(program.post("/v1/cladnets/shop/volumes", json=wish), 409, "conflict", "photos")
    promised = {**wish, "name": "db", "survive": "csp"}
    assert_problem(program.post("/v1/cladnets/shop/volumes", json=promised), 503, "unavailable", "not up yet")
    assert_problem(program.get("/v1/cladnets/shop/promises"), 503, "unavailable", "not up yet")
    odd = {**promised, "survive": "the moon"}
    assert_problem(program.post("/v1/cladnets/shop/volumes", json=odd), 422, "invalid-input", "the moon")
    console_store.put(storage_keys.cluster_state(group), NO_OSD)
    assert_problem(program.post("/v1/cladnets/shop/volumes", json=promised), 422, "invalid-input", "3 CSPs")
    options = program.get("/v1/cladnets/shop/promises?home=aws").json["options"]
    assert [one["survive"] for one in options] == ["host", "zone", "region", "csp", "csp+region"]
    assert all(one["missing"] and one["write"] is None for one in options)
    place = {"hosts": ["aws-1"], "path": "/srv/photos"}
    mounted = program.post("/v1/cladnets/shop/volumes/photos/mount", json=place)
    assert mounted.status_code == 202
    assert [(each["host"], each["phase"]) for each in mounted.json["mounts"]] == [("aws-1", "pending")]
    elsewhere = {"hosts": ["nobody"], "path": "/srv/photos"}
    assert_problem(program.post("/v1/cladnets/shop/volumes/photos/mount", json=elsewhere), 404, "not-found", "nobody")
    assert_problem(program.delete("/v1/cladnets/shop/volumes/photos"), 409, "conflict", "aws-1")
    shares = "/v1/cladnets/shop/volumes/photos/shares"
    assert program.get(shares).json == {"everybody": True, "hosts": []}
    assert_problem(program.put(f"{shares}/aws-1", json={}), 409, "conflict", "for every host")
    assert_problem(program.put(shares, json={"hosts": [{"host": "nobody"}]}), 404, "not-found", "nobody")
    reading = {"everybody": False, "hosts": [{"host": "aws-1", "read_only": True}]}
    assert program.put(shares, json={"hosts": reading["hosts"]}).json == reading
    assert program.get("/v1/cladnets/shop/volumes/photos").json["mounts"][0]["read_only"]
    assert program.put(f"{shares}/aws-1", json={}).json["hosts"] == [{"host": "aws-1", "read_only": False}]
    assert program.delete(f"{shares}/aws-1").status_code == 204
    assert program.get("/v1/cladnets/shop/volumes/photos").json["mounts"] == []
    assert_problem(program.post("/v1/cladnets/shop/volumes/photos/mount", json=place), 409, "conflict", "not shared")
    assert program.delete(shares).status_code == 204
    assert program.post("/v1/cladnets/shop/volumes/photos/mount", json=place).status_code == 202
    assert program.post("/v1/cladnets/shop/volumes/photos/unmount", json={}).json["mounts"] == []
    assert program.delete("/v1/cladnets/shop/volumes/photos").status_code == 204
    assert program.get("/v1/volumes").json["volumes"][0]["status"] == "deleting"


def test_user_data_holds_all_that_a_host_needs(program: FlaskClient, console_store: Store) -> None:
    networks.create(console_store, name="shop")
    assert_problem(program.post("/v1/cladnets/shop/enrolment-tokens", json={}), 404, "not-found")
    plane = ControlPlane(server="https://203.0.113.10:8443", ca="sha256:" + "ab" * 32, etcd_endpoints=())
    console_store.put(keys.CONTROL_PLANE, plane)
    made = program.post("/v1/cladnets/shop/enrolment-tokens", json={"roles": ["member", "storage"], "uses": 3})
    assert made.status_code == 201
    assert made.headers["Cache-Control"] == "no-store"
    assert made.json["user_data"].startswith("#cloud-config\n")
    for part in (made.json["token"], plane.server, plane.ca, 'roles = ["member", "storage"]', '"0600"'):
        assert part in made.json["user_data"]
    assert {"aws", "gcp", "azure", "openstack"} <= {way["provider"] for way in made.json["launches"]}
    assert '"nodeGroupSize": 3' in made.json["tumblebug"]
    wrong = program.post("/v1/cladnets/shop/enrolment-tokens", json={"roles": ["control"]})
    assert_problem(wrong, 422, "invalid-input", "control")


def test_hostile_words_stay_words(client: FlaskClient, console_store: Store, agents) -> None:
    group = networks.create(console_store, name="shop", description=SCRIPT).id
    log_in(client)
    for page in ("/cladnets", f"/cladnets/{group}"):
        assert SCRIPT not in client.get(page).text
    refused = client.post(
        "/cladnets", data={"name": SCRIPT, "rule_type": "basic", "csrf_token": csrf_of(client, "/cladnets")}
    )
    assert refused.status_code == 422
    assert SCRIPT not in refused.text
    assert "&lt;script&gt;" in refused.text
    missing = client.get(f"/cladnets/{SCRIPT}")
    assert missing.status_code == 404
    assert SCRIPT not in missing.text


def test_every_answer_tells_browsers_what_to_forbid(client: FlaskClient) -> None:
    for path in ("/login", "/cladnets", "/nothing", "/v1/cladnets", "/static/console.css", "/v1/whoami"):
        with client.get(path) as response:
            headers = response.headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"


def test_the_confirmation_has_to_match(client: FlaskClient, console_store: Store) -> None:
    group = networks.create(console_store, name="shop").id
    log_in(client)
    token = csrf_of(client, "/cladnets")
    wrong = client.post(f"/cladnets/{group}/delete", data={"confirm": "shop", "csrf_token": token})
    assert wrong.status_code == 422
    assert networks.find(console_store, group).state == "active"
    assert client.post(f"/cladnets/{group}/delete", data={"confirm": group, "csrf_token": token}).status_code == 303
    assert networks.find(console_store, group).state == "deleting"


def test_forms_with_nonsense_say_so(client: FlaskClient, console_store: Store, agents) -> None:
    group = networks.create(console_store, name="shop").id
    log_in(client)
    token = csrf_of(client, "/cladnets")
    for path, form, said in (
        (f"/volumes/{group}", {"name": "a", "size": "much"}, "much"),
        (f"/volumes/{group}", {"name": "a", "size": "inf"}, "inf"),
        ("/volumes/nobody", {"name": "a", "size": "1"}, "nobody"),
        (f"/cladnets/{group}/join", {"uses": "x", "hours": "1", "roles": "member"}, "x"),
        (f"/cladnets/{group}/join", {"uses": "1", "hours": "nan", "roles": "member"}, "nan"),
        (f"/cladnets/{group}/join", {"uses": "1", "hours": "1", "roles": "king"}, "king"),
        (f"/cladnets/{group}/status-tests", {"trials": ""}, "Trials"),
        ("/cladnets", {"name": "b", "rule_type": "magic"}, "magic"),
    ):
        answer = client.post(path, data={**form, "csrf_token": token})
        assert answer.status_code in (404, 422), path
        assert said in answer.text
        assert 'role="alert"' in answer.text


def test_without_etcd_the_console_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARVA_CONFIG", str(tmp_path))
    app = create_app(lambda: Store(["http://127.0.0.1:9"], timeout=0.3), state_directory=tmp_path, secure=False)
    client = app.test_client()
    with client.session_transaction() as session:
        session.update(user="admin", secret="x")
    assert_problem(client.get("/v1/cladnets"), 503, "unavailable")
    page = client.get("/cladnets")
    assert page.status_code == 503
    assert 'role="alert"' in page.text
    refused = log_in(client)
    assert refused.status_code == 503
    assert "Traceback" not in refused.text


def test_a_defect_tells_nothing_of_its_insides(tmp_path: Path) -> None:
    def broken() -> Store:
        raise RuntimeError("secret inside")

    client = create_app(broken, state_directory=tmp_path, secure=False).test_client()
    answer = client.get("/v1/cladnets", headers={"Authorization": "Bearer x"})
    assert_problem(answer, 500, "internal-error")
    assert "secret inside" not in answer.text


def test_the_first_password_is_made_once_kept_private_and_forgotten_when_used(
    client: FlaskClient, console_store: Store, tmp_path: Path
) -> None:
    console_store.delete(accounts.user_key("admin"))
    first_account.found(console_store, tmp_path)
    path = tmp_path / first_account.FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first_run = first_account.read_first_run(tmp_path)
    assert first_run is not None
    first_account.found(console_store, tmp_path)
    assert first_account.read_first_run(tmp_path) == first_run
    assert log_in(client, first_run.password, first_run.user).status_code == 303
    assert not path.exists()


def test_the_first_password_may_come_from_user_data(client: FlaskClient, console_store: Store, tmp_path: Path) -> None:
    console_store.delete(accounts.user_key("admin"))
    join_file = tmp_path / "join.toml"
    join_file.write_text('roles = ["control"]\n[control]\nadmin_password = "from-user-data"\n')
    join_file.chmod(0o600)
    assert log_in(client, "from-user-data").status_code == 303  # the first login founds the account
    assert not (tmp_path / first_account.FILE).exists()


def test_the_password_of_a_faster_control_node_is_not_shadowed_by_ours(
    console_store: Store, tmp_path: Path, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts, "anybody", lambda store: False)  # it was created between our look and our write
    first_account.found(console_store, tmp_path)
    assert first_account.read_first_run(tmp_path) is None


def test_the_session_key_is_private_and_kept(app: Flask, tmp_path: Path) -> None:
    key = tmp_path / "console-session.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    again = create_app(lambda: pytest.fail("not needed"), state_directory=tmp_path)
    assert again.secret_key == app.secret_key
    assert again.config["SESSION_COOKIE_NAME"].startswith("__Host-")
    assert again.config["SESSION_COOKIE_SECURE"]
