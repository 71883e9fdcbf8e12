"""Ranges and addresses: what may be asked for, what is recommended, and that no address is given twice."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cladnet import cidr
from cladnet.control import ipam
from cladnet.model import ReleasedAddress
from larva.errors import Conflict, InvalidInput

NETWORKS = st.builds(
    lambda number, prefix: IPv4Network((number >> (32 - prefix) << (32 - prefix), prefix)),
    st.integers(0, 2**32 - 1),
    st.integers(8, 30),
)
SMALL = st.builds(
    lambda third, prefix: IPv4Network(f"10.9.{third}.0/{prefix}"), st.integers(0, 255), st.integers(27, 29)
)


NOW = datetime(2026, 1, 1, tzinfo=UTC)
QUARANTINE_S = 3600.0


def released(host: str, ago_s: float) -> ReleasedAddress:
    return ReleasedAddress(host=host, released_at=NOW - timedelta(seconds=ago_s))


RESTING = st.dictionaries(
    st.integers(0, 31), st.builds(released, st.sampled_from("abc"), st.floats(-1e9, QUARANTINE_S - 1)), max_size=31
)


@given(SMALL, st.sets(st.integers(0, 31)), RESTING)
def test_an_address_that_rests_goes_to_who_had_it_or_when_nothing_else_is_left(network, taken, resting) -> None:
    base = network.network_address
    taken_addresses = {base + number for number in taken}
    resting_addresses = {base + number: each for number, each in resting.items()}
    free = set(network.hosts()) - taken_addresses
    try:
        found = ipam.allocate("a", network, taken_addresses, resting_addresses)
    except Conflict:
        assert not free
        return
    assert found in free
    own = {ip for ip in free & resting_addresses.keys() if resting_addresses[ip].host == "a"}
    unused = free - resting_addresses.keys()
    if own:
        assert found in own
        assert all(resting_addresses[ip].released_at <= resting_addresses[found].released_at for ip in own)
    elif unused:
        assert found == min(unused)
    else:
        assert all(resting_addresses[ip].released_at >= resting_addresses[found].released_at for ip in free)


@given(st.integers(-(10**9), 10**9))
def test_an_address_rests_for_its_quarantine_and_longer_only_when_the_clock_went_back(ago_s: int) -> None:
    assert ipam.rests(released("a", ago_s), now=NOW, quarantine_s=QUARANTINE_S) == (ago_s < QUARANTINE_S)
    assert ago_s < 0 or not ipam.rests(released("a", ago_s), now=NOW, quarantine_s=0)


@given(SMALL)
def test_addresses_given_one_after_another_are_all_different_and_all_of_the_range(network) -> None:
    taken: set[IPv4Address] = set()
    for _ in range(network.num_addresses - 2):
        address = ipam.allocate("a", network, taken, {})
        assert address not in taken
        assert address in set(network.hosts())
        taken.add(address)
    with pytest.raises(Conflict, match="every address"):
        ipam.allocate("a", network, taken, {})


def test_the_lowest_free_address_is_given() -> None:
    network = IPv4Network("10.9.0.0/29")
    taken = {IPv4Address("10.9.0.1"), IPv4Address("10.9.0.3")}
    assert ipam.allocate("a", network, taken, {}) == IPv4Address("10.9.0.2")
    assert ipam.allocate("a", network, taken, {IPv4Address("10.9.0.2"): released("b", 5)}) == IPv4Address("10.9.0.4")
    for number, given_address in ((6, "10.9.0.6"), (7, "10.9.0.2"), (9, "10.9.0.2")):  # broadcast; another range
        resting = {IPv4Address(f"10.9.0.{number}"): released("a", 5)}
        assert ipam.allocate("a", network, taken, resting) == IPv4Address(given_address)


def test_an_address_given_before_its_time_is_logged_with_who_had_it(caplog) -> None:
    network = IPv4Network("10.9.0.0/29")
    resting = {address: released("b", 60) for address in network.hosts()}
    resting[IPv4Address("10.9.0.4")] = released("c", 120)
    assert ipam.allocate("a", network, set(), resting) == IPv4Address("10.9.0.4")
    assert "a gets 10.9.0.4, which c had until 2025-12-31T23:58:00" in caplog.text


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


@given(SMALL, st.data())
def test_nothing_that_is_withheld_is_given_however_little_is_left(network, data) -> None:
    every = list(network.hosts())
    last = data.draw(st.sampled_from(every))
    taken = data.draw(st.sets(st.sampled_from(every)))
    resting = {ip: released(host, 5) for ip in data.draw(st.sets(st.sampled_from(every))) for host in ("a", "b")}
    left = [address for address in every if address > last and address not in taken]
    if left:
        assert ipam.allocate("b", network, taken, resting, last) in left
    else:
        with pytest.raises(Conflict, match=f"withheld up to {last}"):
            ipam.allocate("b", network, taken, resting, last)
