"""Read the condition of this host: its files, its interfaces, its peers, and what etcd and the console answer."""

import logging
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from cladnet import keys
from cladnet.agent import probe
from cladnet.agent.agent import GroupIndexes, assigned
from cladnet.agent.attachment import BASE_PORT
from cladnet.agent.peering import wanted
from cladnet.agent.rule_cache import NetworkView, RuleCache
from cladnet.commands import boot
from cladnet.datapath import choose, link
from cladnet.datapath.peers import by_host
from cladnet.datapath.protocol import Peer, PeerStatus
from cladnet.doctor.clock import skew_s
from cladnet.doctor.condition import CladnetCondition, HostCondition, PeerCondition
from cladnet.doctor.diagnosis import is_silent
from cladnet.doctor.measured import with_measurements
from cladnet.etcd.cluster import DEFAULT_PORT
from cladnet.etcd.store import Store, Versioned
from cladnet.fitness import ipv6_problem, key_holders, problem
from cladnet.member import Identity, Member, tls_files
from cladnet.model import (
    CladnetSpecification,
    Command,
    ControlCommand,
    DatapathKind,
    EnrolledHost,
    HostNetworkInformation,
    HostState,
    NetworkingRule,
    Role,
)
from cladnet.trust.acceptance import Accepted, accept
from cladnet.trust.revocations import Memory, revocations_file
from larva import process
from larva.errors import LarvaError

log = logging.getLogger(__name__)

ETCD_ANSWER_S = 4.0
FIREWALL = Path("/usr/lib/systemd/system") / boot.FIREWALL_UNIT
MOST_PROBED = 64
"""Peers that are asked whether they live: with one of a thousand hosts, many may be quiet and well."""


def inspect() -> HostCondition:
    """Return the condition of this host; needs root.

    Raises:
        NotFound: it is not enrolled.
    """
    member = Member.load()
    etcd = _ask_endpoints(member)
    ahead, console_problem = _clock(member)
    with Store(member.etcd_endpoints, tls=tls_files(), timeout=ETCD_ANSWER_S) as store:
        reachable = store if any(not why for why in etcd.values()) else None
        removed, indexes = _groups(reachable, member)
        cladnets = tuple(_cladnet(reachable, member, group, index) for group, index in indexes.items())
    return HostCondition(
        host=member.host,
        roles=member.roles,
        server=member.server,
        looked_at=datetime.now(UTC),
        etcd=etcd,
        removed=removed,
        clock_ahead_s=ahead,
        console_problem=console_problem,
        certificate_until=_until(tls_files().certificate),
        servers_until=_servers_until(member),
        units=_units(member),
        firewall_loaded=_firewall_loaded(),
        cladnets=cladnets,
    )


def _ask_endpoints(member: Member) -> dict[str, str]:
    """Each endpoint by itself: with all of them together, one that is down would hide behind the others."""

    def ask(url: str) -> str:
        parts = urlsplit(url)
        try:  # in the system's own plain words, which gRPC wraps in many others
            socket.create_connection((parts.hostname or "", parts.port or DEFAULT_PORT), timeout=ETCD_ANSWER_S).close()
        except OSError as error:
            return error.strerror or str(error)
        try:
            with Store([url], tls=tls_files(), timeout=ETCD_ANSWER_S) as store:
                store.exists(keys.enrolled_host(member.host))
        except LarvaError as error:
            return error.message
        return ""

    with ThreadPoolExecutor(max_workers=8) as pool:
        return dict(zip(member.etcd_endpoints, pool.map(ask, member.etcd_endpoints), strict=True))


def _clock(member: Member) -> tuple[float | None, str]:
    problem = ""
    for server in dict.fromkeys((member.server, *member.servers)):
        try:
            return skew_s(server), ""
        except LarvaError as error:
            problem = problem or error.message
    return None, problem


def _groups(store: Store | None, member: Member) -> tuple[bool, dict[str, int]]:
    """Whether the system has removed this host, and its CLADNets with their indexes."""
    indexes = dict(GroupIndexes(member.groups).indexes)
    try:
        record = store.get(keys.enrolled_host(member.host), EnrolledHost) if store is not None else None
    except LarvaError as error:
        log.debug("going on with the CLADNets known: %s", error.message)
        return False, indexes
    if store is None:
        return False, indexes
    if record is None:
        return True, {}
    return False, assigned(indexes, tuple(group for group in record.value.groups if keys.is_segment(group)))


def _until(certificate: Path) -> datetime | None:
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        log.debug("no certificate to read: %s", error)
        return None


def _servers_until(member: Member) -> dict[str, datetime]:
    if Role.CONTROL not in member.roles:
        return {}
    from cladnet.control.own_certificates import Use, paths  # with what it needs most hosts do without

    found = {use: _until(path) for use, path in paths().items() if use is not Use.CLIENT}
    return {use: until for use, until in found.items() if until is not None}


def _units(member: Member) -> dict[str, str]:
    if not Path("/run/systemd/system").is_dir():
        return {}
    return {
        unit: process.run(["systemctl", "show", "--property=ActiveState", "--value", unit], timeout=20).strip()
        for unit in boot.units_of(member.roles)
    }


def _firewall_loaded() -> bool | None:
    if not FIREWALL.exists() or shutil.which("nft") is None:
        return None
    return "chain input" in process.run(["nft", "list", "table", "inet", "larva"], timeout=20, ok_codes=(0, 1))


def _cladnet(store: Store | None, member: Member, group: str, index: int) -> CladnetCondition:
    view, informations, trouble, refused = _read(store, member.host, group)
    bare = CladnetCondition(
        group=group,
        name=view.specification.name if view is not None else group,
        interface=f"cbnet{index}",
        listen_port=BASE_PORT + index,
        from_cache=informations is None,
        cidr=None,
        address=None,
        should_be_up=False,
        problem=trouble,
        refused=refused,
        link=link.look(f"cbnet{index}"),
    )
    if view is None:
        return bare
    own = informations.get(member.host) if informations else None
    mine = next((rule for rule in view.rules if rule.host == member.host), None)
    private_key = Identity.load().wireguard_private
    desired = wanted(view, member.host, private_key=private_key, listen_port=bare.listen_port)
    condition = replace(
        bare,
        cidr=view.specification.cidr,
        encryption=view.specification.encryption,
        address=mine.address if mine is not None else None,
        cidr6=view.specification.cidr6,
        address6=mine.address6 if mine is not None else None,
        ipv6_problem=ipv6_problem(view.specification, own.value) if own is not None else "",
        should_be_up=desired is not None,
        asked_down=view.command == Command.DOWN,
        public_address=own.value.public_address if own is not None else None,
    )
    return condition if desired is None else with_measurements(_with_datapath(condition, view, desired.peers))


def _read(
    store: Store | None, host: str, group: str
) -> tuple[NetworkView | None, Mapping[str, Versioned[HostNetworkInformation]] | None, str, Mapping[str, str]]:
    """What etcd says of the CLADNet, or said last and None; why the host cannot be in it; which rules do not count."""
    try:
        specification = store.get(keys.configuration(group), CladnetSpecification) if store is not None else None
        if store is None or specification is None:
            return RuleCache(group).load(), None, "", {}
        before = store.revisions(keys.rules_of(group)).items()
        rules = store.children(keys.rules_of(group), NetworkingRule)
        written = dict(before & store.revisions(keys.rules_of(group)).items())  # without those that change right now
        informations = store.children(keys.hosts_of(group), HostNetworkInformation)
        command = store.get(keys.command(group, host), ControlCommand)
    except LarvaError as error:
        log.debug("%s: going on with the rules known: %s", group, error.message)
        return RuleCache(group).load(), None, "", {}
    own = informations.get(host)
    trouble = problem(host, specification.value, own.value, key_holders(informations, rules)) if own is not None else ""
    readable = [rule.value for name, rule in rules.items() if rule.value.host == name]
    accepted = _accepted(store, group, readable)
    unsigned = {keys.last_segment(key) for key in written} - {rule.host for rule in readable}
    view = NetworkView(
        specification=specification.value,
        rules=accepted.rules,
        command=command.value.command if command is not None else Command.UP,
    )
    return view, informations, trouble, {**dict.fromkeys(unsigned, "it is not the CA's word"), **accepted.refused}


def _accepted(store: Store, group: str, rules: Sequence[NetworkingRule]) -> Accepted:
    """What the agent makes of them."""
    if not store.is_signed:
        return Accepted(tuple(rules), {})
    cached, revoked = RuleCache(group).load(), Memory(revocations_file()).serials()
    return accept(rules, cached.rules if cached is not None else (), revoked=revoked, now=datetime.now(UTC))


def _with_datapath(condition: CladnetCondition, view: NetworkView, peers: Sequence[Peer]) -> CladnetCondition:
    kind = choose.CARRIED_BY.get(condition.link.kind) if condition.link is not None else None
    if kind is None:
        told = "" if condition.link is None else f"{condition.interface} is no tunnel of ours"
        return replace(condition, datapath_problem=told, peers=_peers(view, peers, ()))
    try:
        stats = _driver(kind, condition.interface)
        seen = _probed(condition.interface, _peers(view, peers, stats()))
        return replace(
            condition,
            datapath=kind,
            datapath_why=choose.explain(view.specification.datapath, choose.offered(), view.specification.encryption),
            peers=_answered(_peers(view, peers, stats()), seen),
        )
    except LarvaError as error:
        return replace(condition, datapath=kind, datapath_problem=error.message, peers=_peers(view, peers, ()))


def _driver(kind: DatapathKind, interface: str) -> Callable[[], tuple[PeerStatus, ...]]:
    return choose.DRIVERS[kind](interface).stats


def _peers(view: NetworkView, peers: Sequence[Peer], stats: Sequence[PeerStatus]) -> tuple[PeerCondition, ...]:
    """What should be and what is, put together, by name."""
    there = by_host(view.rules, stats)
    should = {peer.public_key: peer for peer in peers}
    found = []
    for rule in sorted(view.rules, key=lambda rule: rule.host):
        if rule.public_key not in should:
            continue
        status = there.get(rule.host)
        endpoint = status.endpoint if status is not None else None
        found.append(
            PeerCondition(
                host=rule.host,
                address=rule.address,
                address6=rule.address6,
                state=rule.state,
                endpoint=endpoint or should[rule.public_key].endpoint,
                last_handshake=status.last_handshake if status is not None else None,
                received_bytes=status.received_bytes if status is not None else 0,
                sent_bytes=status.sent_bytes if status is not None else 0,
                in_datapath=status is not None,
                has_handshakes=status is None or bool(status.public_key),
            )
        )
    return tuple(found)


def _probed(interface: str, peers: Sequence[PeerCondition]) -> dict[str, bool]:
    """Ask the quiet ones whether they live: a tunnel that nobody uses has no handshakes, and is well."""
    now = datetime.now(UTC)
    unsure = [peer for peer in peers if is_silent(peer, now) or not peer.has_handshakes]
    quiet = [peer for peer in unsure if peer.state is not HostState.DOWN][:MOST_PROBED]
    addresses: dict[str, IPv4Address] = {peer.host: peer.address for peer in quiet}
    return {cell.destination: cell.received > 0 for cell in probe.measure(addresses, interface=interface, trials=1)}


def _answered(peers: Sequence[PeerCondition], answers: Mapping[str, bool]) -> tuple[PeerCondition, ...]:
    return tuple(replace(peer, answers=answers.get(peer.host)) for peer in peers)
