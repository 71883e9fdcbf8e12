"""What a volume survives, on a real etcd: promises that are kept, shown with their cost, or refused."""

import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest
from click.testing import CliRunner
from storage_wishes import GIB, GROUP, stand

import cladnet.keys
from cbstorage.commands.volume import volume as volume_command
from cbstorage.model import ClusterSpecification
from cbstorage.wanted import promises, resizing, room, volumes
from cladnet.etcd.store import Store
from cladnet.model import HostStatus, PairLatency
from cladnet.placement.model import Survive
from larva.errors import InvalidInput, Unavailable


def test_a_promise_is_kept_in_mind_or_refused(store: Store, made: ClusterSpecification) -> None:
    promise = promises.parse("csp", "gcp")
    with pytest.raises(Unavailable, match="not up yet"):
        volumes.create(store, GROUP, "v", GIB, promise)
    for missing in ({"out": ("aws",)}, {"down": ("azure",)}):
        stand(store, **missing)
        with pytest.raises(InvalidInput, match="3 CSPs with OSDs are needed, there are 2"):
            volumes.create(store, GROUP, "v", GIB, promise)
    stand(store)
    with pytest.raises(InvalidInput, match="no OSD that can keep csp is in 'nhn'"):
        volumes.create(store, GROUP, "v", GIB, promises.parse("csp", "nhn"))
    assert volumes.create(store, GROUP, "v", GIB, promise).data_pool == "cladfs.data.csp.home.gcp"
    assert volumes.find(store, GROUP, "v").promise == promise
    assert volumes.create(store, GROUP, "w", GIB).data_pool == "cladfs.data"


def test_who_promises_more_room_than_there_is_is_told(store: Store, made: ClusterSpecification) -> None:
    volumes.create(store, GROUP, "v", 2 * GIB)
    assert room.warning(store, GROUP) == "", "nobody knows how much there is"
    stand(store, room_bytes=3 * GIB)
    assert room.warning(store, GROUP) == ""
    volumes.create(store, GROUP, "w", 2 * GIB)
    assert "may hold 4GB together, and its OSDs have room for 3GB" in room.warning(store, GROUP)
    resizing.resize(store, GROUP, "w", GIB)
    assert room.warning(store, GROUP) == ""


@pytest.mark.parametrize(("survive", "home"), [("moon", ""), ("csp", "a b"), (None, "aws")])
def test_a_promise_that_is_none_is_refused(survive: str | None, home: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        promises.parse(survive, home)
    assert refused.value.hint


def test_promises_are_listed_with_their_cost(store: Store, made: ClusterSpecification) -> None:
    stand(store)
    found = promises.preview(store, GROUP, "gcp")
    csp = found.option(Survive.CSP)
    assert csp.write is not None
    assert csp.unwise, "what nobody measured is guessed high"
    assert "above 100 ms stretching is unwise" in promises.unwise(csp)
    assert "3 zones" in found.option(Survive.ZONE).missing
    assert promises.unwise(found.option(Survive.ZONE)) == ""
    assert any("never measured" in remark for remark in found.remarks)
    cells = tuple(
        PairLatency(
            destination=f"{csp}-1", destination_address=IPv4Address("192.168.10.9"), sent=3, received=3, avg_ms=ms
        )
        for csp, ms in (("aws", 20.0), ("azure", 8.0))
    )  # fmt: skip
    row = HostStatus(
        host="gcp-1", test_id="t", measured_at=datetime.now(UTC), interface="", datapath="", latencies=cells
    )
    assert found.measured_at is None
    store.put(cladnet.keys.status(GROUP, "gcp-1"), row)
    older = replace(row, host="aws-1", measured_at=row.measured_at - timedelta(hours=3), latencies=cells[1:])
    store.put(cladnet.keys.status(GROUP, "aws-1"), older)
    preview = promises.preview(store, GROUP, "gcp")
    assert preview.measured_at == older.measured_at
    store.put(cladnet.keys.status(GROUP, "aws-1"), replace(older, latencies=()))
    assert promises.preview(store, GROUP, "gcp").measured_at == row.measured_at
    measured = preview.option(Survive.CSP)
    assert measured.write is not None
    assert measured.write.expected_ms == 20.0
    assert not measured.unwise
    with pytest.raises(InvalidInput):
        promises.preview(store, GROUP, "a b")


def test_the_command_shows_what_a_promise_costs_and_asks(
    store: Store, made: ClusterSpecification, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(store)
    monkeypatch.setattr(Store, "of_this_host", lambda: contextlib.nullcontext(store))
    words = ["create", "v", "--size", "1G", "--survive", "csp"]
    refused = CliRunner().invoke(volume_command, words, input="n\n")
    assert refused.exit_code == 1
    assert "a write takes" in refused.output
    assert "stretching is unwise" in refused.output
    assert "larva volume mirror v --to" in refused.output, "what can be had instead"
    assert "3 zones with OSDs are needed" in refused.output
    assert volumes.list_all(store, GROUP) == ()
    unasked = CliRunner().invoke(volume_command, [*words, "--json"])
    assert isinstance(unasked.exception, InvalidInput)
    assert CliRunner().invoke(volume_command, words, input="y\n").exit_code == 0
    assert volumes.find(store, GROUP, "v").promise == promises.parse("csp")
    told = CliRunner().invoke(volume_command, ["create", "w", *words[2:], "--home", "aws", "--yes", "--json"])
    assert json.loads(told.stdout)["promise"] == {"survive": "csp", "home": "aws"}
