"""Changing a CLADNet and recommending a range, against a real etcd."""

import csv
import io
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from click.testing import CliRunner, Result

import cbstorage.keys
from cbstorage import view
from cbstorage.model import ClusterSpecification
from cladnet import keys, network_hosts, networks
from cladnet.commands import net as cli
from cladnet.control.controller import Controller
from cladnet.etcd.store import Store
from cladnet.model import (
    CladnetSpecification,
    DatapathKind,
    Encryption,
    HostNetworkInformation,
    HostState,
    HostStatus,
    NetworkInterface,
    PairLatency,
    RuleType,
    TestSpecification,
)
from larva.errors import Conflict, InvalidInput, LarvaError, NotFound

PATIENCE_S = 60.0
KEYS = {"a": "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=", "b": "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI="}


@pytest.fixture
def store(etcd) -> Iterator[Store]:
    """A connection to a new etcd."""
    with etcd.store() as opened:
        yield opened


def announce(store: Store, group: str, host: str, network: str) -> None:
    """What a host's agent writes."""
    information = HostNetworkInformation(
        host=host, public_address=IPv4Address("203.0.113.4"),
        interfaces=(NetworkInterface(name="eth0", mtu=1500, addresses=(IPv4Interface(network),)),),
        listen_port=51820, public_key=KEYS[host], seal_key="",
    )  # fmt: skip
    store.put(keys.host_information(group, host), information)
    store.put(keys.presence(group, host), host)


def test_what_is_given_changes_and_the_rest_stays(store) -> None:
    blue = networks.create(store, name="blue", cidr="10.77.0.0/24", description="the first")
    changed = networks.update(store, "blue", name="navy", rule_type=RuleType.BASIC)
    assert (changed.id, changed.cidr, changed.description) == (blue.id, blue.cidr, "the first")
    assert (changed.name, changed.rule_type) == ("navy", RuleType.BASIC)
    assert networks.find(store, blue.id) == networks.find(store, "navy") == changed
    with pytest.raises(NotFound):
        networks.find(store, "blue")
    assert networks.update(store, blue.id, description="").description == ""


def test_encryption_is_turned_off_and_on_and_never_at_odds_with_the_data_path(store) -> None:
    networks.create(store, name="blue")
    assert networks.update(store, "blue", encryption=Encryption.OFF).datapath == DatapathKind.AUTO
    with pytest.raises(InvalidInput, match="the data path wireguard encrypts") as error:
        networks.update(store, "blue", datapath=DatapathKind.WIREGUARD)
    assert "--datapath auto" in error.value.hint
    networks.update(store, "blue", datapath=DatapathKind.VXLAN)
    with pytest.raises(InvalidInput, match="the data path vxlan does not encrypt"):
        networks.update(store, "blue", encryption=Encryption.ON)
    both = networks.update(store, "blue", encryption=Encryption.ON, datapath=DatapathKind.WIREGUARD_GO)
    assert networks.find(store, "blue") == both
    for datapath, encryption in ((DatapathKind.VXLAN, Encryption.ON), (DatapathKind.WIREGUARD, Encryption.OFF)):
        with pytest.raises(InvalidInput):
            networks.create(store, name="red", datapath=datapath, encryption=encryption)
    assert [each.name for each in networks.list_all(store)] == ["blue"]


def test_a_change_that_changes_nothing_writes_nothing(store) -> None:
    blue = networks.create(store, name="blue", cidr="10.77.0.0/24")
    before = store.revisions("cloud-adaptive-network/")
    assert networks.update(store, "blue", name="blue", cidr="10.77.0.0/24") == blue
    assert store.revisions("cloud-adaptive-network/") == before


def test_a_range_grows_around_its_hosts_and_no_address_changes(store) -> None:
    blue = networks.create(store, name="blue", cidr="10.77.3.0/29")
    announce(store, blue.id, "a", "172.20.0.4/24")
    Controller(store).reconcile()
    before = network_hosts.views(store, "blue")[0].address
    grown = networks.update(store, "blue", cidr="10.77.0.0/16")
    assert grown.cidr == IPv4Network("10.77.0.0/16")
    announce(store, blue.id, "b", "172.20.1.4/24")
    Controller(store).reconcile()
    a, b = network_hosts.views(store, "blue")
    assert a.address == before
    assert b.address in grown.cidr
    assert (b.state, b.problem) == (HostState.ACTIVE, "")


def test_storage_follows_a_range_that_grew(store) -> None:
    blue = networks.create(store, name="blue", cidr="10.77.0.0/24")
    cluster = ClusterSpecification(
        group=blue.id, fsid="01234567-89ab-cdef-0123-456789abcdef", cidr=blue.cidr, mon_hosts=("a",), mgr_hosts=("a",),
        mds_hosts=("a",),
        created_at=datetime.now(UTC),
    )  # fmt: skip
    store.put(cbstorage.keys.cluster(blue.id), cluster)
    networks.update(store, "blue", cidr="10.77.0.0/16")
    seen = view.read(store, blue.id)
    assert seen is not None
    assert seen.cluster().cidr == IPv4Network("10.77.0.0/16")
    assert keys.configuration(blue.id) in view.prefixes(blue.id)


@pytest.mark.parametrize(
    ("change", "kind", "told"),
    [
        ({"cidr": "10.77.0.0/25"}, InvalidInput, "only grow"),
        ({"cidr": "10.78.0.0/16"}, InvalidInput, "only grow"),
        ({"cidr": "10.64.0.0/10"}, Conflict, r"10\.90\.0\.0/24 of CLADNet 'red'"),
        ({"cidr": "10.76.0.0/15"}, Conflict, r"10\.76\.5\.0/24, a network that host 'a' sits in"),
        ({"cidr": "0.0.0.0/0"}, InvalidInput, "not private"),
        ({"cidr": "ten"}, InvalidInput, "no IPv4"),
        ({"name": "red"}, Conflict, "'red' exists"),
        ({"name": "Blue Net"}, InvalidInput, "not usable"),
        ({"description": "x" * 2000}, InvalidInput, "2000 characters"),
        ({"datapath": DatapathKind.VXLAN}, InvalidInput, "does not encrypt"),
        ({"datapath": DatapathKind.WIREGUARD, "encryption": Encryption.OFF}, InvalidInput, "encryption is off"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    store, change: dict[str, str], kind: type[LarvaError], told: str
) -> None:
    blue = networks.create(store, name="blue", cidr="10.77.0.0/24")
    red = networks.create(store, name="red", cidr="10.90.0.0/24")
    announce(store, red.id, "a", "10.76.5.4/24")
    with pytest.raises(kind, match=told) as error:
        networks.update(store, "blue", **change)  # type: ignore[arg-type]
    assert error.value.hint
    assert networks.find(store, "blue") == blue


def test_one_that_is_being_deleted_or_is_not_there_cannot_be_changed(store) -> None:
    networks.create(store, name="blue")
    networks.delete(store, "blue")
    with pytest.raises(Conflict, match="being deleted"):
        networks.update(store, "blue", description="x")
    with pytest.raises(NotFound):
        networks.update(store, "red", description="x")


def test_of_changes_at_once_none_is_lost_and_no_range_or_name_is_taken_twice(etcd, store) -> None:
    made = {
        name: networks.create(store, name=name, cidr=f"10.77.{number}.0/24").id
        for number, name in enumerate(("one", "two", "three"))
    }

    def change(name: str, wanted: dict[str, str]) -> None:
        with etcd.store() as own:
            for _ in range(20):
                try:
                    networks.update(own, made[name], **wanted)  # type: ignore[arg-type]
                except Conflict as error:
                    if "right now" in error.message:
                        continue
                return

    wishes = [(name, {"description": f"{name} changed"}) for name in ("one", "two", "three")]
    wishes += [("one", {"cidr": "10.76.0.0/15"}), ("two", {"name": "same"}), ("three", {"name": "same"})]
    threads = [threading.Thread(target=change, args=wish) for wish in wishes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=PATIENCE_S)
    found = networks.list_all(store)
    assert len({each.name for each in found}) == 3
    assert "same" in {each.name for each in found}
    assert {each.description for each in found} == {"one changed", "two changed", "three changed"}
    assert not any(a.cidr.overlaps(b.cidr) for i, a in enumerate(found) for b in found[:i])


def test_a_recommended_range_can_be_created_and_is_not_recommended_again(store) -> None:
    blue = networks.create(store, name="blue")
    announce(store, blue.id, "a", "192.168.65.4/24")
    first = networks.recommend(store, hosts=500)
    assert first.cidr.prefixlen == 23
    assert {"CLADNet blue", "own network of a"} <= {each.detail for each in first.avoided}
    red = networks.create(store, name="red", cidr=str(first.cidr))
    assert not networks.recommend(store, hosts=500).cidr.overlaps(red.cidr)


def larva(etcd, monkeypatch: pytest.MonkeyPatch, *words: str) -> Result:
    monkeypatch.setattr(Store, "of_this_host", etcd.store)
    return CliRunner().invoke(cli.net, words)


def test_the_commands_say_what_they_found(etcd, store, monkeypatch: pytest.MonkeyPatch) -> None:
    networks.create(store, name="blue", cidr="10.77.0.0/24")
    shown = larva(etcd, monkeypatch, "recommend").output
    assert "holds 254 hosts" in shown
    assert "CLADNet blue" in shown
    answer = json.loads(larva(etcd, monkeypatch, "recommend", "--hosts", "300", "--json").output)
    assert answer["hosts"] == 510
    assert {"network": "10.77.0.0/24", "reason": "cladnet", "detail": "CLADNet blue"} in answer["avoided"]
    changed = json.loads(larva(etcd, monkeypatch, "update", "blue", "--description", "x", "--json").output)
    assert changed["description"] == "x"
    refused = larva(etcd, monkeypatch, "update", "blue")
    assert isinstance(refused.exception, InvalidInput)
    assert isinstance(larva(etcd, monkeypatch, "status", "blue", "--csv", "--json").exception, InvalidInput)


def answer_tests(store: Store, group: str, stop: threading.Event) -> None:
    """The hosts `a` and `b` answer each test, b after a was seen."""
    for _ in range(600):
        test = store.get(keys.test_specification(group), TestSpecification)
        if test is not None:
            for host, peer in (("a", "b"), ("b", "a")):
                cell = PairLatency(
                    destination=peer, destination_address=IPv4Address("10.77.0.9"), sent=2,
                    received=2 if host == "a" else 0, avg_ms=1.5 if host == "a" else None,
                )  # fmt: skip
                row = HostStatus(
                    host=host, test_id=test.value.id, measured_at=datetime.now(UTC), interface="cbnet0",
                    datapath="wireguard", latencies=(cell,),
                )  # fmt: skip
                store.put(keys.status(group, host), row)
        if stop.wait(0.1):
            return


def test_rows_are_shown_as_they_arrive_and_as_csv(etcd, store, monkeypatch: pytest.MonkeyPatch) -> None:
    blue: CladnetSpecification = networks.create(store, name="blue", cidr="10.77.0.0/24")
    for host in ("a", "b"):
        announce(store, blue.id, host, "172.20.0.4/24")
    Controller(store).reconcile()
    stop = threading.Event()
    answering = threading.Thread(target=answer_tests, args=(store, blue.id, stop))
    answering.start()
    try:
        assert larva(etcd, monkeypatch, "status", "blue", "--watch").output == "a → b 1.50\nb → a lost\n"
        told = larva(etcd, monkeypatch, "status", "blue", "--csv").output
        first, second = csv.DictReader(io.StringIO(told))
        assert (first["source"], first["destination"], first["avg_ms"]) == ("a", "b", "1.5")
        assert (second["source"], second["received"], second["avg_ms"]) == ("b", "0", "")
        lines = larva(etcd, monkeypatch, "status", "blue", "--watch", "--json").output.splitlines()
        assert {json.loads(line)["host"] for line in lines} == {"a", "b"}
        assert "lost" in larva(etcd, monkeypatch, "status", "blue").output
    finally:
        stop.set()
        answering.join(timeout=PATIENCE_S)
