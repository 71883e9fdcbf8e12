"""The placement advisor's page as data: what it answers, and what it says of a question that has no answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from cladnet import networks
from cladnet.etcd.store import Store
from web import access_tokens, accounts
from web.app import create_app
from web.roles import AccountRole


@pytest.fixture
def viewer(console_etcd: str, console_store: Store, tmp_path: Path) -> Iterator[FlaskClient]:
    app = create_app(lambda: Store([console_etcd]), state_directory=tmp_path, secure=False)
    accounts.create(console_store, "kim", "correct-horse-battery", AccountRole.VIEWER)
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {access_tokens.create(console_store, 'kim')}"
    yield client
    app.extensions["larva"].close()


def advice(client: FlaskClient, question: str) -> dict[str, Any]:
    answer = client.get(f"/placement?{question}", headers={"Accept": "application/json"})
    assert answer.status_code == 200
    return answer.json["advice"]


@pytest.fixture
def shop(console_store: Store, agents) -> str:
    group = networks.create(console_store, name="shop", cidr="10.77.0.0/24").id
    for number, host in enumerate(("aws-1", "gcp-1", "azure-1", "aws-2")):
        agents.join(group, host, number)
    return group


def test_without_a_wish_it_promises_what_these_hosts_can(
    viewer: FlaskClient, console_store: Store, shop: str, agents
) -> None:  # fmt: skip
    assert advice(viewer, "")["placement"]["survive"] == "csp+region"
    agents.stop(shop, "azure-1")
    assert advice(viewer, "")["placement"]["survive"] == "host", "one city holds two of three"
    agents.stop(shop, "aws-2")
    found = advice(viewer, "")
    assert found["placement"] is None
    assert "found 2" in found["problem"]["detail"]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("nodes=2", "2 members are not possible"),
        ("nodes=9&survive=host", "9 members are not possible"),
        ("survive=everything", "'everything' is nothing that a service survives"),
        ("survive=csp&nodes=5", "found 4"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_a_question_without_an_answer_is_told_why(viewer: FlaskClient, question: str, said: str) -> None:
    found = advice(viewer, question)
    assert found["placement"] is None
    assert said in found["problem"]["detail"]


@pytest.mark.usefixtures("shop")
def test_what_is_no_number_is_bad_input(viewer: FlaskClient) -> None:
    assert viewer.get("/placement?nodes=many").status_code in (400, 422)
