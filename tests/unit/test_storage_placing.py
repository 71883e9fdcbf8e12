"""Where daemons and copies go: monitors spread over providers, copies over the widest domain that can hold them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbstorage.ceph.answers import CrushTree
from cbstorage.ceph.crush import Domain, Place, Replication, facts, known, place, replication, widen
from cbstorage.leading import locations, pools
from cbstorage.wanted import assignment
from cbstorage.wanted.assignment import Candidate
from cladnet.model import CloudFacts
from larva import codec

CLOUDS = st.builds(
    CloudFacts, provider=st.sampled_from(["aws", "gcp", "azure", "", "nhn"]), region=st.sampled_from(["r1", "r2", ""])
)
CANDIDATES = st.dictionaries(st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True), CLOUDS, max_size=12).map(
    lambda hosts: [Candidate(host=host, cloud=cloud) for host, cloud in hosts.items()]
)


def candidate(host: str, provider: str, region: str = "r") -> Candidate:
    return Candidate(host=host, cloud=CloudFacts(provider=provider, region=region))


def test_one_monitor_a_provider() -> None:
    hosts = [candidate(f"{csp}-{n}", csp) for csp in ("aws", "azure", "gcp") for n in (1, 2)]
    assert assignment.monitors(hosts) == ("aws-1", "azure-1", "gcp-1")
    assert assignment.metadata_servers(hosts) == ("aws-1", "azure-1", "gcp-1")


def test_regions_of_one_provider_are_spread_too() -> None:
    hosts = [candidate("a1", "aws", "sydney"), candidate("a2", "aws", "sydney"), candidate("b1", "aws", "london")]
    assert assignment.spread(hosts) == ["a1", "b1", "a2"]


def test_two_hosts_have_one_monitor() -> None:
    assert assignment.monitors([candidate("a", "aws"), candidate("b", "gcp")]) == ("a",)


@given(CANDIDATES)
def test_monitors_are_odd_in_number_and_as_spread_as_can_be(hosts: list[Candidate]) -> None:
    chosen = assignment.monitors(hosts)
    clouds = {one.host: one.cloud.provider for one in hosts}
    assert len(chosen) == len(set(chosen))
    assert set(chosen) <= clouds.keys()
    assert len(chosen) % 2 == 1 or not hosts
    assert len({clouds[host] for host in chosen}) == min(len(chosen), len(set(clouds.values())))


@given(CANDIDATES)
def test_every_provider_has_a_metadata_server(hosts: list[Candidate]) -> None:
    clouds = {one.host: one.cloud.provider for one in hosts}
    assert {clouds[host] for host in assignment.metadata_servers(hosts)} == set(clouds.values())


@given(CANDIDATES)
def test_choice_does_not_hang_on_order(hosts: list[Candidate]) -> None:
    assert assignment.monitors(hosts) == assignment.monitors(hosts[::-1])
    assert sorted(assignment.spread(hosts)) == sorted(one.host for one in hosts)


def places(*names: tuple[str, str, str]) -> list[Place]:
    return [place(host, CloudFacts(provider=provider, region=region)) for provider, region, host in names]


def test_three_providers_hold_a_copy_each() -> None:
    found = replication(places(("aws", "r", "a"), ("gcp", "r", "b"), ("azure", "r", "c")))
    assert found == Replication(domain=Domain.REGION, copies=3, needed=2)


def test_three_regions_of_two_providers() -> None:
    found = replication(places(("aws", "r1", "a"), ("aws", "r2", "b"), ("azure", "r", "c")))
    assert found == Replication(domain=Domain.ZONE, copies=3, needed=2)


def test_three_hosts_of_one_region() -> None:
    found = replication(places(*(("aws", "r", host) for host in "abc")))
    assert found == Replication(domain=Domain.HOST, copies=3, needed=2)


def test_three_zones_of_one_region() -> None:
    osds = [place(host, CloudFacts(provider="aws", region="r", zone=host)) for host in "abc"]
    assert replication(osds) == Replication(domain=Domain.DATACENTER, copies=3, needed=2)


def test_few_osds() -> None:
    assert replication(places(("aws", "r", "a"))) == Replication(domain=Domain.OSD, copies=1, needed=1)
    assert replication(places(("aws", "r", "a"), ("gcp", "r", "b"))).copies == 2


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("rs"), st.sampled_from("abcdef")), min_size=1))
def test_a_rule_can_always_be_satisfied(names: list[tuple[str, str, str]]) -> None:
    osds = places(*names)
    found = replication(osds)
    widths = {
        Domain.REGION: len({one.provider for one in osds}),
        Domain.ZONE: len({one.region for one in osds}),
        Domain.DATACENTER: len({one.zone for one in osds}),
        Domain.HOST: len({one.host for one in osds}),
        Domain.OSD: len(osds),
    }
    assert 1 <= found.needed <= found.copies <= widths[found.domain]


def test_losing_a_provider_narrows_nothing() -> None:
    wide = Replication(domain=Domain.REGION, copies=3, needed=2)
    narrow = Replication(domain=Domain.HOST, copies=2, needed=1)
    assert widen(wide, narrow) == wide
    assert widen(narrow, wide) == wide
    assert widen(None, narrow) == narrow


@given(st.text(max_size=8), st.text(max_size=8), st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True))
def test_buckets_of_different_kinds_never_share_a_name(provider: str, region: str, host: str) -> None:
    found = place(host, CloudFacts(provider=provider, region=region))
    assert len({found.provider, found.region, found.zone, found.host}) == 4
    letters = found.provider + found.region + found.zone
    assert all(letter.isascii() and (letter.isalnum() or letter in "_.-") for letter in letters)


def test_places_are_read_from_the_crush_map() -> None:
    tree = codec.decode(
        """{"nodes": [
        {"id": -1, "name": "default", "type": "root", "children": [-2]},
        {"id": -2, "name": "csp.aws", "type": "region", "children": [-3]},
        {"id": -3, "name": "zone.aws.r", "type": "zone", "children": [-5]},
        {"id": -5, "name": "dc.aws.r.a", "type": "datacenter", "children": [-4]},
        {"id": -4, "name": "aws-1", "type": "host", "children": [0, 1]},
        {"id": 0, "name": "osd.0", "type": "osd"}, {"id": 1, "name": "osd.1", "type": "osd"},
        {"id": 7, "name": "osd.7", "type": "osd"}], "stray": []}""",
        CrushTree,
        source="test",
    )
    there = place("aws-1", CloudFacts(provider="aws", region="r", zone="a"))
    assert pools.places(tree) == [there, there]


@pytest.mark.parametrize(
    ("told", "moved"),
    [
        (CloudFacts(provider="aws", region="r", zone="a"), False),
        (CloudFacts(provider="aws", region="r", zone="b"), True),
        (CloudFacts(provider="gcp", region="r", zone="a"), True),
        (CloudFacts(provider="aws", region="r"), False),
        (CloudFacts(provider="aws"), False),
        (CloudFacts(provider="gcp"), True),
        (CloudFacts(), False),
    ],
)
def test_a_host_moves_in_the_map_when_it_says_so_and_not_when_it_says_less(told: CloudFacts, moved: bool) -> None:
    old = place("h", CloudFacts(provider="aws", region="r", zone="a"))
    found = locations.moves([old, old], {"h": told})
    assert found == ((place("h", told),) if moved else ())


def test_an_osd_of_a_stranger_stays_where_it_is() -> None:
    assert locations.moves([place("h", CloudFacts())], {}) == ()


@given(CLOUDS, st.sampled_from(["a", "b", ""]))
def test_what_the_map_knows_is_what_it_was_told(cloud: CloudFacts, zone: str) -> None:
    told = CloudFacts(provider=cloud.provider, region=cloud.region, zone=zone)
    assert facts(place("h", told)) == told
    assert known(told, place("h", told)) == told
    assert known(None, place("h", told)) == told
    assert known(CloudFacts(), place("h", told)) == told


def test_a_map_from_before_zones_knows_none() -> None:
    assert facts(Place(provider="csp.aws", region="zone.aws.r", zone="", host="h")).zone == ""
