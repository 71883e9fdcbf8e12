"""Ranges and addresses: what may be asked for, what is recommended, and that no address is given twice."""

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cladnet import cidr
from cladnet.control import ipam
from larva.errors import Conflict, InvalidInput

NETWORKS = st.builds(
    lambda number, prefix: IPv4Network((number >> (32 - prefix) << (32 - prefix), prefix)),
    st.integers(0, 2**32 - 1),
    st.integers(8, 30),
)
SMALL = st.builds(
    lambda third, prefix: IPv4Network(f"10.9.{third}.0/{prefix}"), st.integers(0, 255), st.integers(27, 29)
)


@given(SMALL, st.data())
def test_addresses_given_one_after_another_are_all_different_and_all_of_the_range(network, data) -> None:
    taken: set[IPv4Address] = set()
    for _ in range(network.num_addresses - 2):
        preferred = data.draw(st.none() | st.integers(0, 31).map(lambda n: network.network_address + n))
        address = ipam.allocate(taken, network, preferred)
        assert address not in taken
        assert address in set(network.hosts())
        taken.add(address)
    with pytest.raises(Conflict, match="every address"):
        ipam.allocate(taken, network)


def test_the_lowest_free_address_is_given() -> None:
    network = IPv4Network("10.9.0.0/29")
    taken = {IPv4Address("10.9.0.1"), IPv4Address("10.9.0.3")}
    assert ipam.allocate(taken, network) == IPv4Address("10.9.0.2")
    assert ipam.allocate(taken, network, IPv4Address("10.9.0.6")) == IPv4Address("10.9.0.6")
    assert ipam.allocate(taken, network, IPv4Address("10.9.0.7")) == IPv4Address("10.9.0.2")  # broadcast


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("10.1.2.3/24", "host bits", "10.1.2.0/24"),
        ("10.1.2.0", "no prefix length", "10.1.2.0/24"),
        ("10.1.2.0/30", "too few", "/29"),
        ("8.8.8.0/24", "not private", "10.0.0.0/8"),
        ("0.0.0.0/0", "not private", "10.0.0.0/8"),
        ("10.0.0.0/7", "not private", "10.0.0.0/8"),
        ("169.254.169.0/24", "not private", ""),
        ("100.100.2.0/24", "Alibaba", ""),
        ("172.17.0.0/24", "Docker", ""),
        ("fd00::/64", "no IPv4", "192.168.77.0/24"),
        ("10.0.0.0/33", "no IPv4", ""),
        ("", "no IPv4", ""),
        ("ten", "no IPv4", ""),
    ],
)
def test_a_range_that_cannot_be_is_refused_with_a_way_out(text: str, told: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as error:
        cidr.parse(text)
    assert told in error.value.message
    assert hint in error.value.hint


@pytest.mark.parametrize("text", ["10.77.0.0/24", "192.168.7.0/29", "172.20.0.0/16", "100.64.0.0/10", "10.0.0.0/8"])
def test_a_private_range_is_taken_as_it_is(text: str) -> None:
    assert str(cidr.parse(text)) == text


def test_an_overlap_names_its_owner() -> None:
    wanted = IPv4Network("10.77.0.0/24")
    with pytest.raises(Conflict, match=r"10\.77\.0\.0/16 of CLADNet 'blue'"):
        cidr.check_free(wanted, cladnets={"blue": IPv4Network("10.77.0.0/16")}, host_networks={})
    with pytest.raises(Conflict, match=r"10\.77\.0\.128/25, a network that host 'aws-1'") as error:
        cidr.check_free(
            wanted,
            cladnets={},
            host_networks={"aws-1": [IPv4Network("10.77.0.128/25")]},
            hint="192.168.64.0/24 is free",
        )
    assert "192.168.64.0/24" in error.value.hint
    cidr.check_free(wanted, cladnets={"blue": IPv4Network("10.78.0.0/16")}, host_networks={"a": []})


@given(st.lists(NETWORKS, max_size=30), st.integers(16, 29))
def test_a_recommended_range_overlaps_nothing_in_use_and_nothing_reserved(taken, prefix) -> None:
    try:
        found = cidr.recommend(taken, prefix=prefix)
    except Conflict:
        whole = [IPv4Network("192.168.0.0/16"), IPv4Network("172.16.0.0/12"), IPv4Network("10.0.0.0/8")]
        for space in whole:  # nothing may be left free that has this size
            for candidate in space.subnets(new_prefix=max(prefix, space.prefixlen)):
                assert any(candidate.overlaps(other) for other in (*taken, *cidr.RESERVED))
        return
    assert found.prefixlen == prefix
    assert not any(found.overlaps(other) for other in (*taken, *cidr.RESERVED))
    assert cidr.parse(str(found)) == found


def test_the_recommendation_avoids_what_the_original_took() -> None:
    # cb-larva recommends 192.168.0.0/29 here, which overlaps the first.
    taken = [IPv4Network(f"192.168.{third}.0/24") for third in (0, 1, 2)]
    assert not any(cidr.recommend(taken, prefix=29).overlaps(network) for network in taken)
