"""The public routes of enrolment, over real TLS from a real console."""

import http.client
import json
import ssl
from typing import Any

import pytest

from cladnet import networks
from cladnet.enrol import authority, enrolment
from cladnet.model import Role
from larva import codec


def ask(
    control: Any, method: str, path: str, body: bytes | None = None, *, source: str = "127.0.0.1", **headers: str
) -> Any:
    context = ssl.create_default_context(cadata=control.authority().certificate_pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    connection = http.client.HTTPSConnection(
        "127.0.0.1", control.ports.console, timeout=20, context=context, source_address=(source, 0)
    )
    try:
        connection.request(method, path, body=body, headers={"Content-Type": "application/json"})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def test_a_host_learns_the_address_it_comes_from(control_node: Any) -> None:
    response, body = ask(control_node, "GET", "/v1/whoami", source="127.0.0.7")
    assert response.status == 200
    assert json.loads(body) == {"address": "127.0.0.7"}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "malformed-data"),
        (b"[]", 400, "malformed-data"),
        (b'{"token": 5, "csr": "", "host": "x"}', 400, "malformed-data"),
        (b"\xff\xfe", 400, "malformed-data"),
        (b'{"token": "t", "csr": "", "host": "x", "roles": ["emperor"]}', 400, "malformed-data"),
        (b'{"token": "t", "csr": "no request", "host": "x"}', 400, "malformed-data"),
        (b'{"token": "t", "csr": "", "host": "../../larva/user/admin"}', 422, "invalid-input"),
        (b'{"token": "t", "csr": "", "host": "x", "roles": []}', 422, "invalid-input"),
        (b'{"token": "' + b"t" * 20_000 + b'", "csr": "", "host": "x"}', 413, "request-entity-too-large"),
    ],
)
def test_bad_requests_are_answered_by_problem_documents(control_node: Any, body: bytes, status: int, code: str) -> None:
    response, answer = ask(control_node, "POST", "/v1/enrol", body, source="127.0.0.8")
    problem = json.loads(answer)
    assert (response.status, problem["code"]) == (status, code), problem
    assert response.headers["Content-Type"] == "application/problem+json"


def test_who_keeps_guessing_has_to_wait_and_others_have_not(control_node: Any) -> None:
    csr = authority.signing_request(authority.new_key(), "guesser")
    body = codec.encode({"token": "guess", "csr": csr, "host": "guesser"})
    answers = [ask(control_node, "POST", "/v1/enrol", body, source="127.0.0.9")[0] for _ in range(25)]
    assert answers[0].status == 403
    assert answers[-1].status == 429
    assert int(answers[-1].headers["Retry-After"]) >= 1
    with control_node.store() as store:
        cladnet = networks.create(store, name="jeju").id
        token = enrolment.create_token(store, group=cladnet, roles=(Role.MEMBER,), ttl_s=60, uses=1)
    good = codec.encode({"token": token, "csr": csr, "host": "guesser"})
    assert ask(control_node, "POST", "/v1/enrol", good, source="127.0.0.10")[0].status == 201
