"""Which data path may carry a CLADNet by its encryption, and the plaintext one's numbers, addresses and filter."""

import json
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cladnet import encryption
from cladnet.datapath import choose, neighbours, source_filter, vxlan
from cladnet.datapath.protocol import Peer
from cladnet.model import DatapathKind, Encryption
from larva.errors import InvalidInput

ADDRESSES = st.ip_addresses(v=4)


@given(st.sampled_from(DatapathKind), st.sampled_from(Encryption))
def test_plaintext_carries_nothing_that_is_encrypted_and_the_other_way_round(asked, encrypted) -> None:
    found = encryption.kinds(asked, encrypted)
    assert all((kind in encryption.PLAINTEXT) == (encrypted == Encryption.OFF) for kind in found)
    assert DatapathKind.AUTO not in found
    assert asked == DatapathKind.AUTO or set(found) <= {asked}
    assert set(found) <= set(choose.DRIVERS)
    if found:
        encryption.check(asked, encrypted)
    else:
        with pytest.raises(InvalidInput) as error:
            encryption.check(asked, encrypted)
        assert error.value.hint


def test_auto_never_takes_plaintext_while_encryption_is_on_whatever_else_is_missing(monkeypatch) -> None:
    monkeypatch.setattr(
        choose, "OFFERED", {kind: lambda kind=kind: kind in encryption.PLAINTEXT for kind in choose.DRIVERS}
    )
    with pytest.raises(choose.HostUnfit, match="encryption on"):
        choose.choose(DatapathKind.AUTO, "cbnet0")
    with pytest.raises(choose.HostUnfit):
        choose.choose(DatapathKind.VXLAN, "cbnet0", Encryption.ON)
    assert choose.choose(DatapathKind.AUTO, "cbnet0", Encryption.OFF).kind == DatapathKind.VXLAN
    told = choose.explain(DatapathKind.AUTO, {DatapathKind.VXLAN, DatapathKind.WIREGUARD}, Encryption.OFF)
    assert told == "encryption is off; vxlan is the first that works here"
    assert "vxlan" not in choose.explain(DatapathKind.AUTO, {DatapathKind.VXLAN})


@given(st.text(max_size=60))
def test_a_network_number_has_24_bits_and_is_not_zero(group: str) -> None:
    assert 1 <= vxlan.network_number(group) < 1 << 24
    assert vxlan.network_number(group) == vxlan.network_number(group)


def test_networks_have_different_numbers() -> None:
    assert len({vxlan.network_number(f"net-{number:08x}") for number in range(100)}) == 100


@given(ADDRESSES)
def test_a_mac_address_and_an_overlay_address_say_each_other(address: IPv4Address) -> None:
    mac = neighbours.mac_of(address)
    first = int(mac[:2], 16)
    assert (first & 1, first & 2) == (0, 2)  # unicast, locally administered
    assert neighbours.address_of(mac) == address


@pytest.mark.parametrize("mac", ["", "33:33:00:00:00:01", "ff:ff:ff:ff:ff:ff"])
def test_the_kernels_own_neighbours_are_nobody_of_ours(mac: str) -> None:
    assert neighbours.address_of(mac) is None


def test_a_peer_whose_endpoint_nobody_knows_is_forwarded_nowhere() -> None:
    networks = (IPv4Network("10.77.0.2"), IPv6Network("fd00::a4d:2"))
    known = Peer(public_key="k", endpoint=(IPv4Address("203.0.113.2"), 51821), allowed=networks)
    unknown = Peer(public_key="l", endpoint=None, allowed=(IPv4Network("10.77.0.3"),))
    assert vxlan.forwarding([known, unknown]) == {
        IPv4Address("10.77.0.2"): neighbours.Forwarding(endpoint=known.endpoint, networks=frozenset(networks))
    }


def test_a_filter_is_read_back_from_what_nft_prints() -> None:
    # nft -j list set inet larva-cbnet0 sources, nftables 1.0.6
    answer = """{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}, {"set": {"family": "inet",
    "name": "sources", "table": "larva-cbnet0", "type": ["ipv4_addr", "integer"], "handle": 2, "elem":
    [{"concat": ["10.0.0.1", 172818433]}, {"concat": ["10.0.0.2", 3394043906]}]}}]}"""
    assert source_filter.parse(answer) == {
        IPv4Address("10.77.0.1"): IPv4Address("10.0.0.1"), IPv4Address("202.77.0.2"): IPv4Address("10.0.0.2"),
    }  # fmt: skip


NONSENSE = st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5)


@given(st.text(max_size=40) | NONSENSE.map(lambda each: json.dumps({"nftables": [{"set": {"elem": each}}]})))
def test_what_nft_never_printed_is_no_filter(answer: str) -> None:
    found = source_filter.parse(answer)
    assert found is None or found == {}


@given(st.dictionaries(ADDRESSES, ADDRESSES, max_size=5))
def test_a_filters_rules_name_every_source_once_and_drop_the_rest(sources) -> None:
    text = source_filter.rules("cbnet3", 51823, sources)
    for overlay, underlay in sources.items():
        assert text.count(f"{underlay} . {int(overlay):#x}") >= 1
    assert text.count("0x") == len(sources) + 2
    assert "udp dport 51823 jump tunnel" in text
    assert text.rstrip().endswith("drop\n    }\n}")
