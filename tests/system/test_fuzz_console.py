"""Every route of the console and of the old API, called with whatever a network can carry: none fails, none takes long.

`LARVA_EXAMPLES=10000 .venv/bin/pytest tests/system/test_fuzz_console.py` looks for other requests than the tests' own.
"""

import json
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.routing import Rule

from cladnet import keys, networks
from cladnet.enrol.authority import Authority, new_key, signing_request
from cladnet.etcd.store import Store
from cladnet.model import ControlPlane
from web import access_tokens, accounts
from web.app import create_app
from web.cbnetwork.local import create_local_app
from web.roles import AccountRole
from web.security import from_our_pages

EXAMPLES = int(os.environ.get("LARVA_EXAMPLES", "0"))
PASSWORD = "correct-horse-battery"
NOT_CALLED = ("/v1/events", "/logout", "/static/<path:filename>")
"""A WebSocket; what would end the session of the test; files that Flask serves."""

NO_SUCH_ROUTE = 501
"""As the old service says it."""

names = st.text(max_size=6) | st.sampled_from(
    ["shop", "nobody", "..", ".", "a/b", "%2f", "%00", "%ff", "a\nb", "A", "a" * 300, "-", "\u0430", "\u202e",
     "' or 1=1", "{}", "*", "shop\x00", "<b>", "up", "down", "0"]
)  # fmt: skip
fields = st.sampled_from(
    ["name", "cidr", "description", "rule_type", "datapath", "size_bytes", "size", "hosts", "host", "path", "force",
     "trials", "roles", "ttl_s", "uses", "hours", "token", "csr", "seal_key", "user", "password", "next", "confirm",
     "cladnet", "cladnetId", "ipv4AddressSpace", "ipv4_address_space", "ruleType", "hostId", "cloudInformation", "unit",
     "providerName", "testSpec", "ipv4Cidrs", "cidrs", "volume", "x"]
)  # fmt: skip
odd = st.sampled_from(
    ["10.9.0.0/24", "10.0.0.0/33", "::1/64", "basic", "auto", "member", "/mnt/x", "/../etc", "1G", "nan", "inf", "-1",
     "1e308", "3", "true", signing_request(new_key(), "h-1")]
)  # fmt: skip
leaves = st.none() | st.booleans() | st.integers() | st.just(2**70) | st.floats() | names | odd
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(fields, inner, max_size=4), max_leaves=6
)
objects = st.dictionaries(fields, values, max_size=6)
forms = st.dictionaries(fields, leaves.map(str) | st.lists(leaves.map(str), max_size=2), max_size=6)
queries = st.dictionaries(fields | st.text(max_size=4), names, max_size=3)
raw = st.binary(max_size=40) | st.sampled_from(
    [b"", b"{", b"[" * 5000, b'{"a":' * 5000, b"\xff\xfe", b"null", b'"\\ud800"', b"1" * 70_000]
)
types = st.sampled_from(
    ["application/json", "application/json; charset=utf-16", "application/x-www-form-urlencoded", "text/plain", "",
     "multipart/form-data; boundary=x", "\u00e9/;;=", "application/json\t"]
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn, rules: list[Rule]) -> dict[str, Any]:
    """What FlaskClient.open takes."""
    rule = draw(st.sampled_from(rules))
    path = re.sub(r"<[^>]+>", lambda _: urllib.parse.quote(draw(names).encode(errors="replace"), safe="%"), rule.rule)
    asked: dict[str, Any] = {
        "path": path, "method": draw(st.sampled_from(sorted(rule.methods or {"GET"}))), "query_string": draw(queries),
    }  # fmt: skip
    kind = draw(st.sampled_from(["json", "form", "raw"]))
    if kind == "json":
        asked |= {"data": json.dumps(draw(objects)).encode(), "content_type": "application/json"}
    elif kind == "form":
        asked |= {"data": draw(forms)}
    else:
        asked |= {"data": draw(raw), "content_type": draw(types)}
    if draw(st.integers(0, 5)) == 0:
        name = draw(
            st.sampled_from(["Origin", "Host", "Authorization", "Cookie", "X-CSRFToken", "Range", "If-None-Match"])
        )
        asked["headers"] = {name: draw(st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=20))}
    return asked


@pytest.fixture
def app(console_etcd: str, console_store: Store, tmp_path: Path) -> Iterator[Flask]:
    authority = Authority.found(tmp_path / "ca")
    made = create_app(
        lambda: Store([console_etcd]), open_authority=lambda: authority, state_directory=tmp_path, secure=False
    )
    made.testing = False  # errors are answered as they are for users
    accounts.create(console_store, "admin", PASSWORD, AccountRole.ADMIN)
    networks.create(console_store, name="shop", cidr="10.8.0.0/24")
    console_store.put(keys.CONTROL_PLANE, ControlPlane(server="https://[::1]:1", ca="", etcd_endpoints=()))
    yield made
    made.extensions["larva"].close()


def never_fails(client: FlaskClient, app: Flask, examples: int) -> None:
    """Send requests to every route, and expect an answer that says what was wrong with each, if anything was."""
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule not in NOT_CALLED]
    seen: set[int] = set()

    @settings(
        max_examples=EXAMPLES or examples, derandomize=not EXAMPLES, database=None, deadline=None, print_blob=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(requests(rules))
    def answers(asked: dict[str, Any]) -> None:
        answer = client.open(**asked)
        seen.add(answer.status_code)
        assert answer.status_code < 500 or answer.status_code == NO_SUCH_ROUTE, answer.text[:500]
        assert len(answer.data) < 1 << 20

    answers()
    assert len(seen) >= 3, "whoever is refused everywhere tries nothing"


def test_a_stranger_is_answered(app: Flask) -> None:
    never_fails(app.test_client(), app, 150)


def test_a_program_is_answered(app: Flask, console_store: Store) -> None:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {access_tokens.create(console_store, 'admin', 'tests')}"
    never_fails(client, app, 300)


def test_a_page_is_answered(app: Flask) -> None:
    client = app.test_client()

    def token(path: str) -> str:
        found = re.search(r'name="csrf-token" content="([^"]+)"', client.get(path).text)
        assert found
        return found[1]

    form = {"user": "admin", "password": PASSWORD, "csrf_token": token("/login")}
    assert client.post("/login", data=form).status_code == 303
    client.environ_base["HTTP_X_CSRFTOKEN"] = token("/cladnets")
    never_fails(client, app, 300)


def test_a_client_of_the_old_api_is_answered(app: Flask) -> None:
    local = create_local_app(app.extensions["larva"])
    local.testing = False
    never_fails(local.test_client(), local, 200)


@given(
    st.text(st.characters(codec="latin-1", exclude_characters="\r\n"))
    | st.sampled_from(["http://[", "http://h:x", "null"])
)
@settings(suppress_health_check=list(HealthCheck), derandomize=not EXAMPLES, database=None)
def test_a_websocket_of_another_origin_is_none_of_ours(app: Flask, origin: str) -> None:
    with app.test_request_context("/v1/events", headers={"Origin": origin}) as context:
        assert from_our_pages(context.request) is (origin == "http://localhost")
