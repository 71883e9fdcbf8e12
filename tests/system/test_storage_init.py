"""`larva storage init` on a real etcd: where monitors go by the measured matrix, and what it says of that."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Address
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cbstorage import keys as storage_keys
from cbstorage.commands.storage import storage
from cbstorage.wanted import cluster
from cladnet import keys, networks
from cladnet.etcd.store import Store
from cladnet.model import (
    CloudFacts,
    HostNetworkInformation,
    HostStatus,
    NetworkingRule,
    PairLatency,
    Role,
)
from larva.errors import Conflict, InvalidInput, NotFound

SITES = {
    "aws-1": ("ap-northeast-2", "a"), "aws-2": ("ap-northeast-2", "b"), "gcp-1": ("asia-northeast1", "a"),
    "azure-1": ("koreacentral", "1"), "azure-2": ("japanwest", "1"),
}  # fmt: skip
MS = {
    ("aws-1", "aws-2"): 0.6, ("aws-1", "gcp-1"): 34.0, ("aws-1", "azure-1"): 3.0, ("aws-1", "azure-2"): 33.0,
    ("aws-2", "gcp-1"): 34.0, ("aws-2", "azure-1"): 2.0, ("aws-2", "azure-2"): 33.0, ("gcp-1", "azure-1"): 36.0,
    ("gcp-1", "azure-2"): 9.0, ("azure-1", "azure-2"): 35.0,
}  # fmt: skip

Larva = Callable[..., Result]


def run(*words: str) -> Result:
    return CliRunner().invoke(storage, words)


@pytest.fixture
def store(etcd: Any, monkeypatch: pytest.MonkeyPatch) -> Store:
    """etcd, this host's too, with a CLADNet of five storage hosts on three clouds."""
    monkeypatch.setattr(Store, "of_this_host", etcd.store)
    store = etcd.store()
    group = networks.create(store, name="shop", group="shop", cidr="10.77.0.0/24").id
    for number, host in enumerate(SITES, start=1):
        join(store, group, host, number)
    for one in SITES:
        row = {pair[1] if pair[0] == one else pair[0]: ms for pair, ms in MS.items() if one in pair}
        cells = tuple(
            PairLatency(destination=other, destination_address=IPv4Address("10.77.0.9"), sent=3, received=3, avg_ms=ms)
            for other, ms in row.items()
        )
        status = HostStatus(
            host=one, test_id="t", measured_at=datetime.now(UTC), interface="cbnet0", datapath="wireguard",
            latencies=cells,
        )  # fmt: skip
        store.put(keys.status(group, one), status)
    return store


def join(store: Store, group: str, host: str, number: int) -> None:
    """What a storage host and the controller write."""
    region, zone = SITES[host]
    cloud = CloudFacts(provider=host.split("-")[0], region=region, zone=zone)
    information = HostNetworkInformation(
        host=host, public_address=None, interfaces=(), listen_port=1, public_key="", seal_key="", cloud=cloud,
        roles=(Role.STORAGE, Role.MEMBER),
    )  # fmt: skip
    rule = NetworkingRule(host=host, address=IPv4Address(f"10.77.0.{number}"), public_key="", endpoints=(), cloud=cloud)
    store.put(keys.host_information(group, host), information)
    store.put(keys.rule(group, host), rule)
    store.put(keys.presence(group, host), host)


def test_monitors_go_where_the_matrix_says(store: Store) -> None:
    """AWS has two in Seoul, Azure one there and one in Osaka, GCP one in Tokyo."""
    shown = run("init", "--group", "shop", "--dry-run")
    assert shown.exit_code == 0, shown.output
    assert "monitors: aws-1, azure-2, gcp-1\n  model 5, several CSPs in several regions" in shown.output
    assert "A write waits for 2 of 3: 9.00 ms while azure-2 leads, 33.00 ms under the worst leader" in shown.output
    assert "the loss of a cloud" not in shown.output
    assert not store.exists(storage_keys.cluster("shop"))

    told = json.loads(run("init", "--group", "shop", "--dry-run", "--survive", "csp", "--json").output)
    assert sorted(told["mon_hosts"]) == ["aws-2", "azure-1", "gcp-1"]
    assert (told["placement"]["assessment"]["leader"], told["placement"]["assessment"]["write_ms"]) == ("aws-2", 2.0)
    by_kind = {(each["kind"], each["name"]): each for each in told["placement"]["assessment"]["failures"]}
    assert by_kind["csp", "aws"]["survived"]
    assert not by_kind["area", "seoul"]["survived"]

    made = json.loads(run("init", "--group", "shop", "--survive", "csp", "--json").output)
    assert made["mon_hosts"] == told["mon_hosts"] == made["placement"]["mon_hosts"]
    assert list(cluster.find(store).specification.mon_hosts) == made["mon_hosts"]
    assert isinstance(run("init", "--group", "shop").exception, Conflict)


def test_what_cannot_be_is_said_and_nothing_is_made(store: Store) -> None:
    for words, error, said in (
        (("--mons", "5", "--survive", "csp+region"), InvalidInput, "no 5 of 5 hosts"),
        (("--mons", "7"), InvalidInput, "7 monitors need 7 storage hosts, found 5"),
        (("--mons", "2"), InvalidInput, "odd"),
        (("--mons", "1", "--survive", "zone"), InvalidInput, "survives"),
        (("--mon", "aws-1", "--mons", "3"), InvalidInput, "named or chosen"),
        (("--mon", "nobody"), NotFound, "nobody"),
    ):
        for more in ((), ("--dry-run",)):
            refused = run("init", "--group", "shop", *words, *more)
            assert type(refused.exception) is error, (words, refused.output)
            text = f"{refused.exception.message} {refused.exception.hint}"
            assert said in text
    assert isinstance(run("init", "--group", "nowhere", "--dry-run").exception, NotFound)
    assert not store.exists(storage_keys.cluster("shop"))


def test_named_monitors_are_accounted_for(store: Store) -> None:
    shown = run("init", "--group", "shop", *(f"--mon={host}" for host in ("aws-1", "aws-2", "gcp-1")))
    assert shown.exit_code == 0
    assert "they were named" in shown.output
    assert "the loss of a cloud will end the storage: aws" in shown.output
    assert cluster.find(store).specification.mon_hosts == ("aws-1", "aws-2", "gcp-1")
