"""A real etcd in which somebody writes what nobody should: watches, controllers and the command line go on."""

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest
from etcd3 import etcdrpc

from cladnet import keys, network_hosts, networks
from cladnet.agent.presence import Presence
from cladnet.agent.publisher import HostFacts, publish
from cladnet.control.controller import Controller
from cladnet.enrol import membership
from cladnet.etcd.reconciler import Reconciler
from cladnet.etcd.store import Event, Store
from cladnet.member import Identity, Member
from cladnet.model import (
    CladnetSpecification,
    CladnetState,
    EnrolledHost,
    HostNetworkInformation,
    NetworkingRule,
    NetworkInterface,
    Role,
)
from larva.errors import Conflict, InvalidInput

PATIENCE_S = 30.0


@pytest.fixture
def store(etcd):
    with etcd.store() as opened:
        yield opened


def write(store: Store, key: bytes, value: bytes) -> None:
    """Write any bytes, as a member with etcdctl can."""
    request = etcdrpc.PutRequest(key=key, value=value)
    store._cluster.call("write", lambda end, seconds: end.kv.Put(request, timeout=seconds))


def announce(store: Store, group: str, host: str, number: int, *interfaces: str) -> None:
    store.put(
        keys.host_information(group, host),
        HostNetworkInformation(
            host=host, public_address=IPv4Address(f"203.0.113.{number}"),
            interfaces=(
                NetworkInterface(
                    name="eth0", mtu=1500,
                    addresses=tuple(IPv4Interface(each) for each in interfaces or ("172.20.0.4/24",)),
                ),
            ),
            listen_port=51820, public_key="ABCDEFGH"[number] * 42 + "A=", seal_key="",
        ),
    )  # fmt: skip


def test_a_key_that_is_no_text_does_not_end_a_watch(store) -> None:
    watch = store.watch(["prefix/"])
    events = iter(watch)
    next(events)
    write(store, b"prefix/\xff\xfe", b"1")
    store.put("prefix/after", 2)
    found = [next(events), next(events)]
    watch.close()
    assert [event.value for event in found if isinstance(event, Event)] == [b"1", b"2"]


def test_a_watch_that_fails_in_an_unforeseen_way_is_made_anew(store, monkeypatch) -> None:
    monkeypatch.setattr("cladnet.etcd.reconciler.LONGEST_RETRY_S", 0.1)
    real, broken, looks = store.watch, threading.Event(), threading.Semaphore(0)

    class Broken:
        def __iter__(self) -> Any:
            broken.set()
            raise RuntimeError("a defect")

        def close(self) -> None: ...

    class Once:
        def __init__(self) -> None:
            self.inner = real(["p/"])
            self.first = True

        def __iter__(self) -> Any:
            if self.first:
                self.first = False
                return iter(Broken())
            return iter(self.inner)

        def close(self) -> None:
            self.inner.close()

    monkeypatch.setattr(store, "watch", lambda prefixes: Once())
    stop = threading.Event()
    reconciler = Reconciler(store, ["p/"], lambda: looks.release(), name="test", resync_s=3600)
    thread = threading.Thread(target=reconciler.run, args=(stop,))
    thread.start()
    try:
        assert broken.wait(PATIENCE_S)
        while looks.acquire(timeout=1.0):
            pass
        store.put("p/x", 1)
        assert looks.acquire(timeout=PATIENCE_S)
    finally:
        stop.set()
        thread.join(PATIENCE_S)


def test_presence_outlives_an_unforeseen_failure_and_rubbish_in_its_key(store, monkeypatch) -> None:
    monkeypatch.setattr("cladnet.agent.presence.REFRESH_S", 0.05)
    key, stop, asked = keys.presence("g-1", "a"), threading.Event(), 0

    def wanted() -> bool:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise RuntimeError("a defect")
        if asked == 3:
            write(store, key.encode(), b"\xff rubbish")
        return True

    thread = threading.Thread(target=Presence(store, key, "a", wanted=wanted).run, args=(stop,))
    thread.start()
    deadline = time.monotonic() + PATIENCE_S
    while asked < 6 and time.monotonic() < deadline:
        time.sleep(0.02)
    alive = thread.is_alive()
    stop.set()
    thread.join(PATIENCE_S)
    assert alive
    assert asked >= 6


def test_a_controller_serves_good_hosts_whatever_else_is_there(store) -> None:
    group = networks.create(store, name="good", cidr="10.77.0.0/24").id
    announce(store, group, "a", 1)
    announce(store, group, "b", 2)
    for key, value in {
        f"{keys.HOST_INFORMATION}{group}/UPPER": b"{}",
        f"{keys.HOST_INFORMATION}{group}/x/b": store_bytes(store, keys.host_information(group, "a")),
        f"{keys.RULE}{group}/../c": b"[]",
        f"{keys.ADDRESS}{group}/10.77.0.1": b'"../b"',
        f"{keys.ADDRESS}{group}/10.77.0.2": b'"UPPER"',
        f"{keys.ADDRESS}{group}/not-an-address": b'"a"',
        f"{keys.COMMAND}{group}/a": b'{"command":"explode"}',
        f"{keys.PRESENCE}{group}/a": b"not json",
        f"{keys.CONFIGURATION}Bad Name": store_bytes(store, keys.configuration(group)),
        f"{keys.CONFIGURATION}aaa": b"[[[[",
    }.items():
        write(store, key.encode(), value)
    write(store, f"{keys.HOST_INFORMATION}{group}/\x00".encode() + b"\xff", b"\xff")
    controller = Controller(store)
    controller.reconcile()
    controller.reconcile()
    rules = store.children(keys.rules_of(group), NetworkingRule)
    assert set(rules) == {"a", "b"}
    assert rules["b"].value.endpoints[0].address == IPv4Address("203.0.113.2")
    assert {view.host: view.problem for view in network_hosts.views(store, group)} == {"a": "", "b": ""}
    assert [each.id for each in networks.list_all(store)] == [group]


def store_bytes(store: Store, key: str) -> bytes:
    request = etcdrpc.RangeRequest(key=key.encode())
    response, _ = store._cluster.call("read", lambda end, seconds: end.kv.Range(request, timeout=seconds))
    return bytes(response.kvs[0].value)


def test_a_configuration_cannot_have_another_cladnet_emptied(store) -> None:
    group = networks.create(store, name="victim", cidr="10.77.0.0/24").id
    announce(store, group, "a", 1)
    victim = store.get(keys.configuration(group), CladnetSpecification).value
    store.put(f"{keys.CONFIGURATION}attack", replace(victim, state=CladnetState.DELETING))
    Controller(store).reconcile()
    assert set(store.children(keys.rules_of(group), NetworkingRule)) == {"a"}
    assert networks.find(store, "victim").state == CladnetState.ACTIVE


def test_one_host_with_more_to_say_than_etcd_takes_does_not_stop_the_others(store) -> None:
    group = networks.create(store, name="good", cidr="10.77.0.0/24").id
    announce(store, group, "a", 1, *(f"10.{128 + (n >> 8)}.{n & 255}.4/24" for n in range(20_000)))
    announce(store, group, "b", 2)
    Controller(store).reconcile()
    assert "b" in store.children(keys.rules_of(group), NetworkingRule)


def test_a_value_larger_than_etcd_takes_is_the_writers_fault(store) -> None:
    with pytest.raises(InvalidInput, match="too large"):
        store.put("x", "y" * (1800 << 10))


def test_a_deleted_cladnet_takes_rubbish_with_it(store) -> None:
    group = networks.create(store, name="gone", cidr="10.77.0.0/24").id
    write(store, f"{keys.STATUS}{group}/a".encode(), b"not json")
    write(store, f"{keys.PRESENCE}{group}/".encode() + b"\xff", b"\xff")
    networks.delete(store, "gone")
    Controller(store).reconcile()
    assert store.revisions(f"{keys.ROOT}/") == {}


def test_a_clone_is_told_why_it_cannot_join(store) -> None:
    group = networks.create(store, name="good", cidr="10.77.0.0/24").id
    announce(store, group, "a", 1)
    announce(store, group, "b", 1)
    Controller(store).reconcile()
    problems = {view.host: view.problem for view in network_hosts.views(store, group)}
    assert problems["a"] == ""
    assert "key of a" in problems["b"]


def test_a_range_may_be_chosen_when_none_can_be_recommended(store) -> None:
    group = networks.create(store, name="first", cidr="100.64.1.0/24").id
    announce(store, group, "a", 1, "10.1.1.1/8", "172.16.0.1/12", "192.168.0.1/16")
    with pytest.raises(Conflict, match="no private range"):
        networks.create(store, name="second")
    assert networks.create(store, name="second", cidr="100.64.2.0/24").cidr == IPv4Network("100.64.2.0/24")
    with pytest.raises(Conflict, match="overlaps"):
        networks.create(store, name="third", cidr="10.2.0.0/24")


def test_a_full_cladnet_serves_whom_it_has_and_takes_the_next_when_one_leaves(store) -> None:
    group = networks.create(store, name="small", cidr="10.77.0.0/29").id
    for number in range(8):
        announce(store, group, f"host-{number}", number)
    controller = Controller(store)
    controller.reconcile()
    served = set(store.children(keys.rules_of(group), NetworkingRule))
    assert len(served) == 6
    store.delete(keys.host_information(group, sorted(served)[0]))
    controller.reconcile()
    controller.reconcile()
    now = set(store.children(keys.rules_of(group), NetworkingRule))
    assert len(now) == 6
    assert now - served


def test_a_time_without_zone_in_etcd_does_not_break_the_list(store) -> None:
    networks.create(store, name="good", cidr="10.77.0.0/24")
    spec = CladnetSpecification(id="odd", name="odd", cidr=IPv4Network("10.78.0.0/24"), created_at=datetime.now(UTC))
    store.put(keys.configuration("odd"), spec)
    raw = store_bytes(store, keys.configuration("odd")).replace(b'Z"', b'"').replace(b'+00:00"', b'"')
    write(store, keys.configuration("odd").encode(), raw)
    assert [each.name for each in networks.list_all(store)] == ["good"]


def test_what_cannot_be_read_is_written_anew_by_whom_it_belongs_to(store) -> None:
    group = networks.create(store, name="good", cidr="10.77.0.0/24").id
    announce(store, group, "a", 1)
    announce(store, group, "b", 2)
    for key in (keys.address(group, "10.77.0.1"), keys.rule(group, "a"), keys.rule(group, "b")):
        write(store, key.encode(), b"rubbish")
    controller = Controller(store)
    for _ in range(3):
        controller.reconcile()
    assert set(store.children(keys.rules_of(group), NetworkingRule)) == {"a", "b"}


def test_a_host_heals_what_stands_in_its_place(store, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LARVA_STATE", str(tmp_path))
    group = networks.create(store, name="good", cidr="10.77.0.0/24").id
    member = Member(
        host="a", groups=(group,), roles=(Role.MEMBER,), server="https://127.0.0.1:9", etcd_endpoints=("x",)
    )
    record = EnrolledHost(
        host="a", groups=(group,), roles=(Role.MEMBER,), certificate_serial="0", enrolled_at=datetime.now(UTC)
    )
    store.put(keys.enrolled_host("a"), record)
    write(store, keys.host_information(group, "a").encode(), b"rubbish")
    assert publish(store, HostFacts(member, Identity.load()), group, listen_port=51820)
    assert set(store.children(keys.hosts_of(group), HostNetworkInformation)) == {"a"}


def test_a_host_with_rubbish_in_its_record_can_be_removed(store) -> None:
    record = EnrolledHost(
        host="a", groups=("../x", "g-1"), roles=(Role.MEMBER,), certificate_serial="0", enrolled_at=datetime.now(UTC)
    )
    store.put(keys.enrolled_host("a"), record)
    membership.remove_host(store, "a")
    assert membership.enrolled_hosts(store) == ()
