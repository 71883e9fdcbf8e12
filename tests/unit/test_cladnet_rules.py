"""The rules: candidates of a host and the endpoint a peer takes, as a table; the peers that follow from them."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

import pytest

from cladnet import rules
from cladnet.agent import peering
from cladnet.agent.rule_cache import NetworkView
from cladnet.datapath.peers import differences
from cladnet.datapath.protocol import Peer, PeerStatus
from cladnet.model import (
    CladnetSpecification,
    CladnetState,
    CloudFacts,
    Command,
    EndpointKind,
    HostNetworkInformation,
    HostState,
    NetworkingRule,
    NetworkInterface,
    RuleType,
)

KEY = "A" * 42 + "A="
OVERLAY = IPv4Network("10.77.0.0/24")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def information(host: str, public: str | None, private: str, cloud: CloudFacts | None = None) -> HostNetworkInformation:
    return HostNetworkInformation(
        host=host,
        public_address=IPv4Address(public) if public else None,
        interfaces=(NetworkInterface(name="eth0", mtu=1500, addresses=(IPv4Interface(private),)),),
        listen_port=51820,
        public_key=KEY,
        seal_key=KEY,
        cloud=cloud or CloudFacts(),
    )


def rule(host: str, public: str | None, private: str, cloud: CloudFacts | None = None) -> NetworkingRule:
    told = information(host, public, private, cloud)
    return NetworkingRule(
        host=host,
        address=IPv4Address(f"10.77.0.{int.from_bytes(host.encode()) % 200 + 1}"),
        public_key=base64.b64encode(host.encode() * 32).decode(),
        endpoints=rules.candidates(told, OVERLAY),
        cloud=told.cloud,
    )


def facts(provider: str, network: str = "", subnet: str = "", zone: str = "") -> CloudFacts:
    return CloudFacts(provider=provider, network_id=network, subnet_id=subnet, zone=zone)


def test_candidates_are_the_public_address_and_those_of_the_interfaces() -> None:
    public, private = rules.candidates(information("a", "203.0.113.1", "10.0.0.4/24"), OVERLAY)
    assert (public.kind, public.address, public.port) == (EndpointKind.PUBLIC, IPv4Address("203.0.113.1"), 51820)
    assert (private.kind, private.network) == (EndpointKind.PRIVATE, IPv4Network("10.0.0.0/24"))


def test_a_public_address_on_the_interface_itself_is_one_candidate() -> None:
    (only,) = rules.candidates(information("a", "203.0.113.1", "203.0.113.1/24"), OVERLAY)
    assert only.kind == EndpointKind.PUBLIC


@pytest.mark.parametrize(
    ("mine", "theirs", "free"),
    [
        (facts("aws", "vpc-1", "subnet-1"), facts("aws", "vpc-1", "subnet-1"), True),
        (facts("aws", "vpc-1", "subnet-1"), facts("aws", "vpc-1", "subnet-2"), False),
        (facts("aws", "vpc-1"), facts("aws", "vpc-1"), False),
        (facts("aws", "vpc-1", "subnet-1"), facts("aws", "vpc-2", "subnet-1"), False),
        (facts("azure", "vnet", "s1", "1"), facts("azure", "vnet", "s2", "1"), True),
        (facts("azure", "vnet", "s1", "1"), facts("azure", "vnet", "s1", "2"), False),
        (facts("gcp", "net", zone="a"), facts("gcp", "net", zone="a"), True),
        (facts("gcp", "net", zone="a"), facts("gcp", "net", zone="b"), False),
        (facts("gcp", "net"), facts("gcp", "net"), False),
        (facts("alibaba", "vpc", "s1", "a"), facts("alibaba", "vpc", "s2", "b"), True),
        (facts("openstack", "net"), facts("openstack", "net"), True),
        (facts("aws", "net", "s"), facts("gcp", "net", "s"), False),
        (facts("aws"), facts("aws"), False),
        (facts(""), facts(""), False),
        (facts("", "net"), facts("", "net"), False),
    ],
)
def test_private_traffic_is_free_as_the_provider_bills(mine: CloudFacts, theirs: CloudFacts, free: bool) -> None:
    assert rules.private_is_free(mine, theirs) is free
    assert rules.private_is_free(theirs, mine) is free
    me, peer = rule("a", "203.0.113.1", "10.0.0.4/24", mine), rule("b", "203.0.113.2", "10.0.0.5/24", theirs)
    chosen = rules.choose_endpoint(me, peer, RuleType.COST_PRIORITIZED)
    assert chosen is not None
    assert chosen.address == IPv4Address("10.0.0.5" if free else "203.0.113.2")
    always = rules.choose_endpoint(me, peer, RuleType.BASIC)
    assert always is not None
    assert always.address == IPv4Address("203.0.113.2")


def test_of_several_private_addresses_the_one_in_a_subnet_of_mine_is_taken() -> None:
    cloud = facts("openstack", "net")
    me, peer = rule("a", None, "10.0.1.4/24", cloud), rule("b", "203.0.113.2", "10.0.0.5/24", cloud)
    second = replace(peer.endpoints[1], address=IPv4Address("10.0.1.5"), network=IPv4Network("10.0.1.0/24"))
    chosen = rules.choose_endpoint(me, replace(peer, endpoints=(*peer.endpoints, second)), RuleType.COST_PRIORITIZED)
    assert chosen == second
    routed = rules.choose_endpoint(me, peer, RuleType.COST_PRIORITIZED)  # another subnet of the network is routed
    assert routed is not None
    assert routed.address == IPv4Address("10.0.0.5")


@pytest.mark.parametrize(("private", "address"), [("10.0.0.5/24", "10.0.0.5"), ("10.0.9.5/24", None)])
def test_without_a_public_address_a_shared_subnet_is_the_last_resort(private: str, address: str | None) -> None:
    chosen = rules.choose_endpoint(rule("a", None, "10.0.0.4/24"), rule("b", None, private), RuleType.BASIC)
    assert (str(chosen.address) if chosen else None) == address


def view(*hosts: NetworkingRule, **changes: object) -> NetworkView:
    specification = CladnetSpecification(
        id="g-1", name="g", cidr=IPv4Network("10.77.0.0/24"), rule_type=RuleType.BASIC, created_at=NOW
    )
    state = changes.pop("state", CladnetState.ACTIVE)
    return NetworkView(specification=replace(specification, state=state), rules=hosts, **changes)


def test_a_host_peers_with_all_but_itself_and_those_taken_down() -> None:
    hosts = [rule(name, f"203.0.113.{n}", f"10.0.0.{n}/24") for n, name in enumerate("abcde", start=1)]
    hosts[2] = replace(hosts[2], state=HostState.UNREACHABLE)
    hosts[3] = replace(hosts[3], state=HostState.DOWN)
    hosts[4] = replace(hosts[4], public_key="no key")
    found = peering.wanted(view(*hosts), "a", private_key=KEY, listen_port=51820)
    assert found is not None
    assert found.tunnel.addresses == (IPv4Interface(f"{hosts[0].address}/24"),)
    assert [peer.allowed for peer in found.peers] == [(IPv4Network(hosts[n].address),) for n in (1, 2)]
    assert all(peer.keepalive_s == 25 for peer in found.peers)


PREFIX6 = IPv6Network("fd12:3456:789a::/64")


def test_with_ipv6_every_host_that_has_it_has_a_second_address() -> None:
    hosts = [rule(name, f"203.0.113.{n}", f"10.0.0.{n}/24") for n, name in enumerate("abcd", start=1)]
    second = [PREFIX6.network_address + int(each.address) for each in hosts]
    hosts[0] = replace(hosts[0], address6=second[0])
    hosts[1] = replace(hosts[1], address6=second[1])
    hosts[2] = replace(hosts[2], address6=second[1])  # another's: it does not follow from its own
    seen = view(*hosts)
    on = replace(seen, specification=replace(seen.specification, cidr6=PREFIX6))
    found = peering.wanted(on, "a", private_key=KEY, listen_port=51820)
    assert found is not None
    assert found.tunnel.addresses == (IPv4Interface(f"{hosts[0].address}/24"), IPv6Interface(f"{second[0]}/64"))
    assert [peer.allowed for peer in found.peers] == [
        (IPv4Network(hosts[1].address), IPv6Network(second[1])),
        (IPv4Network(hosts[2].address),),
        (IPv4Network(hosts[3].address),),
    ]
    without = peering.wanted(on, "d", private_key=KEY, listen_port=51820)  # a host whose kernel has none
    assert without is not None
    assert without.tunnel.addresses == (IPv4Interface(f"{hosts[3].address}/24"),)
    off = peering.wanted(seen, "a", private_key=KEY, listen_port=51820)  # turned off, and the rules still tell of it
    assert off is not None
    assert off.tunnel.addresses == (IPv4Interface(f"{hosts[0].address}/24"),)
    assert all(len(peer.allowed) == 1 for peer in off.peers)


def test_there_is_no_data_path_without_network_rule_or_leave() -> None:
    mine = rule("a", "203.0.113.1", "10.0.0.4/24")
    for gone in (
        None,
        view(),
        view(replace(mine, state=HostState.DOWN)),
        view(mine, command=Command.DOWN),
        view(mine, state=CladnetState.DELETING),
    ):
        assert peering.wanted(gone, "a", private_key=KEY, listen_port=1) is None
    assert peering.wanted(view(mine), "a", private_key=KEY, listen_port=1) is not None


ONE, TWO = (IPv4Address("203.0.113.1"), 51820), (IPv4Address("203.0.113.2"), 51820)
WANTED = Peer(public_key="k", endpoint=ONE, allowed=(IPv4Network("10.77.0.1/32"),), keepalive_s=25)
ACTUAL = PeerStatus(
    public_key="k", endpoint=ONE, allowed=WANTED.allowed, keepalive_s=25, last_handshake=NOW, received_bytes=1,
    sent_bytes=1,
)  # fmt: skip


@pytest.mark.parametrize(
    ("actual", "told", "endpoint"),
    [
        (ACTUAL, {}, None),
        (replace(ACTUAL, endpoint=TWO), {"k": ONE}, None),  # it roamed: let it
        (replace(ACTUAL, endpoint=TWO), {}, None),
        (replace(ACTUAL, endpoint=TWO), {"k": TWO}, ONE),  # what is wanted has changed
        (replace(ACTUAL, endpoint=TWO, last_handshake=NOW - timedelta(seconds=200)), {"k": ONE}, ONE),  # dead there
        (replace(ACTUAL, endpoint=TWO, last_handshake=None), {}, ONE),
    ],
)
def test_an_endpoint_in_use_is_only_changed_for_a_reason(actual, told, endpoint) -> None:
    changes = differences([WANTED], [actual], told, NOW)
    assert [change.endpoint for change in changes.changed] == ([endpoint] if endpoint else [])
    assert changes.removed == ()


def test_peers_come_and_go() -> None:
    stranger = replace(ACTUAL, public_key="gone")
    changes = differences([WANTED], [stranger], {}, NOW)
    assert changes.removed == ("gone",)
    assert [(change.peer, change.endpoint) for change in changes.changed] == [(WANTED, ONE)]
    moved = differences([WANTED], [replace(ACTUAL, allowed=())], {}, NOW)
    assert [(change.peer, change.endpoint) for change in moved.changed] == [(WANTED, None)]


def test_what_a_peer_is_allowed_stays_while_something_is_added() -> None:
    second = IPv6Network("fd00::a4d:1/128")
    both = replace(WANTED, allowed=(*WANTED.allowed, second))
    (added,) = differences([both], [ACTUAL], {}, NOW).changed
    assert added.only_adds
    (removed,) = differences([WANTED], [replace(ACTUAL, allowed=both.allowed)], {}, NOW).changed
    assert not removed.only_adds
    assert differences([both], [replace(ACTUAL, allowed=both.allowed[::-1])], {}, NOW).changed == ()


@pytest.mark.parametrize("jump", [timedelta(days=400), timedelta(days=-400)])
def test_after_a_jump_of_the_clock_a_lost_endpoint_is_set_back(jump: timedelta) -> None:
    roamed = replace(ACTUAL, endpoint=(IPv4Address("198.51.100.7"), 1))
    changes = differences([WANTED], [roamed], {WANTED.public_key: WANTED.endpoint}, NOW + jump)
    assert [change.endpoint for change in changes.changed] == [WANTED.endpoint]


@pytest.mark.parametrize(
    ("me", "peer", "rule_type", "why"),
    [
        (("10.0.0.4/24", "aws"), ("10.0.0.5/24", "aws"), RuleType.COST_PRIORITIZED, rules.Why.FREE),
        (("10.0.0.4/24", "aws"), ("10.0.0.5/24", "aws"), RuleType.BASIC, rules.Why.PUBLIC),
        (("10.0.0.4/24", "aws"), ("10.0.0.5/24", "gcp"), RuleType.COST_PRIORITIZED, rules.Why.PUBLIC),
    ],
)
def test_a_choice_says_why(me: tuple[str, str], peer: tuple[str, str], rule_type: RuleType, why: rules.Why) -> None:
    one = rule("a", "203.0.113.1", me[0], facts(me[1], "vpc", "subnet"))
    other = rule("b", "203.0.113.2", peer[0], facts(peer[1], "vpc", "subnet"))
    choice = rules.choose(one, other, rule_type)
    assert choice.why is why
    assert choice.endpoint == rules.choose_endpoint(one, other, rule_type)


@pytest.mark.parametrize(("private", "why"), [("10.0.0.5/24", rules.Why.ONLY_PRIVATE), ("10.9.0.5/24", rules.Why.NONE)])
def test_a_choice_without_a_public_address_says_so(private: str, why: rules.Why) -> None:
    choice = rules.choose(rule("a", None, "10.0.0.4/24"), rule("b", None, private), RuleType.BASIC)
    assert choice.why is why
    assert (choice.endpoint is None) == (why is rules.Why.NONE)
