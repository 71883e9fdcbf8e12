"""Forms of pages: refused, they come back as they were filled in; what is lost is said before."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from cbstorage import keys
from cbstorage.model import VolumeSpecification
from cladnet import networks
from cladnet.etcd.store import Store
from web import access_tokens, accounts
from web.app import create_app
from web.roles import AccountRole

A_TIME = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def client(console_etcd: str, console_store: Store, tmp_path: Path, agents) -> Iterator[FlaskClient]:
    """An administrator, a CLADNet with a host, and a volume in it."""
    app = create_app(lambda: Store([console_etcd]), state_directory=tmp_path, secure=False)
    group = networks.create(console_store, name="shop", cidr="10.77.0.0/24").id
    agents.join(group, "aws-1", 0)
    volume = VolumeSpecification(group=group, name="photos", id="0" * 8, size_bytes=1 << 30, created_at=A_TIME)
    console_store.put(keys.volume(group, "photos"), volume)
    accounts.create(console_store, "admin", "correct-horse-battery", AccountRole.ADMIN)
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {access_tokens.create(console_store, 'admin')}"
    yield client
    app.extensions["larva"].close()


def filled(page: str, section: str) -> set[str]:
    """The boxes that are ticked and the choices that are made in the form of a section."""
    (form,) = re.findall(rf"<form[^>]*/{section}#.*?</form>", page, re.DOTALL)
    found = re.findall(r'<input type="checkbox" name="(\w+)"[^>]* checked', form)
    return {*found, *re.findall(r'<option value="(\w+)" selected', form)}


@pytest.mark.parametrize(
    ("section", "typed", "kept"),
    [
        ("mount", {"everywhere": "on", "read_only": "on", "path": "not/absolute"}, {"everywhere", "read_only"}),
        ("mount", {"hosts": "aws-1", "path": "not/absolute"}, {"hosts"}),
        ("shares", {"only": "yes", "may": "read"}, {"read"}),
        ("schedule", {"every": "often", "unit": "days", "keep": "3"}, {"days"}),
        ("size", {"size": "much", "force": "on"}, {"force"}),
    ],
)
def test_a_refused_form_keeps_boxes_and_choices(
    client: FlaskClient, section: str, typed: dict[str, str], kept: set[str]
) -> None:
    untouched = filled(client.get("/volumes/shop/photos").text, section)
    answer = client.post(f"/volumes/shop/photos/{section}", data=typed)
    assert answer.status_code == 422, answer.text
    assert filled(answer.text, section) == kept
    assert filled(client.get("/volumes/shop/photos").text, section) == untouched != kept


def test_deleting_a_network_says_how_many_hosts_and_volumes_go_with_it(client: FlaskClient) -> None:
    page = client.get("/cladnets/shop").text
    assert "Its hosts (1) leave the network, and nobody reaches its volumes (1) any more." in page
