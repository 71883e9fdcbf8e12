"""Where monitors run: what is asked for is kept or refused, and nobody loses by not asking."""

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbstorage.wanted import assignment, monitor_plan
from cladnet.model import CloudFacts, HostState, HostStatus, PairLatency, Role
from cladnet.network_hosts import HostView
from cladnet.placement.assess import assess
from cladnet.placement.model import Candidate, Kind, Model, Rtt, Survive
from cladnet.placement.recommend import recommend
from cladnet.placement.tree import PROMISED
from larva.errors import InvalidInput

SEOUL = {"aws": "ap-northeast-2", "gcp": "asia-northeast3", "azure": "koreacentral"}
TOKYO = {"aws": "ap-northeast-1", "gcp": "asia-northeast1", "azure": "japaneast"}


def view(
    host: str, cloud: CloudFacts, *, present: bool = True, roles: tuple[Role, ...] = (Role.STORAGE,), last: int = 1
) -> HostView:
    return HostView(
        host=host, address=IPv4Address(f"10.0.0.{last}"), state=HostState.ACTIVE, public_address=None, cloud=cloud,
        roles=roles, present=present,
    )  # fmt: skip


def at(host: str, cities: dict[str, str], zone: str = "a", *, present: bool = True) -> HostView:
    provider = host.split("-")[0]
    return view(host, CloudFacts(provider=provider, region=cities[provider], zone=zone), present=present)


def measured(ms: dict[tuple[str, str], float]) -> list[HostStatus]:
    return [
        HostStatus(
            host=one, test_id="t", measured_at=datetime.now(UTC), interface="cbnet0", datapath="wireguard",
            latencies=(
                PairLatency(
                    destination=other, destination_address=IPv4Address("10.0.0.9"), sent=3, received=3, avg_ms=value
                ),
            ),
        )
        for (one, other), value in ms.items()
    ]  # fmt: skip


CLOUDS = st.builds(
    CloudFacts,
    provider=st.sampled_from(["aws", "gcp", "azure", "nhn", "kt", ""]),
    region=st.sampled_from(["ap-northeast-1", "ap-northeast-2", "asia-northeast1", "r1", ""]),
    zone=st.sampled_from(["a", "b", ""]),
)
HOSTS = st.lists(
    st.builds(
        view, st.just("h"), CLOUDS, present=st.booleans(), roles=st.sampled_from([(Role.STORAGE,), (Role.MEMBER,)])
    ),
    min_size=1, max_size=9,
).map(lambda views: [replace(each, host=f"h{number}") for number, each in enumerate(views)])  # fmt: skip


@st.composite
def sites(draw: st.DrawFn) -> tuple[list[HostView], list[HostStatus]]:
    """Hosts of which one at least can run a monitor, and some rows of a matrix."""
    views = draw(HOSTS.filter(monitor_plan.able))
    pairs = [(one.host, other.host) for one in views for other in views if one.host < other.host]
    some = draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    return views, measured({pair: draw(st.floats(0.1, 300)) for pair in some})


@given(sites())
def test_the_choice_outlives_all_that_the_spread_outlives(found: tuple[list[HostView], list[HostStatus]]) -> None:
    views, rows = found
    able = monitor_plan.able(views)
    spread = assignment.monitors([assignment.Candidate(host=each.host, cloud=each.cloud) for each in able])
    rtts = [Rtt(between=(row.host, cell.destination), ms=cell.avg_ms) for row in rows for cell in row.latencies]
    before = assess([Candidate(host=each.host, cloud=each.cloud) for each in able], rtts, spread)
    plan = monitor_plan.choose(views, rows)
    assert len(plan.mon_hosts) == len(set(plan.mon_hosts)) == len(spread)
    assert set(plan.mon_hosts) <= {each.host for each in able}
    assert len(plan.mon_hosts) % 2 == 1
    assert plan.assessment.outlives() >= before.outlives()
    assert {member.site.host for member in plan.assessment.members} == set(plan.mon_hosts)
    if len(spread) >= 3 and Kind.CSP not in plan.assessment.outlives():
        assert any("the loss of a cloud will end" in warning for warning in plan.warnings)


@given(sites(), st.sampled_from(Survive), st.sampled_from([None, 1, 2, 3, 5, 7, 9, 0, -1]))
def test_what_is_asked_for_is_kept_or_refused(
    found: tuple[list[HostView], list[HostStatus]], survive: Survive, count: int | None
) -> None:
    views, rows = found
    try:
        plan = monitor_plan.choose(views, rows, count=count, survive=survive)
    except InvalidInput:
        return
    assert len(plan.mon_hosts) == count or (count is None and len(plan.mon_hosts) in (3, 5))
    assert plan.assessment.outlives() >= set(PROMISED[survive])
    assert all(failure.survived for failure in plan.assessment.failures if failure.promised)


@given(sites())
def test_the_account_agrees_with_the_recommendation(found: tuple[list[HostView], list[HostStatus]]) -> None:
    views, rows = found
    hosts = [Candidate(host=each.host, cloud=each.cloud) for each in views]
    rtts = [Rtt(between=(row.host, cell.destination), ms=cell.avg_ms) for row in rows for cell in row.latencies]
    if len(hosts) < 3:
        return
    recommended = recommend(hosts, rtts, nodes=3, survive=Survive.HOST)
    told = assess(hosts, rtts, [member.site.host for member in recommended.members], Survive.HOST)
    assert (told.model, told.write_ms, told.worst_write_ms) == (
        recommended.model, recommended.write_ms, recommended.worst_write_ms
    )  # fmt: skip
    survived = {(each.kind, each.name, frozenset(each.lost), each.survived, each.write_ms) for each in told.failures}
    assert survived == {
        (each.kind, each.name, frozenset(each.lost), each.survived, each.write_ms) for each in recommended.failures
    }


def test_the_matrix_decides_between_hosts_that_outlive_the_same() -> None:
    """Three clouds in Seoul and Tokyo: of Azure's two, the one that is near."""
    views = [at("aws-1", SEOUL), at("gcp-1", TOKYO), at("azure-1", SEOUL), at("azure-2", TOKYO)]
    far = {("aws-1", "gcp-1"): 34.0, ("aws-1", "azure-1"): 2.0, ("gcp-1", "azure-1"): 35.0, ("aws-1", "azure-2"): 90.0}
    plan = monitor_plan.choose(views, measured({**far, ("gcp-1", "azure-2"): 91.0, ("azure-1", "azure-2"): 92.0}))
    assert plan.mon_hosts == ("aws-1", "azure-1", "gcp-1")
    assert (plan.assessment.model, plan.assessment.write_ms) == (Model.MULTI_CSP_MULTI_REGION, 2.0)
    assert not plan.assessment.estimated
    assert Kind.CSP in plan.assessment.outlives()


def test_one_cloud_is_warned_of() -> None:
    views = [at(f"aws-{zone}", SEOUL, zone) for zone in "abc"] + [at("aws-d", TOKYO)]
    plan = monitor_plan.choose(views, [])
    assert plan.assessment.outlives() >= {Kind.HOST, Kind.ZONE}
    assert any("the loss of a cloud will end the storage: no 3 of 4 hosts" in each for each in plan.warnings)
    with pytest.raises(InvalidInput, match="needs 3 CSPs, found 1"):
        monitor_plan.choose(views, [], survive=Survive.CSP)


def test_a_host_that_is_away_is_passed_over_unless_that_costs_a_cloud() -> None:
    views = [at("aws-1", SEOUL), at("aws-2", SEOUL), at("gcp-1", SEOUL), at("azure-1", SEOUL)]
    gone = [at("aws-1", SEOUL, present=False), *views[1:]]
    assert monitor_plan.choose(gone, []).mon_hosts == ("aws-2", "azure-1", "gcp-1")
    gone = [*views[:3], at("azure-1", SEOUL, present=False)]
    plan = monitor_plan.choose(gone, [])
    assert plan.mon_hosts == ("aws-1", "azure-1", "gcp-1")
    assert any("not up now: azure-1" in warning for warning in plan.warnings)
    assert not any("left out" in warning for warning in plan.warnings)


def test_five_clouds_have_five_and_two_hosts_have_one() -> None:
    five = [view(f"{csp}-1", CloudFacts(provider=csp, region="r")) for csp in ("aws", "gcp", "azure", "nhn", "kt")]
    assert len(monitor_plan.choose(five, []).mon_hosts) == 5
    assert len(monitor_plan.choose(five, [], count=3).mon_hosts) == 3
    one = monitor_plan.choose(five[:2], [])
    assert one.mon_hosts == ("aws-1",)
    assert not one.assessment.outlives()
    assert one.warnings == ("the loss of a cloud will end the storage: aws",)


def test_named_monitors_are_accounted_for() -> None:
    views = [at(f"aws-{zone}", SEOUL, zone) for zone in "abc"]
    plan = monitor_plan.named(("aws-a", "aws-b", "aws-c"), views, [])
    assert plan.assessment.outlives() == {Kind.HOST, Kind.ZONE}
    assert plan.warnings[-1] == "the loss of a cloud will end the storage: aws"
    with pytest.raises(InvalidInput, match="not all of"):
        monitor_plan.named(("aws-a", "nobody"), views, [])
