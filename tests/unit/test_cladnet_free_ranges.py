"""A recommended range with its reasons, and what a range may grow to."""

from datetime import UTC, datetime
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cladnet import cidr
from cladnet.control import ipam
from cladnet.free_ranges import MOST_HOSTS, RangesInUse, Reason, avoidable, prefix_for, recommendation
from cladnet.model import ReleasedAddress
from larva.errors import Conflict, InvalidInput

PRIVATE = st.builds(
    lambda base, number, prefix: IPv4Network((base[number % base.num_addresses], prefix), strict=False),
    st.sampled_from([IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16")]),
    st.integers(0, 2**24),
    st.integers(16, 30),
)  # fmt: skip
IN_USE = st.builds(
    lambda cladnets, hosts: RangesInUse(cladnets=cladnets, host_networks={h: tuple(n) for h, n in hosts.items()}),
    st.dictionaries(st.sampled_from(["red", "blue", "green"]), PRIVATE),
    st.dictionaries(st.sampled_from(["aws-1", "gcp-1", "azure-1", "x"]), st.lists(PRIVATE, max_size=3)),
)


@given(IN_USE, st.none() | st.integers(1, 60_000))
def test_a_recommended_range_holds_the_hosts_and_overlaps_nothing_that_is_in_use(
    in_use: RangesInUse, hosts: int | None
) -> None:
    found = recommendation(in_use, hosts=hosts)
    assert found.hosts == found.cidr.num_addresses - 2 >= (hosts or 1)
    assert not any(found.cidr.overlaps(network) for network in (*in_use.all(), *cidr.RESERVED))
    assert cidr.parse(str(found.cidr)) == found.cidr
    told = {each.network for each in found.avoided}
    assert set(in_use.all()) | set(cidr.RESERVED) <= told
    assert not any(found.cidr.overlaps(network) for network in told)


@given(st.integers(1, MOST_HOSTS))
def test_the_prefix_is_the_longest_that_holds_the_hosts(hosts: int) -> None:
    prefix = prefix_for(hosts)
    assert 2 ** (32 - prefix) - 2 >= hosts
    assert prefix == 24 or 2 ** (31 - prefix) - 2 < hosts


@pytest.mark.parametrize("hosts", [0, -1, MOST_HOSTS + 1])
def test_no_range_holds_no_host_or_too_many(hosts: int) -> None:
    with pytest.raises(InvalidInput, match=str(hosts)):
        prefix_for(hosts)


def test_nothing_free_of_that_size_is_said() -> None:
    with pytest.raises(Conflict, match="/8"):
        recommendation(RangesInUse(cladnets={}, host_networks={}), hosts=MOST_HOSTS)


def test_each_reason_says_whose_the_range_is() -> None:
    shared = IPv4Network("10.5.0.0/24")
    in_use = RangesInUse(
        cladnets={"blue": IPv4Network("192.168.64.0/24")},
        host_networks={f"vm-{number}": (shared,) for number in range(1, 6)},
    )
    told = {each.network: each for each in avoidable(in_use)}
    assert told[IPv4Network("192.168.64.0/24")].detail == "CLADNet blue"
    assert told[shared].reason is Reason.HOST_NETWORK
    assert told[shared].detail == "own network of vm-1, vm-2, vm-3 and 2 more"
    assert "Docker" in told[IPv4Network("172.17.0.0/16")].detail
    assert told[IPv4Network("172.31.0.0/16")].reason is Reason.USUAL
    assert len(told) == len(avoidable(in_use))


NETWORKS = st.builds(
    lambda number, prefix: IPv4Network((number >> (32 - prefix) << (32 - prefix), prefix)),
    st.integers(10 << 24, (11 << 24) - 1),
    st.integers(9, 29),
)


@given(NETWORKS, st.data())
def test_a_range_that_grew_keeps_every_address_that_was_given(old: IPv4Network, data: st.DataObject) -> None:
    new = old.supernet(new_prefix=data.draw(st.integers(8, old.prefixlen)))
    cidr.check_growth(old, new)
    number = data.draw(st.integers(1, old.num_addresses - 2))
    given_before = old.network_address + number
    before = {given_before: ReleasedAddress(host="a", released_at=datetime(2026, 1, 1, tzinfo=UTC))}
    assert ipam.allocate("a", new, set(), before) == given_before  # no network or broadcast address now


@given(NETWORKS, NETWORKS)
def test_a_range_that_does_not_contain_the_old_one_is_refused(old: IPv4Network, new: IPv4Network) -> None:
    if new.supernet_of(old):
        cidr.check_growth(old, new)
    else:
        with pytest.raises(InvalidInput, match="only grow"):
            cidr.check_growth(old, new)
