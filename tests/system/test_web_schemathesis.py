"""The API held to its description by a stranger: schemathesis makes requests of the document, for every role.

`LARVA_EXAMPLES=200 .venv/bin/pytest tests/system/test_web_schemathesis.py` makes more of them.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
import stage
from flask import Flask
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cladnet import keys, networks
from cladnet.enrol.authority import Authority
from cladnet.etcd.store import Store
from cladnet.model import ControlPlane
from web import access_tokens, accounts
from web.api import connections
from web.app import create_app
from web.roles import AccountRole

EXAMPLES = int(os.environ.get("LARVA_EXAMPLES", "6"))
"""Of each operation, for each role."""
PASSWORD = "correct-horse-battery"
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip


@pytest.fixture
def app(console_etcd: str, console_store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Flask]:
    monkeypatch.setattr(connections, "KEY_WAIT_S", 0.1)  # nobody makes keys here
    authority = Authority.found(tmp_path / "ca")
    app = create_app(
        lambda: Store([console_etcd]), open_authority=lambda: authority, state_directory=tmp_path, secure=False
    )
    app.testing = False
    yield app
    app.extensions["larva"].close()


def filled(store: Store, role: AccountRole) -> str:
    """What a request may hit upon; returns an access token of the role."""
    group = networks.create(store, name="shop", group="shop-1").id
    stage.set_up(store, group)
    store.put(keys.CONTROL_PLANE, ControlPlane(server="https://[::1]:1", ca="", etcd_endpoints=()))
    accounts.create(store, role.value, PASSWORD, role, (group,) if role is AccountRole.TENANT else ())
    return access_tokens.create(store, role.value)


@pytest.mark.slow
@pytest.mark.parametrize("role", AccountRole)
def test_no_server_error_and_no_answer_that_is_not_described(
    app: Flask, console_store: Store, role: AccountRole
) -> None:
    token = filled(console_store, role)
    schema = schemathesis.openapi.from_wsgi("/v1/openapi.json", app)
    tried, answered = 0, 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES, derandomize=True, database=None, deadline=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
        def holds(case: schemathesis.Case) -> None:
            nonlocal answered
            if "cladnet" in case.path_parameters:
                case.path_parameters["cladnet"] = "shop"
            response = case.call(headers={"Authorization": f"Bearer {token}"})
            answered += response.status_code < 400
            case.validate_response(response, checks=CHECKS)

        holds()
        tried += 1
    assert tried > 85
    assert answered > EXAMPLES * 5, "some of it has to come through"
