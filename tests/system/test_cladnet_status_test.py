"""A host's part in status tests, against a real etcd; only the measuring itself is played."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network

import pytest

from cladnet import keys, networks, status_tests
from cladnet.agent import probe
from cladnet.agent.rule_cache import NetworkView
from cladnet.agent.status_test import StatusTest
from cladnet.etcd.store import Store
from cladnet.model import CladnetSpecification, CloudFacts, DatapathKind, HostStatus, NetworkingRule, PairLatency

PATIENCE_S = 60.0


@pytest.fixture
def store(etcd) -> Iterator[Store]:
    with etcd.store() as opened:
        yield opened


def until(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not so in time: {what}"
        time.sleep(0.02)


class Measuring:
    """Stands for the network: a test of 100 trials takes for ever, any other no time."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.given_up = 0

    def __call__(
        self, peers: Mapping[str, IPv4Address], *, interface: str, trials: int, unwanted: Callable[[], bool]
    ) -> tuple[PairLatency, ...]:
        if trials == 100:
            self.begun.set()
            until("the endless measurement is unwanted", unwanted)
            self.given_up += 1
            raise probe.GivenUp
        return tuple(probe.summarise(name, address, trials, [1.0]) for name, address in peers.items())


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Measuring:
    played = Measuring()
    monkeypatch.setattr(probe, "measure", played)
    return played


@pytest.fixture
def host(store: Store, measuring: Measuring) -> Iterator[CladnetSpecification]:
    """A host `a` with a peer `b` that answers the tests of a CLADNet, given here."""
    specification = networks.create(store, name="blue", cidr="10.77.0.0/24")
    rules = tuple(
        NetworkingRule(
            host=name, address=IPv4Network("10.77.0.0/24")[number], public_key=name, endpoints=(), cloud=CloudFacts()
        )
        for number, name in enumerate("ab", start=1)
    )
    view = NetworkView(specification=specification, rules=rules)
    test = StatusTest(store, specification.id, "a", "cbnet0", lambda: (view, DatapathKind.WIREGUARD))
    stop = threading.Event()
    thread = threading.Thread(target=test.run, args=(stop,))
    thread.start()
    yield specification
    stop.set()
    thread.join(timeout=PATIENCE_S)
    assert not thread.is_alive(), "an agent that is told to end does not wait for a measurement"


def row(store: Store, group: str) -> HostStatus | None:
    found = store.get(keys.status(group, "a"), HostStatus)
    return found.value if found is not None else None


def test_a_second_test_takes_the_place_of_the_first(store: Store, measuring: Measuring, host) -> None:
    status_tests.request(store, "blue", trials=100)
    assert measuring.begun.wait(PATIENCE_S)
    assert row(store, host.id) is None
    second = status_tests.request(store, "blue", trials=2)
    until("the second is answered", lambda: row(store, host.id) is not None)
    answered = row(store, host.id)
    assert answered is not None
    assert (answered.test_id, [cell.destination for cell in answered.latencies]) == (second.id, ["b"])
    assert measuring.given_up == 1


def test_a_test_that_is_taken_back_is_given_up_and_leaves_no_row(store: Store, measuring: Measuring, host) -> None:
    status_tests.request(store, "blue", trials=100)
    assert measuring.begun.wait(PATIENCE_S)
    store.delete(keys.test_specification(host.id))
    until("it is given up", lambda: measuring.given_up)
    assert row(store, host.id) is None


def test_an_agent_that_ends_gives_its_measurement_up(store: Store, measuring: Measuring, host) -> None:
    status_tests.request(store, "blue", trials=100)
    assert measuring.begun.wait(PATIENCE_S)


def test_rows_arrive_though_one_cannot_be_read(store: Store) -> None:
    specification = networks.create(store, name="red")
    for number, name in enumerate("abc", start=1):
        address = specification.cidr[number]
        store.put(keys.rule(specification.id, name), NetworkingRule(
            host=name, address=address, public_key=name, endpoints=(), cloud=CloudFacts(),
        ))  # fmt: skip
        store.put(keys.presence(specification.id, name), name)
    test = status_tests.request(store, "red")

    def answer(name: str) -> None:
        store.put(keys.status(specification.id, name), HostStatus(
            host=name, test_id=test.id, measured_at=datetime.now(UTC), interface="cbnet0", datapath="x", latencies=(),
        ))  # fmt: skip

    rows = status_tests.arriving(store, "red", test, wait_s=PATIENCE_S)
    answer("b")
    assert next(rows).host == "b"
    store.put(keys.status(specification.id, "c"), "rubbish")
    store.delete(keys.presence(specification.id, "c"))  # whoever goes is not waited for
    answer("a")
    assert [each.host for each in rows] == ["a"]
