"""Topologies: the default is the seed's demonstration; what no lab can look like is refused with the place named."""

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.clouds.lab import topology, topology_check, topology_toml
from images.clouds.lab.topology import Role
from larva import codec
from larva.errors import MalformedData, NotFound

BAD = sorted((Path(__file__).parent / "topologies").glob("*.toml"))


def test_default_is_the_seeds_demonstration() -> None:
    plan = topology_toml.default()
    assert [(cloud.provider, cloud.region) for cloud in plan.clouds] == [
        ("aws", "ap-southeast-2"),
        ("gcp", "asia-east1"),
        ("azure", "uksouth"),
    ]
    assert {str(cloud.private) for cloud in plan.clouds} == {"10.0.0.0/24"}
    assert plan.rtt_ms("aws", "gcp") == plan.rtt_ms("gcp", "aws") == 150.57
    assert plan.rtt_ms("gcp", "azure") == 249.35
    assert plan.rtt_ms("aws", "azure") == 262.77
    assert plan.rtt_ms("aws", "aws") == 0
    assert [host.name for host in plan.hosts if Role.CONTROL in host.roles] == ["control", "control-2", "control-3"]
    assert {host.cloud for host in plan.hosts if Role.CONTROL in host.roles} == {"aws", "gcp", "azure"}
    assert [host.name for host in plan.hosts if Role.STORAGE in host.roles] == ["aws-1", "gcp-1", "azure-1"]
    assert {str(disk.path): disk.size_bytes for disk in plan.host("aws-1").disks} == {
        "/var/lib/larva/disks/osd0.img": 4 * 2**30
    }


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_impossible_topology_is_refused_and_the_place_named(path: Path) -> None:
    expected = path.read_text().splitlines()[0].removeprefix("# expected: ")
    with pytest.raises(MalformedData) as caught:
        topology_toml.load(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert expected in caught.value.message


def test_there_are_bad_topologies_to_refuse() -> None:
    assert len(BAD) > 30


def test_every_problem_is_named_at_once() -> None:
    plan = topology_toml.default()
    clouds = (replace(plan.clouds[0], mtu=1, zone=""), *plan.clouds[1:])
    assert len(topology_check.problems(replace(plan, clouds=clouds))) == 2


@pytest.mark.parametrize("content", [b"\xff\xfe", None], ids=["not text", "no file"])
def test_unreadable_file(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "topology.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MalformedData, match=str(path)):
        topology_toml.load(path)


def test_unknown_names_list_the_known_ones() -> None:
    plan = topology_toml.default()
    with pytest.raises(NotFound) as host:
        plan.host("aws-9")
    assert "aws-1" in host.value.hint
    with pytest.raises(NotFound) as cloud:
        plan.cloud("oracle")
    assert "azure" in cloud.value.hint


def test_survives_json() -> None:
    plan = topology_toml.default()
    assert codec.decode(codec.encode(plan), topology.Topology, source="test") == plan


@given(st.sets(st.integers(0, 255), min_size=1, max_size=8))
def test_hosts_are_refused_exactly_when_their_private_address_is_not_theirs_to_have(lasts: set[int]) -> None:
    plan = topology_toml.default()
    hosts = tuple(
        replace(
            plan.hosts[0], name=f"h{last}",
            private=IPv4Address(f"10.0.0.{last}"), public=IPv4Address(f"203.0.113.{number}"),
        )
        for number, last in enumerate(sorted(lasts))
    )  # fmt: skip
    assert bool(topology_check.problems(replace(plan, hosts=hosts))) == bool(lasts & {0, 1, 255})
