"""What a malicious or broken member may write: it harms nobody else, and nothing stops working."""

import base64
import logging
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cladnet import keys, rules
from cladnet.agent import peering
from cladnet.agent.rule_cache import NetworkView
from cladnet.control.planning import World, plan
from cladnet.etcd.store import Delete, Put, Versioned
from cladnet.model import (
    CladnetSpecification,
    CloudFacts,
    HostNetworkInformation,
    NetworkingRule,
    NetworkInterface,
)
from larva import codec
from larva.errors import MalformedData

GROUP = "g-1"
SPECIFICATION = CladnetSpecification(
    id=GROUP, name="g", cidr=IPv4Network("10.77.0.0/24"), created_at=datetime(2026, 1, 1, tzinfo=UTC)
)


def key_of(number: int) -> str:
    return base64.b64encode(bytes([number]) * 32).decode()


def announced(host: str, key: str, *addresses: str, public: str | None = None) -> HostNetworkInformation:
    return HostNetworkInformation(
        host=host,
        public_address=IPv4Address(public) if public else None,
        interfaces=(
            NetworkInterface(name="eth0", mtu=1500, addresses=tuple(IPv4Interface(each) for each in addresses)),
        ),
        listen_port=51820,
        public_key=key,
        seal_key="",
    )


def ruled(host: str, address: str, key: str) -> NetworkingRule:
    return NetworkingRule(host=host, address=IPv4Address(address), public_key=key, endpoints=(), cloud=CloudFacts())


def world(
    informations: list[HostNetworkInformation], given_rules: list[NetworkingRule], claims: dict[str, str] | None = None
) -> World:
    held = {str(each.address): each.host for each in given_rules} if claims is None else claims
    return World(
        specification=Versioned(keys.configuration(GROUP), SPECIFICATION, 1),
        informations={
            each.host: Versioned(keys.host_information(GROUP, each.host), each, 10 + position)
            for position, each in enumerate(informations)
        },
        claims={
            IPv4Address(address): Versioned(keys.address(GROUP, address), host, 5) for address, host in held.items()
        },
        released={},
        rules={each.host: Versioned(keys.rule(GROUP, each.host), each, 6) for each in given_rules},
        commands={},
        present=frozenset(each.host for each in informations),
        now=datetime(2026, 1, 2, tzinfo=UTC),
    )


def written(planned: World) -> dict[str, NetworkingRule]:
    puts = [operation for step in plan(planned) for operation in step.operations if isinstance(operation, Put)]
    return {put.value.host: put.value for put in puts if isinstance(put.value, NetworkingRule)}


def test_a_host_that_has_a_rule_cannot_take_another_hosts_key() -> None:
    thief, victim = announced("a", key_of(2), "10.0.0.4/24"), announced("b", key_of(2), "10.0.0.5/24")
    before = [ruled("a", "10.77.0.1", key_of(1)), ruled("b", "10.77.0.2", key_of(2))]
    assert "a" not in written(world([thief, victim], before))


def test_of_two_hosts_with_one_key_it_belongs_to_whom_announced_it_first() -> None:
    later, first = announced("a", key_of(2), "10.0.0.4/24"), announced("b", key_of(2), "10.0.0.5/24")
    assert set(written(world([first, later], []))) == {"b"}


def test_two_rules_with_one_key_are_made_one() -> None:
    both = [announced("a", key_of(2), "10.0.0.4/24"), announced("b", key_of(2), "10.0.0.5/24")]
    steps = plan(world(both, [ruled("a", "10.77.0.2", key_of(2)), ruled("b", "10.77.0.1", key_of(2))]))
    dropped = [operation.key for step in steps for operation in step.operations if not isinstance(operation, Put)]
    assert keys.rule(GROUP, "a") in dropped
    assert keys.rule(GROUP, "b") not in dropped
    assert keys.host_information(GROUP, "a") in [condition.key for step in steps for condition in step.conditions]


@pytest.mark.parametrize("key", ["", "x" * 100_000, key_of(1)[:-2] + "F=", "no key", base64.b64encode(b"x").decode()])
def test_what_is_no_key_gets_no_rule(key: str) -> None:
    assert set(written(world([announced("a", key, "10.0.0.4/24"), announced("b", key_of(2), "10.0.0.5/24")], []))) == {
        "b"
    }


@pytest.mark.parametrize("holder", ["../b", "UPPER", "", "x" * 300])
def test_a_claim_of_nobody_is_freed(holder: str) -> None:
    [step] = plan(world([], [], {"10.77.0.9": holder}))
    assert [operation.key for operation in step.operations] == [keys.address(GROUP, "10.77.0.9")]


def test_a_host_cannot_sit_on_addresses_it_does_not_use() -> None:
    host = announced("a", key_of(1), "10.0.0.4/24")
    settled = written(world([host], []))["a"]
    claims = {"10.77.0.1": "a", **{f"10.77.0.{number}": "a" for number in range(2, 9)}}
    operations = [operation for step in plan(world([host], [settled], claims)) for operation in step.operations]
    freed = {operation.key for operation in operations if isinstance(operation, Delete)}
    assert freed == {keys.address(GROUP, f"10.77.0.{number}") for number in range(2, 9)}


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "0.0.0.0", "10.77.0.3", "224.0.0.1", "255.255.255.255", "169.254.169.254"]
)
def test_no_peer_is_sent_to_an_address_that_cannot_be_another_host(address: str) -> None:
    told = announced("a", key_of(1), f"{address}/24", "10.0.0.4/24", public=address)
    assert [each.address for each in rules.candidates(told, SPECIFICATION.cidr)] == [IPv4Address("10.0.0.4")]


def test_a_rule_stays_small_however_many_addresses_a_host_says_it_has() -> None:
    told = announced("a", key_of(1), *(f"10.{n >> 8}.{n & 255}.4/24" for n in range(10_000)), public="203.0.113.1")
    assert len(codec.encode(rules.candidates(told, SPECIFICATION.cidr))) < 4096


@pytest.mark.parametrize("port", [0, -1, 65536, 10**12])
def test_a_port_that_is_none_is_refused_where_it_is_read(port: int) -> None:
    text = codec.encode(announced("a", key_of(1), "10.0.0.4/24")).replace(b"51820", str(port).encode())
    with pytest.raises(MalformedData, match="listen_port"):
        codec.decode(text, HostNetworkInformation, source="etcd")


def test_a_fact_that_is_a_book_is_refused_where_it_is_read() -> None:
    text = codec.encode(announced("a", key_of(1))).replace(b'"region":""', b'"region":"' + b"x" * 2000 + b'"')
    with pytest.raises(MalformedData, match="region"):
        codec.decode(text, HostNetworkInformation, source="etcd")


def test_a_time_without_its_zone_is_refused_where_it_is_read() -> None:
    text = codec.encode(SPECIFICATION).replace(b"2026-01-01T00:00:00Z", b"2026-01-01T00:00:00")
    with pytest.raises(MalformedData, match="created_at"):
        codec.decode(text, CladnetSpecification, source="etcd")


def test_an_error_does_not_repeat_a_huge_value() -> None:
    with pytest.raises(MalformedData) as found:
        codec.decode(b'"' + b"9" * 1_000_000 + b'"', IPv4Address, source="etcd")
    assert len(found.value.message) < 1000


PEERS = st.lists(
    st.builds(
        ruled,
        st.sampled_from(["a", "b", "c", "me"]),
        st.sampled_from(["10.77.0.1", "10.77.0.2", "10.77.0.3", "192.0.2.1"]),
        st.sampled_from([key_of(1), key_of(2), key_of(3), "none", key_of(1)[:-2] + "F="]),
    ),
    max_size=6,
    unique_by=lambda each: each.host,
)


@given(PEERS)
def test_whatever_the_rules_say_peers_share_neither_key_nor_address(given_rules: list[NetworkingRule]) -> None:
    mine = ruled("me", "10.77.0.1", key_of(1))
    others = tuple(each for each in given_rules if each.host != "me")
    view = NetworkView(specification=SPECIFICATION, rules=(mine, *others))
    logging.getLogger("cladnet.agent.peering").setLevel(logging.ERROR)
    found = peering.wanted(view, "me", private_key="p", listen_port=51820)
    assert found is not None
    assert len({peer.public_key for peer in found.peers} | {key_of(1)}) == len(found.peers) + 1
    assert len({peer.allowed for peer in found.peers}) == len(found.peers)
    for peer in found.peers:
        assert peer.allowed[0].subnet_of(SPECIFICATION.cidr)
        assert peer.allowed[0].network_address != mine.address
