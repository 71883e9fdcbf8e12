"""IPv6 in a CLADNet: the prefix that may be asked for or is drawn, and each host's address in it."""

from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cladnet import ula
from larva.errors import Conflict, InvalidInput

PREFIXES = st.builds(lambda number: IPv6Network(((0xFD << 120) | (number << 64), 64)), st.integers(0, (1 << 56) - 1))
ADDRESSES = st.ip_addresses(v=4)


@given(PREFIXES, ADDRESSES, ADDRESSES)
def test_two_hosts_share_an_address_only_if_they_share_the_ipv4_one(prefix, one, other) -> None:
    first, second = ula.address6(prefix, one), ula.address6(prefix, other)
    assert (first == second) == (one == other)
    assert first in prefix
    assert IPv4Address(first.packed[-4:]) == one
    assert ula.interface6(prefix, one).network == prefix


@given(PREFIXES, PREFIXES, ADDRESSES, ADDRESSES)
def test_addresses_of_two_prefixes_are_never_the_same(prefix, another, one, other) -> None:
    if prefix != another:
        assert ula.address6(prefix, one) != ula.address6(another, other)


@given(PREFIXES)
def test_a_prefix_that_may_be_is_taken_as_it_is(prefix) -> None:
    assert ula.parse(f" {prefix} ") == prefix


def test_a_prefix_that_is_drawn_is_one_that_may_be_and_another_each_time() -> None:
    drawn = {ula.draw() for _ in range(50)}
    assert len(drawn) == 50
    for prefix in drawn:
        assert ula.parse(str(prefix)) == prefix
        assert prefix.network_address.packed[6:8] == b"\0\0"  # subnet 0 of a /48 of its own


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("2001:db8::/64", "not private", "fd00::/8"),
        ("fc00::/64", "not private", "fd00::/8"),  # locally assigned is fd00::/8 only
        ("fe80::/64", "not private", ""),
        ("::/0", "not private", ""),
        ("fd12:3456:789a::/48", "no /64", "fd12:3456:789a::/64"),
        ("fd12:3456:789a::/120", "no /64", ""),
        ("fd12:3456:789a::", "no /64", "fd12:3456:789a::/64"),
        ("fd12:3456:789a::1/64", "host bits", "fd12:3456:789a::/64"),
        ("10.77.0.0/24", "no IPv6", "fd12"),
        ("", "no IPv6", ""),
        ("fd12::/129", "no IPv6", ""),
        ("on", "no IPv6", ""),
    ],
)
def test_a_prefix_that_cannot_be_is_refused_with_a_way_out(text: str, told: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as error:
        ula.parse(text)
    assert told in error.value.message
    assert hint in error.value.hint


def test_an_overlap_names_its_owner() -> None:
    wanted = IPv6Network("fd12:3456:789a::/64")
    with pytest.raises(Conflict, match="CLADNet 'blue'"):
        ula.check_free(wanted, cladnets={"blue": wanted}, host_networks={})
    with pytest.raises(Conflict, match=r"fd12:3456:789a::/48, a network that host 'a'"):
        ula.check_free(wanted, cladnets={}, host_networks={"a": [IPv6Network("fd12:3456:789a::/48")]})
    ula.check_free(wanted, cladnets={"blue": IPv6Network("fd12:3456:789b::/64")}, host_networks={"a": []})


def test_the_addresses_of_a_whole_range_are_all_different() -> None:
    prefix = ula.draw()
    hosts = list(IPv4Network("10.77.0.0/20").hosts())
    assert len({ula.address6(prefix, each) for each in hosts}) == len(hosts)
