"""What the storage bench makes of its figures, and the ground of its peer."""

from ipaddress import IPv4Address

import pytest

from images.clouds.lab import interconnect, topology_toml
from images.demo import storage_bench
from images.demo.storage_bench import BARRED, LINKS, PHASES, Link

PLAN = topology_toml.default()


def test_each_phase_is_compared_with_both_peers() -> None:
    over, without, disk = (dict.fromkeys(PHASES, value) for value in (2.0, 1.9, 0.1))
    found = list(storage_bench._results(BARRED, over, without, disk))
    assert [one.peer_value for one in found] == [1.9, 0.1] * len(PHASES)
    barred = [one for one in found if one.bar is not None]
    assert [one.metric.split(",")[0] for one in barred] == [PHASES["stream"], PHASES["read"]]
    assert all(one.bar == pytest.approx(2.0) for one in barred)
    assert not any(one.bar for one in storage_bench._results(LINKS[0], over, without, disk))


def test_the_median_of_the_rounds_counts() -> None:
    rounds = [dict.fromkeys(PHASES, value) for value in (9.0, 1.0, 2.0)]
    assert storage_bench._medians(rounds) == dict.fromkeys(PHASES, 2.0)


def test_a_link_is_named_by_what_it_is() -> None:
    assert [str(link) for link in (Link(0), Link(40), Link(40, 200))] == ["0 ms", "40 ms", "40 ms, 200 Mbit/s"]


def test_in_the_interconnect_every_gateway_knows_every_host() -> None:
    addresses = interconnect.addresses(PLAN)
    assert len(set(addresses.values())) == len(PLAN.hosts)
    assert all(address in interconnect.RANGE for address in addresses.values())
    for cloud in PLAN.clouds:
        lines = list(interconnect.gateway_routes(PLAN, cloud.name))
        inside = {str(addresses[host.name]) for host in PLAN.hosts_of(cloud.name)}
        for line in lines:
            _, _, target, _, via, _, device = line.split()
            is_inside = target.removesuffix("/32") in inside
            assert device == ("lan" if is_inside else "wan")
            assert (IPv4Address(via) in cloud.private) == is_inside
        assert len(lines) == len(PLAN.hosts)


def test_a_host_speaks_to_others_by_its_address_in_the_interconnect() -> None:
    host = PLAN.hosts[1]
    address = interconnect.addresses(PLAN)[host.name]
    added, route = interconnect.host_routes(PLAN, host)
    assert added == f"address replace {address}/32 dev eth0"
    assert route.endswith(f"src {address}")
