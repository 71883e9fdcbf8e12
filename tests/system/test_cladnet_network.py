"""What an agent does with one CLADNet's rules, from a real etcd to a data path that only remembers."""

import base64
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network

import pytest

from cladnet import keys
from cladnet.agent.datapath_keeper import WHOLE_S
from cladnet.agent.network import RETRY_S, SAVE_S_PER_RULE, Network
from cladnet.agent.peering import wanted
from cladnet.agent.rule_cache import NetworkView, RuleCache
from cladnet.datapath.protocol import Peer, PeerStatus, Tunnel
from cladnet.etcd.store import Store
from cladnet.etcd.watch import Relist
from cladnet.model import (
    CladnetSpecification,
    CloudFacts,
    Command,
    ControlCommand,
    DatapathKind,
    Endpoint,
    EndpointKind,
    NetworkingRule,
)
from larva.errors import HostUnfit

HOSTS = ("a", "b", "c", "d")
KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(1, 5)]


class Driver:
    """A data path that remembers what it has and what it was asked."""

    kind = DatapathKind.WIREGUARD
    interface = "none"

    def __init__(self) -> None:
        self.tunnel: Tunnel | None = None
        self.peers: dict[str, Peer] = {}
        self.asked: list[str] = []
        self.broken = False

    def up(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel

    def sync(self, peers: Sequence[Peer]) -> None:
        self.asked.append("all")
        self.peers = {peer.public_key: peer for peer in peers}

    def change(self, changed: Sequence[Peer], removed: Sequence[str]) -> None:
        self.asked.append(f"{len(changed)} changed, {len(removed)} removed")
        for key in removed:
            del self.peers[key]
        if self.broken:
            raise HostUnfit("not now")
        self.peers.update((peer.public_key, peer) for peer in changed)

    def stats(self) -> tuple[PeerStatus, ...]:
        return ()

    def down(self) -> None:
        self.tunnel, self.peers = None, {}


class Host:
    """Host a of the CLADNet g, looking when it is told to, by a clock of its own."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.driver = Driver()
        self.now = 1000.0
        self.cache = RuleCache("g")
        self.saved: list[NetworkView] = []
        keep = self.cache.save
        self.cache.save = lambda view: (self.saved.append(view), keep(view))[1]  # type: ignore[method-assign]
        self.network = Network(
            store, "g", "a", interface="cbnet-none", private_key="p", listen_port=5, cache=self.cache,
            choose_datapath=lambda *_: self.driver, clock=lambda: self.now,
        )  # fmt: skip


def write_rule(store: Store, host: str, port: int) -> None:
    number = HOSTS.index(host)
    endpoint = Endpoint(kind=EndpointKind.PUBLIC, address=IPv4Address("203.0.113.1"), port=port)
    rule = NetworkingRule(
        host=host, address=IPv4Address("10.7.0.1") + number, public_key=KEYS[number], endpoints=(endpoint,),
        cloud=CloudFacts(),
    )  # fmt: skip
    store.put(keys.rule("g", host), rule)


def expected(store: Store) -> dict[str, Peer]:
    """What the pure function says of all rules, read now."""
    specification = store.get(keys.configuration("g"), CladnetSpecification)
    command = store.get(keys.command("g", "a"), ControlCommand)
    assert specification is not None
    view = NetworkView(
        specification=specification.value,
        rules=tuple(item.value for item in store.children(keys.rules_of("g"), NetworkingRule).values()),
        command=command.value.command if command else Command.UP,
    )
    found = wanted(view, "a", private_key="p", listen_port=5)
    return {peer.public_key: peer for peer in (found.peers if found else ())}


@pytest.fixture
def store(etcd, tmp_path, monkeypatch):
    monkeypatch.setenv("LARVA_STATE", str(tmp_path))
    with etcd.store() as opened:
        specification = CladnetSpecification(
            id="g", name="g", cidr=IPv4Network("10.7.0.0/24"), created_at=datetime.now(UTC)
        )
        opened.put(keys.configuration("g"), specification)
        for host in HOSTS[:3]:
            write_rule(opened, host, 1)
        yield opened


def test_one_changed_rule_changes_one_peer(store) -> None:
    host = Host(store)
    host.network.look()
    assert host.driver.asked == ["all"]
    write_rule(store, "b", 2)
    host.network.look()
    store.delete(keys.rule("g", "c"))
    write_rule(store, "d", 1)
    host.network.look()
    write_rule(store, "b", 2)  # the same again
    host.network.look()
    assert host.driver.asked == ["all", "1 changed, 0 removed", "1 changed, 1 removed"]
    assert host.driver.peers == expected(store)


def test_now_and_then_and_when_asked_all_peers_are_compared(store) -> None:
    host = Host(store)
    host.network.look()
    host.now += WHOLE_S - 1
    host.network.look()
    assert host.driver.asked == ["all"]
    host.now += 1
    host.network.look()
    host.network.look_at_all()
    host.network.look()
    host.network.look()
    assert host.driver.asked == ["all"] * 3


def test_after_a_change_that_failed_all_peers_are_compared(store) -> None:
    host = Host(store)
    host.network.look()
    host.driver.broken = True
    store.delete(keys.rule("g", "b"))
    write_rule(store, "c", 2)
    with pytest.raises(HostUnfit):
        host.network.look()
    host.network.look()
    assert host.driver.asked == ["all", "1 changed, 1 removed", "all"]
    assert host.driver.peers == expected(store)


def test_another_tunnel_is_a_matter_of_all_peers(store) -> None:
    host = Host(store)
    host.network.look()
    rule = store.get(keys.rule("g", "a"), NetworkingRule)
    assert rule is not None
    store.put(rule.key, NetworkingRule(
        host="a", address=IPv4Address("10.7.0.9"), public_key=rule.value.public_key, endpoints=(), cloud=CloudFacts()
    ))  # fmt: skip
    host.network.look()
    assert host.driver.asked == ["all", "all"]
    assert host.driver.tunnel is not None
    assert str(host.driver.tunnel.addresses[0]) == "10.7.0.9/24"


def test_what_cannot_be_read_leaves_what_is_known(store) -> None:
    host = Host(store)
    host.network.look()
    store.put(keys.configuration("g"), "rubbish")
    store.put(keys.command("g", "a"), 7)
    store.put(keys.rule("g", "b"), "rubbish")
    host.network.look()
    assert host.network.is_active
    assert set(host.driver.peers) == {KEYS[2]}
    store.delete(keys.configuration("g"))
    host.network.look()
    assert (host.network.is_active, host.driver.tunnel, host.network.view) == (False, None, None)


def test_of_what_the_cache_says_only_what_etcd_says_too_stays(store) -> None:
    Host(store).network.look()
    store.delete(keys.rule("g", "b"))
    again = Host(store)
    again.network.come_up()
    assert set(again.driver.peers) == {KEYS[1], KEYS[2]}
    again.network.look()
    assert set(again.driver.peers) == {KEYS[2]}


def test_the_cache_is_written_now_and_then_and_at_the_end(store) -> None:
    host, pause = Host(store), 3 * SAVE_S_PER_RULE
    assert host.network.look() is None
    assert len(host.saved) == 1
    for port in range(2, 6):
        host.now += pause / 8
        write_rule(store, "b", port)
        again = host.network.look()
        assert again is not None
        assert 0 < again <= pause
    assert len(host.saved) == 1
    host.now += again
    assert host.network.look() is None
    assert len(host.saved) == 2
    assert host.cache.load() == host.network.view
    write_rule(store, "b", 9)
    host.network.look()
    host.network.flush()
    host.network.flush()
    assert len(host.saved) == 3
    assert host.cache.load() == host.network.view
    host.network.leave()
    assert host.cache.load() is None
    host.network.look()
    assert (host.cache.load(), host.driver.tunnel) == (None, None)


def test_while_etcd_is_away_no_look_believes_that_it_is_there(etcd, store) -> None:
    """A watch that stands is silent about it, so the looks between those at the whole have nothing to go by."""
    host = Host(store)
    for prefix in host.network.prefixes:
        host.network.note(Relist(0, prefix))
    host.network.look()
    assert host.network.read_at == host.now
    etcd.kill()
    last = host.now
    host.now += WHOLE_S
    for _ in range(3):
        assert host.network.look() == pytest.approx(RETRY_S)
        assert host.network.read_at == last
        host.now += RETRY_S
    etcd.start()
    host.network.look()
    assert host.network.read_at == host.now


def test_a_look_reads_nothing_of_what_a_watch_tells(etcd, store) -> None:
    """Not even whether etcd is there, while its watch has something to say."""
    host = Host(store)
    for prefix in host.network.prefixes:
        host.network.note(Relist(1, prefix))
    host.network.look()
    etcd.kill()
    assert host.network.look() is None
    host.now += WHOLE_S
    assert host.network.look() == 5.0  # it is asked for now and then
    assert host.driver.asked == ["all", "all"]


@pytest.mark.parametrize("seed", range(2))
def test_after_any_changes_the_data_path_is_what_the_pure_function_says(store, seed: int) -> None:
    chance, host = random.Random(seed), Host(store)
    for _ in range(60):
        name = chance.choice(HOSTS)
        deed = chance.randrange(8)
        if deed == 0:
            store.delete(keys.rule("g", name))
        elif deed == 1:
            store.put(keys.command("g", "a"), ControlCommand(command=chance.choice(list(Command))))
        elif deed == 2:
            store.put(keys.rule("g", name), "rubbish")
        else:
            write_rule(store, name, chance.randrange(1, 4))
        host.now += chance.choice([0, 0.1, WHOLE_S])
        if chance.random() < 0.7:
            host.network.look()
            assert host.driver.peers == expected(store)
