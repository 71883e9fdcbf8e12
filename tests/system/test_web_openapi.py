"""The API's description: that it is one, that it is complete, and that people can read it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sealing
import stage
from click.testing import CliRunner
from contract import Contract, checked_client
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator, ValidationError

from cladnet import keys, networks
from cladnet.etcd.store import Store
from web import access_tokens, accounts, openapi
from web.app import create_app
from web.console import console
from web.roles import AccountRole


@pytest.fixture
def app(console_etcd: str, console_store: Store, tmp_path: Path) -> Iterator[Flask]:
    app = create_app(lambda: Store([console_etcd]), state_directory=tmp_path, secure=False)
    app.testing = False
    app.test_client_class = checked_client(app)
    accounts.create(console_store, "admin", "correct-horse-battery", AccountRole.ADMIN)
    yield app
    app.extensions["larva"].close()


@pytest.fixture
def program(app: Flask, console_store: Store) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {access_tokens.create(console_store, 'admin', 'tests')}"
    return client


def test_the_document_is_served_printed_and_the_same(app: Flask) -> None:
    served = app.test_client().get("/v1/openapi.json")
    assert served.status_code == 200
    printed = json.loads(CliRunner().invoke(console, ["openapi"]).output)
    assert set(served.json["paths"]) == set(printed["paths"]) - {
        "/v1/ca.pem", "/v1/whoami", "/v1/enrol", "/v1/renew",
    }, "this application enrols nobody"  # fmt: skip
    assert served.json["openapi"] == "3.1.1"


def test_every_schema_is_json_schema_and_every_reference_leads_somewhere(app: Flask) -> None:
    document = openapi.document(app)
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)

    def references(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
            for each in value.values():
                yield from references(each)
        elif isinstance(value, list):
            for each in value:
                yield from references(each)

    for reference in references(document):
        _, _, kind, name = reference.split("/")
        assert name in document["components"][kind], reference


def test_every_operation_has_words_and_a_name_of_its_own(app: Flask) -> None:
    operations = [each for methods in openapi.document(app)["paths"].values() for each in methods.values()]
    names = [each["operationId"] for each in operations]
    assert len(set(names)) == len(names)
    assert all(each["summary"].endswith(".") for each in operations)


def test_an_answer_that_is_not_described_is_seen(app: Flask, program: FlaskClient, console_store: Store) -> None:
    contract = Contract(app)
    answer = program.get("/v1/cladnets")
    contract.check("GET", "/v1/cladnets", answer)
    answer.status_code = 418
    with pytest.raises(AssertionError, match="418"):
        contract.check("GET", "/v1/cladnets", answer)
    other = program.get("/v1/me")
    with pytest.raises(ValidationError):
        contract.check("GET", "/v1/cladnets", other)


def test_people_can_read_it(app: Flask, console_store: Store) -> None:
    client = app.test_client()
    assert client.get("/api").status_code == 303
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {access_tokens.create(console_store, 'admin', 'tests')}"
    page = client.get("/api")
    assert page.status_code == 200
    for route in openapi.routes(app):
        assert f"{route.method} {route.path}</code>" in page.text


LOOKS = [
    "hosts", "hosts/aws-1", "hosts/aws-1/rules", "status", "alarms", "quality", "placement?nodes=3&survive=csp",
    "storage", "storage/monitor-plan?count=3", "storage/keys", "osds", "osds/0", "volumes", "volumes/photos",
    "volumes/photos/shares", "volumes/photos/snapshots", "promises?home=aws", "mounts", "volume-trash", "mirrors",
    "connections", "smb/shares",
]  # fmt: skip


def test_everything_can_be_looked_at(
    app: Flask, program: FlaskClient, console_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LARVA_CONFIG", str(tmp_path))
    sealing.exported(tmp_path / "images" / "aws", tmp_path, "aws")
    group = networks.create(console_store, name="shop").id
    stage.set_up(console_store, group)
    for host in stage.HOSTS:
        console_store.put(keys.presence(group, host), "")
    assert program.post("/v1/cladnets/shop/volumes", json={"name": "photos", "size_bytes": 1 << 30}).status_code == 201
    program.post("/v1/cladnets/shop/volumes/photos/mount", json={"hosts": None, "path": "/srv/photos"})
    for look in LOOKS:
        answer = program.get(f"/v1/cladnets/shop/{look}")
        assert answer.status_code == 200, answer.text
    for path in ("/v1/hosts", "/v1/recommended-range?hosts=300", "/v1/users", "/v1/me", "/v1/access-tokens",
                 "/v1/enrolment-tokens", "/v1/volumes", "/v1/cladnets", "/v1/cladnets/shop", "/v1/audit", "/v1/images",
                 "/v1/images/aws", "/v1/images/aws/files/launch.md", "/v1/me/sessions", "/v1/users/admin/sessions",
                 "/v1/audit?since=2020-01-01T00:00:00Z"):  # fmt: skip
        assert program.get(path, buffered=True).status_code == 200, path
    looked = {held for held in app.test_client_class.contract.held if held.startswith("GET ")}
    there = {f"GET {route.path}" for route in openapi.routes(app) if route.method == "GET"}
    assert there - looked <= {"GET /v1/openapi.json", "GET /v1/users/{user}"}
