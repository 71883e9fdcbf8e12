"""Somebody may write whatever it likes into etcd: agents go by what the CA signed, and the CA signs nothing else.

The attacker has etcd's root certificate and the keys of hosts it was once allowed to have; not the CA's key, and no
other host's.
"""

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from etcd3 import etcdrpc

import cbstorage.keys
from cbstorage import mirror_records
from cbstorage.mirror_model import VolumeMirror
from cbstorage.model import ClusterSpecification
from cladnet import keys, network_hosts, networks, seal
from cladnet.access.keeper import AccessKeeper
from cladnet.access.revocation import RevocationKeeper
from cladnet.access.root import root_tls
from cladnet.agent import datapath_keeper, network
from cladnet.agent.attachment import Attachment
from cladnet.control.controller import Controller
from cladnet.datapath.protocol import Peer, Tunnel
from cladnet.enrol import authority, enrolment, membership
from cladnet.etcd.store import Store, TlsFiles
from cladnet.member import Identity, Member
from cladnet.model import (
    CladnetSpecification,
    CloudFacts,
    CloudOverride,
    DatapathKind,
    EnrolledHost,
    HostNetworkInformation,
    NetworkingRule,
    RevocationList,
    Role,
)
from cladnet.trust.revocations import Memory
from cladnet.trust.trust import Trust, Untrusted, own_certificate
from larva import codec
from larva.errors import NotFound

PATIENCE_S = 60.0
EVIL = seal.new_pair()[1]


def until(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not so in time: {what}"
        time.sleep(0.02)


@contextlib.contextmanager
def running(*loops: Callable[[threading.Event], None]) -> Iterator[None]:
    stop = threading.Event()
    threads = [threading.Thread(target=loop, args=(stop,)) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=PATIENCE_S)


class Recorder:
    """A data path that carries nothing and remembers every peer it was ever told of."""

    kind = DatapathKind.WIREGUARD

    def __init__(self) -> None:
        self.interface = "cbnet0"
        self.peers: tuple[Peer, ...] = ()
        self.ever: set[Peer] = set()

    def up(self, tunnel: Tunnel) -> None: ...

    def sync(self, peers: Any) -> None:
        self.peers = tuple(peers)
        self.ever |= set(peers)

    def stats(self) -> tuple[Any, ...]:
        return ()

    def down(self) -> None:
        self.peers = ()

    def names(self) -> set[str]:
        return {peer.public_key for peer in self.peers}


@dataclass
class Host:
    """One host: its certificate, its connection, and what it says of itself."""

    name: str
    tls: TlsFiles
    store: Store
    public_key: str

    def information(self, **changed: Any) -> HostNetworkInformation:
        made = HostNetworkInformation(
            host=self.name, public_address=IPv4Address("203.0.113.7"), interfaces=(), listen_port=51820,
            public_key=self.public_key, seal_key="", certificate=own_certificate(self.tls),
        )  # fmt: skip
        return replace(made, **changed)


class Facts:
    """What the observed agent knows of its own host."""

    def __init__(self, host: Host) -> None:
        self.member = Member(host=host.name, groups=(), roles=(Role.MEMBER,), server="", etcd_endpoints=())
        self.identity = Identity(
            wireguard_private="", wireguard_public=host.public_key, seal_private="", seal_public=""
        )
        self.knows_its_place = True
        self._host = host

    def look(self, **_: object) -> HostNetworkInformation:
        return self._host.information()


class Site:
    """A control node with two CLADNets; the controllers run when they are told to."""

    def __init__(self, node: Any, directory: Path, stack: contextlib.ExitStack, root: Store, intruder: Store) -> None:
        self.node, self.directory, self.stack, self.root, self.intruder = node, directory, stack, root, intruder
        self.store: Store = stack.enter_context(node.store())
        self.revocations = RevocationKeeper(self.store, node.authority(), node.directory / "state/revoked.pem")
        self.red, self.blue = (networks.create(self.store, name=name).id for name in ("red", "blue"))

    def enrol(self, name: str, group: str) -> Host:
        secret = enrolment.create_token(self.store, group=group, roles=(Role.MEMBER,), ttl_s=600, uses=1)
        key, directory = authority.new_key(), self.directory / secrets.token_hex(4)
        given = enrolment.redeem(
            self.store, self.node.authority(), secret=secret, csr_pem=authority.signing_request(key, name), host=name,
            roles=(Role.MEMBER,), admit=AccessKeeper(self.root).admit,
        )  # fmt: skip
        directory.mkdir(parents=True)
        tls = TlsFiles(ca=directory / "ca.pem", certificate=directory / "client.pem", key=directory / "client.key")
        tls.ca.write_text(given.ca_pem)
        tls.certificate.write_text(given.certificate_pem)
        tls.key.write_bytes(authority.key_pem(key))
        endpoints = [f"https://127.0.0.1:{self.node.ports.client}"]
        return Host(name, tls, self.stack.enter_context(Store(endpoints, tls=tls)), seal.new_pair()[1])

    def join(self, name: str, group: str) -> Host:
        """Enrol a host and say what its agent would."""
        host = self.enrol(name, group)
        host.store.put(keys.host_information(group, name), host.information())
        return host

    @contextlib.contextmanager
    def controlled(self) -> Iterator[None]:
        """The controller and its loops run meanwhile."""
        controller = Controller(self.store, revoked=self.revocations.revoked)
        with running(controller.run, AccessKeeper(self.root).reconciler().run, self.revocations.reconciler().run):
            yield

    def rule(self, group: str, host: str) -> NetworkingRule | None:
        found = self.store.get(keys.rule(group, host), NetworkingRule)
        return found.value if found else None

    def raw(self, key: str) -> bytes:
        request = etcdrpc.RangeRequest(key=key.encode())
        answer, _ = self.intruder.cluster.call("read", lambda end, seconds: end.kv.Range(request, timeout=seconds))
        return bytes(answer.kvs[0].value)

    def write(self, key: str, raw: bytes) -> None:
        """The attacker writes."""
        request = etcdrpc.PutRequest(key=key.encode(), value=raw)
        self.intruder.cluster.call("write", lambda end, seconds: end.kv.Put(request, timeout=seconds))

    def edit(self, key: str, **changed: Any) -> None:
        """The attacker changes a value and leaves its signature."""
        self.write(key, json.dumps({**json.loads(self.raw(key)), **changed}, separators=(",", ":")).encode())


@pytest.fixture(scope="module")
def site(control_node_factory: Any, as_host: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    node = control_node_factory()
    node.found()
    with contextlib.ExitStack() as stack:
        with as_host(node.directory):
            tls = root_tls()
        endpoints = [f"https://127.0.0.1:{node.ports.client}"]
        root = stack.enter_context(Store(endpoints, tls=tls))
        intruder = stack.enter_context(Store(endpoints, tls=replace(tls, authority=None)))
        yield Site(node, tmp_path_factory.mktemp("hosts"), stack, root, intruder)


@dataclass
class Watched:
    """The agent that is watched, its data path, and the peers there are."""

    datapath: Recorder
    b: Host
    c: Host
    """In blue."""
    memory: Memory
    agent: Attachment
    _site: Site
    _marks: int = 0

    def settle(self) -> None:
        """Return when the agent has taken in everything that was written before: it has an honest change of now."""
        self._marks += 1
        key = keys.rule(self._site.red, "mark")
        mark = seal.new_pair()[1]
        self._site.store.put(
            key,
            NetworkingRule(
                host="mark", address=networks.find(self._site.store, "red").cidr.network_address + 99, public_key=mark,
                endpoints=(), cloud=CloudFacts(),
                certificate="f", valid_until=datetime.now(UTC) + timedelta(days=6, seconds=120 * self._marks),
            ),
        )  # fmt: skip
        until("the agent has the honest change", lambda: mark in self.datapath.names())

    def of_b(self) -> Peer | None:
        return next((peer for peer in self.datapath.peers if peer.public_key == self.b.public_key), None)


@pytest.fixture(scope="module")
def watched(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The agent of `a` in red, with b; the controller is gone again."""
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv("LARVA_STATE", str(tmp_path_factory.mktemp("state-a")))
        datapath = Recorder()
        patch.setattr(datapath_keeper, "take", lambda _kind, _interface, _encryption: datapath)
        patch.setattr(datapath_keeper, "clear", lambda _interface: None)
        a, b, c = site.enrol("a", site.red), site.join("b", site.red), site.join("c", site.blue)
        memory = Memory(tmp_path_factory.mktemp("memory") / "revocations.json")
        agent = Attachment(a.store, Facts(a), site.red, 0, revoked=memory.serials)  # type: ignore[arg-type]
        with site.controlled():
            agent.start()
            stack.callback(agent.stop)
            until("a has b as a peer", lambda: b.public_key in datapath.names())
            until("c has a rule in blue", lambda: site.rule(site.blue, "c"))
        yield Watched(datapath, b, c, memory, agent, site)


def test_what_the_agent_goes_by_is_signed_for_a_while(site: Site, watched: Watched) -> None:
    rule = site.rule(site.red, "b")
    assert rule is not None
    certificate = authority.read_certificate(watched.b.tls.certificate.read_text(), source="b")
    assert rule.certificate == f"{certificate.serial_number:x}"
    assert rule.valid_until is not None
    assert timedelta(days=6) < rule.valid_until - datetime.now(UTC) <= timedelta(days=7, seconds=1)
    assert json.loads(site.raw(keys.rule(site.red, "b")))["signature"]


def test_a_peer_cannot_be_inserted(site: Site, watched: Watched) -> None:
    honest = json.loads(site.raw(keys.rule(site.red, "b")))
    free = str(IPv4Address(honest["address"]) + 40)  # of the CLADNet's range: nothing but the signature is wrong
    invented = {**honest, "host": "evil", "public_key": EVIL, "address": free}
    own = Trust(watched.c.tls)  # the attacker's own host signs what it may
    signed_by_c = own.encode(keys.host_information(site.blue, "c"), watched.c.information())
    for raw in (
        json.dumps({**invented, "signature": ""}, separators=(",", ":")).encode(),
        json.dumps(invented, separators=(",", ":")).encode(),
        json.dumps({**invented, "signature": json.loads(signed_by_c)["signature"]}, separators=(",", ":")).encode(),
        signed_by_c,
        b"{}",
    ):
        site.write(keys.rule(site.red, "evil"), raw)
        watched.settle()
    assert watched.datapath.names() >= {watched.b.public_key}
    assert EVIL not in {peer.public_key for peer in watched.datapath.ever}
    assert watched.c.public_key not in {peer.public_key for peer in watched.datapath.ever}


@pytest.mark.parametrize(
    "changed",
    [
        {"public_key": EVIL},
        {"address": "a free one"},
        {"endpoints": [{"kind": "public", "address": "203.0.113.66", "port": 6666, "network": None}]},
        {"state": "down"},
        {"valid_until": "2099-01-01T00:00:00Z"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_a_peer_cannot_be_repointed(site: Site, watched: Watched, changed: dict[str, Any]) -> None:
    key, before = keys.rule(site.red, "b"), watched.of_b()
    honest = site.raw(key)
    assert before is not None
    if "address" in changed:  # of the CLADNet's range
        changed = {"address": str(IPv4Address(json.loads(honest)["address"]) + 40)}
    site.edit(key, **changed)
    watched.settle()
    site.write(key, honest)
    watched.settle()
    assert {peer for peer in watched.datapath.ever if peer.public_key == watched.b.public_key} == {before}
    assert not [peer for peer in watched.datapath.ever if peer.public_key == EVIL or "203.0.113.66" in str(peer)]
    assert watched.of_b() == before


def test_a_rule_of_another_network_or_host_does_not_count(site: Site, watched: Watched) -> None:
    stolen = site.raw(keys.rule(site.blue, "c"))
    site.write(keys.rule(site.red, "c"), stolen)
    site.write(keys.rule(site.red, "somebody"), site.raw(keys.rule(site.red, "b")))
    watched.settle()
    assert watched.c.public_key not in {peer.public_key for peer in watched.datapath.ever}
    assert len([peer for peer in watched.datapath.peers if peer.public_key == watched.b.public_key]) == 1


def test_the_network_itself_cannot_be_widened_or_ended(site: Site, watched: Watched) -> None:
    key = keys.configuration(site.red)
    honest = site.raw(key)
    site.edit(key, cidr="0.0.0.0/0")
    assert _refuses(lambda: site.store.get(key, CladnetSpecification))
    site.edit(key, cidr=json.loads(honest)["cidr"], state="deleting")
    with site.controlled():
        other = site.join("elsewhere", site.blue)
        until("the controller has looked", lambda: site.rule(site.blue, other.name))
    assert site.raw(keys.rule(site.red, "b")), "nobody emptied it"
    assert watched.of_b() is not None
    site.write(key, honest)
    watched.settle()
    assert watched.of_b() is not None


def test_an_earlier_specification_of_the_network_does_not_count(site: Site, watched: Watched) -> None:
    key = keys.configuration(site.red)
    earlier = site.raw(key)
    networks.update(site.store, "red", description="of now")
    watched.settle()

    def known() -> str:
        view = watched.agent._network.view
        assert view is not None
        return view.specification.description

    assert known() == "of now"
    site.write(key, earlier)
    watched.settle()
    assert known() == "of now", "nor would encryption that was turned on be turned off again"
    networks.update(site.store, "red", description="of later")
    watched.settle()
    assert known() == "of later"


def test_where_a_host_is_cannot_be_told_for_it(site: Site, watched: Watched) -> None:
    """An override of cloud facts leads to a private way: written without the CA's key it changes nothing."""
    key, there = keys.cloud_override(site.red, "b"), CloudFacts(provider="aws", network_id="vpc-1", subnet_id="s-1")

    def told() -> CloudFacts:
        rule = site.store.get(keys.rule(site.red, "b"), NetworkingRule)
        assert rule is not None
        return rule.value.cloud

    before = told()
    with site.controlled():
        site.write(key, codec.encode(CloudOverride(cloud=there)))
        after = site.join("after-the-forged-override", site.red)
        until("the controller has looked", lambda: site.rule(site.red, after.name))
        assert told() == before
        network_hosts.override_cloud(site.store, site.red, "b", there)
        until("ours counts", lambda: told() == there)
        network_hosts.override_cloud(site.store, site.red, "b", CloudFacts())
        until("it is taken back", lambda: told() == before)


def _refuses(action: Callable[[], object]) -> bool:
    try:
        action()
    except Untrusted:
        return True
    return False


def test_the_controller_gives_its_word_to_nobody_else(site: Site, watched: Watched) -> None:
    """Each is one way to get a rule without being enrolled there; `late` shows that the controller has seen them."""
    forger, insider = Trust(watched.c.tls), watched.c
    record, mine = keys.enrolled_host("c"), keys.host_information(site.red, "c")
    honest = site.raw(record)
    own_key = seal.new_pair()[1]
    with site.controlled():
        # c, of blue, is put into red's list, and says in its own name that it is there
        site.edit(record, groups=[site.blue, site.red])
        site.write(mine, forger.encode(mine, insider.information(public_key=EVIL)))
        # somebody who is no host at all
        site.write(keys.enrolled_host("ghost"), honest.replace(b'"c"', b'"ghost"'))
        ghost = keys.host_information(site.red, "ghost")
        site.write(ghost, codec.encode(insider.information(host="ghost", public_key=EVIL)))
        # b's information, with the attacker's keys: unsigned, signed by c, signed by b for another network
        of_b = keys.host_information(site.red, "b")
        forged = watched.b.information(public_key=EVIL, seal_key=EVIL)
        before = site.raw(of_b)
        for raw in (
            codec.encode(forged),
            forger.encode(of_b, replace(forged, certificate="")),
            Trust(watched.b.tls).encode(keys.host_information(site.blue, "b"), watched.b.information()),
        ):
            site.write(of_b, raw)
            late = site.join(f"late-{secrets.token_hex(3)}", site.red)
            until("an honest host has its rule", lambda late=late: site.rule(site.red, late.name))
            assert _refuses(lambda: site.store.get(of_b, HostNetworkInformation))
        site.write(of_b, before)
        site.write(record, honest)
        late = site.join("latest", site.red)
        until("an honest host has its rule", lambda: site.rule(site.red, "latest"))
        for nobody in ("c", "ghost"):
            assert site.rule(site.red, nobody) is None
        rule = site.rule(site.red, "b")
        assert rule is not None
        assert rule.public_key == watched.b.public_key
    watched.settle()
    assert not {EVIL, own_key} & {peer.public_key for peer in watched.datapath.ever}


def test_nobody_can_be_named_a_monitor(site: Site) -> None:
    """Whoever is gets Ceph's administrator key, and the rights of a monitor's host in etcd."""
    key, created = cbstorage.keys.cluster(site.red), datetime.now(UTC)
    specification = ClusterSpecification(
        group=site.red, fsid="00000000-0000-4000-8000-000000000000", cidr=IPv4Network("10.77.0.0/24"),
        mon_hosts=("a",), mgr_hosts=("a",), mds_hosts=("a",), created_at=created,
    )  # fmt: skip
    site.store.put(key, specification)
    assert site.store.children(cbstorage.keys.CLUSTER, ClusterSpecification)[site.red].value.mon_hosts == ("a",)
    site.edit(key, mon_hosts=["c"])
    assert _refuses(lambda: site.store.get(key, ClusterSpecification))
    assert site.store.children(cbstorage.keys.CLUSTER, ClusterSpecification) == {}, "nobody gets rights by it"
    site.store.delete(key)


def test_no_volume_can_be_made_to_follow_another(site: Site) -> None:
    """Whoever may mount the one would read the other."""
    mirror = VolumeMirror(
        group=site.red, volume_id="11112222", source_id="33334444", every_s=60, keep=1, created_at=datetime.now(UTC)
    )
    key = cbstorage.keys.mirror(site.red, mirror.volume_id)
    site.store.put(key, mirror)
    assert mirror_records.mirrors_of(site.store, site.red)["11112222"].value == mirror
    site.edit(key, source_id="55556666")
    found = mirror_records.mirrors_of(site.store, site.red)
    assert found["11112222"].value is None
    assert mirror_records.narrowed(site.red, {}, found)["11112222"].shares == (), "it is for nobody"
    site.store.delete(key)


def test_neither_tokens_nor_the_way_to_the_system_nor_accounts_can_be_written(site: Site) -> None:
    from web import accounts
    from web.roles import AccountRole

    secret = enrolment.create_token(site.store, group=site.red, roles=(Role.MEMBER,), ttl_s=600, uses=1)
    key = next(key for key in site.store.revisions(keys.TOKEN))
    site.edit(key, uses_left=9999, roles=["storage"])
    with pytest.raises(Untrusted):
        enrolment.redeem(
            site.store, site.node.authority(), secret=secret, host="bought",
            csr_pem=authority.signing_request(authority.new_key(), "bought"), roles=(Role.STORAGE,),
        )  # fmt: skip
    assert site.store.get(keys.enrolled_host("bought"), EnrolledHost) is None
    honest = site.raw(keys.CONTROL_PLANE)
    site.edit(keys.CONTROL_PLANE, server="https://203.0.113.66:8443", ca="sha256:evil")
    assert _refuses(lambda: enrolment.control_plane(site.store))
    site.write(keys.CONTROL_PLANE, honest)
    accounts.create(site.store, "admin", "a long password", AccountRole.ADMIN)
    site.edit(accounts.user_key("admin"), password_hash="the attacker's")
    assert _refuses(lambda: accounts.find(site.store, "admin"))


def test_a_removed_host_does_not_come_back_by_what_was_once_true(site: Site, watched: Watched) -> None:
    gone = site.join("gone", site.red)
    saved = {}
    with site.controlled():
        until("gone is a peer", lambda: gone.public_key in watched.datapath.names())
        for key in (keys.rule(site.red, "gone"), keys.enrolled_host("gone"), keys.host_information(site.red, "gone")):
            saved[key] = site.raw(key)
        membership.remove_host(site.store, "gone")
        until("gone is no peer", lambda: gone.public_key not in watched.datapath.names())
        until("it is published", lambda: site.store.get(keys.REVOCATIONS, RevocationList) is not None)
        certificate = authority.read_certificate(gone.tls.certificate.read_text(), source="gone")
        serial = f"{certificate.serial_number:x}"
        until("with its certificate", lambda: serial in site.store.get(keys.REVOCATIONS, RevocationList).value.serials)
    published = site.store.get(keys.REVOCATIONS, RevocationList)
    assert published is not None
    watched.memory.learn(published.value)  # as the agent does
    watched.datapath.ever.clear()
    # With no controller: the agent alone.
    for key, raw in saved.items():
        site.write(key, raw)
    watched.settle()
    # With the controller, whose list in etcd was taken away and written over with an older one.
    site.intruder.delete_prefix(keys.REVOKED)
    site.write(keys.REVOCATIONS, Trust(site.node.tls_files()).encode(
        keys.REVOCATIONS, RevocationList(number=published.value.number - 1, serials={})
    ))  # fmt: skip
    with site.controlled():
        until("nothing was forgotten", lambda: site.store.get(keys.REVOCATIONS, RevocationList) == _newer(
            site, published.value))  # fmt: skip
        until("the rule is gone again", lambda: site.rule(site.red, "gone") is None)
    watched.settle()
    assert gone.public_key not in {peer.public_key for peer in watched.datapath.ever}
    membership.remove_host(site.store, "gone")


def _newer(site: Site, published: RevocationList) -> Any:
    found = site.store.get(keys.REVOCATIONS, RevocationList)
    assert found is not None
    return found if found.value.serials.keys() >= published.serials.keys() else None


def test_an_older_rule_of_a_host_that_is_still_there_does_not_count(site: Site, watched: Watched) -> None:
    """Its key of before, say, whose private half somebody found."""
    key, moving = keys.rule(site.red, "b"), watched.b
    rule = site.rule(site.red, "b")
    assert rule is not None
    assert rule.valid_until is not None
    old = Trust(site.node.tls_files()).encode(
        key, replace(rule, public_key=EVIL, valid_until=rule.valid_until - timedelta(days=1))
    )
    site.write(key, old)
    watched.settle()
    assert EVIL not in {peer.public_key for peer in watched.datapath.ever}
    assert watched.of_b() is not None
    assert moving.public_key in watched.datapath.names()
    site.store.put(key, replace(rule, valid_until=rule.valid_until + timedelta(seconds=1)))


def test_a_wall_clock_that_jumps_costs_no_peer_and_what_was_refused_counts_once_it_is_right(
    site: Site, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def set_clock(to: datetime) -> None:
        monkeypatch.setattr(network, "datetime", SimpleNamespace(now=lambda _zone: to))

    def look_at_all() -> None:
        """As it does by itself twice a minute of the clock that only grows; twice, since one look may be under way."""
        for _ in range(2):
            before = watched.agent._network.read_at
            watched.agent.poke()
            until("the agent looked", lambda before=before: watched.agent._network.read_at != before)

    watched.settle()
    before, late, later = watched.datapath.names(), *(seal.new_pair()[1] for _ in range(2))
    rule, cidr = site.rule(site.red, "b"), networks.find(site.store, "red").cidr
    assert rule is not None
    now = datetime.now(UTC)
    set_clock(now + timedelta(days=400))
    look_at_all()
    assert watched.datapath.names() == before, "what is known goes on, whatever year it is"
    late_rule = replace(rule, host="late", address=cidr.network_address + 97, public_key=late)
    site.store.put(keys.rule(site.red, "late"), late_rule)
    later_rule = replace(late_rule, host="later", address=cidr.network_address + 98, public_key=later)
    site.store.put(keys.rule(site.red, "later"), replace(later_rule, valid_until=now + timedelta(days=401)))
    until("the agent has heard of both", lambda: later in watched.datapath.names())
    assert watched.datapath.names() == before | {later}, "with such a clock nobody can tell how old the first is"
    set_clock(datetime(1970, 1, 2, tzinfo=UTC))
    look_at_all()
    assert watched.datapath.names() == before | {late, later}
    monkeypatch.undo()
    look_at_all()
    assert watched.datapath.names() == before | {late, later}
    for host in ("late", "later"):
        site.store.delete(keys.rule(site.red, host))


def test_a_host_that_nobody_knows_is_not_there_to_remove(site: Site) -> None:
    with pytest.raises(NotFound):
        membership.remove_host(site.store, "nobody")
