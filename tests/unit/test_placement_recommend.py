"""What is recommended: model, members, verdicts, failures, and the errors when nothing can be."""

import contextlib
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cladnet.model import CloudFacts
from cladnet.placement.areas import locate
from cladnet.placement.model import Candidate, Kind, Model, Outcome, Recommendation, Rtt, Site, Survive
from cladnet.placement.recommend import recommend
from cladnet.placement.tree import PROMISED, questions, shape
from larva.errors import InvalidInput

SEOUL = {"aws": "ap-northeast-2", "gcp": "asia-northeast3", "azure": "koreacentral"}
TOKYO = {"aws": "ap-northeast-1", "gcp": "asia-northeast1", "azure": "japaneast"}
OSAKA = {"aws": "ap-northeast-3", "gcp": "asia-northeast2", "azure": "japanwest"}


def candidate(host: str, provider: str, region: str, zone: str = "a") -> Candidate:
    return Candidate(host=host, cloud=CloudFacts(provider=provider, region=region, zone=zone))


def everywhere() -> list[Candidate]:
    """Three providers in three cities, three zones each."""
    return [
        candidate(f"{csp}-{city}-{zone}", csp, regions[csp], zone)
        for city, regions in (("seoul", SEOUL), ("tokyo", TOKYO), ("osaka", OSAKA))
        for csp in regions
        for zone in "abc"
    ]


def by_distance(candidates: list[Candidate], ms: dict[str, float]) -> list[Rtt]:
    """Times for every pair: between cities, between providers, between zones."""

    def time(one: Candidate, other: Candidate) -> float:
        cities = {name.host.split("-")[1] for name in (one, other)}
        if len(cities) == 2:
            return ms["-".join(sorted(cities))]
        return ms["csp"] if one.cloud.provider != other.cloud.provider else ms["zone"]

    return [
        Rtt(between=(one.host, other.host), ms=time(one, other))
        for one in candidates
        for other in candidates
        if one.host < other.host
    ]


TIMES = {"osaka-tokyo": 8.0, "osaka-seoul": 28.0, "seoul-tokyo": 34.0, "csp": 3.0, "zone": 0.6}


@pytest.mark.parametrize(
    ("survive", "model", "write_ms"),
    [
        (Survive.HOST, Model.MULTI_ZONE, 0.6),
        (Survive.ZONE, Model.MULTI_ZONE, 0.6),
        (Survive.REGION, Model.MULTI_REGION, 8.0),
        (Survive.CSP, Model.MULTI_CSP, 3.0),
        (Survive.CSP_REGION, Model.MULTI_CSP_MULTI_REGION, 8.0),
    ],
)
def test_each_policy_leads_to_its_model(survive: Survive, model: Model, write_ms: float) -> None:
    hosts = everywhere()
    found = recommend(hosts, by_distance(hosts, TIMES), nodes=3, survive=survive)
    assert (found.model, found.write_ms) == (model, write_ms)
    assert found.estimated == ()
    assert [verdict.outcome for verdict in found.verdicts].count(Outcome.CHOSEN) == 1


def test_one_zone_is_enough_for_tests() -> None:
    hosts = [candidate(f"h{number}", "aws", SEOUL["aws"]) for number in range(3)]
    found = recommend(hosts, [], nodes=3, survive=Survive.HOST)
    assert found.model == Model.SINGLE_ZONE
    assert len(found.estimated) == 3


def test_the_faster_model_wins_over_the_simpler_one() -> None:
    """Two CSPs that are nearer to each other than one CSP's regions are."""
    hosts = [
        candidate("aws-seoul", "aws", SEOUL["aws"]),
        candidate("aws-tokyo", "aws", TOKYO["aws"]),
        candidate("aws-osaka", "aws", OSAKA["aws"]),
        candidate("gcp-osaka", "gcp", OSAKA["gcp"]),
    ]
    times = {("aws-osaka", "aws-tokyo"): 9.0, ("aws-tokyo", "gcp-osaka"): 7.0}
    rtts = [
        Rtt(between=(one.host, other.host), ms=times.get((one.host, other.host), 30.0))
        for one in hosts
        for other in hosts
        if one.host < other.host
    ]
    found = recommend(hosts, rtts, nodes=3, survive=Survive.REGION)
    assert found.model == Model.MULTI_CSP_MULTI_REGION
    assert found.write_ms == 7.0
    slower = found.verdicts[Model.MULTI_REGION - 1]
    assert (slower.outcome, slower.write_ms) == (Outcome.SLOWER, 9.0)


def test_a_failure_leaves_what_it_says() -> None:
    hosts = everywhere()
    found = recommend(hosts, by_distance(hosts, TIMES), nodes=5, survive=Survive.CSP_REGION)
    named = {(failure.kind, failure.name): failure for failure in found.failures}
    for failure in found.failures:
        assert failure.left == 5 - len(failure.lost)
        assert failure.survived == (failure.left >= 3) == (failure.write_ms is not None)
        assert failure.survived or not failure.promised
    assert {kind for kind, _ in named} == set(Kind)
    assert found.leader == found.members[0].site.host
    assert found.worst_write_ms == max(member.write_ms for member in found.members)


def test_measurements_of_hosts_that_are_no_candidates_are_no_trouble() -> None:
    """A host that is away still has its row in the matrix, beside regions that no table knows."""
    hosts = [candidate(f"h{number}", "aws", region) for number, region in enumerate(("here", "there", SEOUL["aws"]))]
    rtts = [Rtt(between=pair, ms=1.0) for pair in (("away", "h0"), ("away", "gone"), ("far", "gone"), ("h2", "far"))]
    found = recommend(hosts, rtts, nodes=3, survive=Survive.HOST)
    assert {member.site.host: member.site.area for member in found.members} == {
        "h0": "seoul", "h1": "aws/there", "h2": "seoul"
    }  # fmt: skip


def test_an_even_number_is_warned_of() -> None:
    hosts = everywhere()
    assert "survive the loss of 1" in recommend(hosts, [], nodes=4, survive=Survive.ZONE).warnings[0]
    assert recommend(hosts, [], nodes=5, survive=Survive.ZONE).warnings == ()


@pytest.mark.parametrize(
    ("hosts", "nodes", "survive", "says"),
    [
        (everywhere()[:2], 3, Survive.HOST, "3 members need 3 hosts, found 2"),
        ([], 3, Survive.HOST, "found 0"),
        (everywhere(), 1, Survive.ZONE, "1 members are not possible"),
        (everywhere(), 9, Survive.ZONE, "9 members are not possible"),
        (
            [host for host in everywhere() if host.cloud.provider != "azure"],
            3, Survive.CSP, "needs 3 CSPs, found 2 (aws, gcp)",
        ),
        (everywhere()[:9], 3, Survive.REGION, "needs 3 regions in different areas, found 1 (seoul)"),
        (
            [everywhere()[number] for number in (0, 1, 2, 3, 6)], 5, Survive.CSP,
            "needs 5 hosts with at most 2 in one CSP, found 4 such (aws has 3, azure has 1, gcp has 1)",
        ),
        (
            # aws everywhere, gcp and azure only in Seoul: CSPs and regions enough, but not at once
            [*everywhere()[:9], *(host for host in everywhere()[9:] if host.cloud.provider == "aws")],
            3, Survive.CSP_REGION, "no more than 2 hosts keep to at most 1 in one CSP and 1 in one region at once",
        ),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(hosts: list[Candidate], nodes: int, survive: Survive, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        recommend(hosts, [], nodes=nodes, survive=survive)
    assert says in caught.value.message
    assert caught.value.hint


def test_a_model_that_cannot_be_filled_says_what_comes_nearest() -> None:
    hosts = [candidate(f"{csp}-{zone}", csp, SEOUL[csp], zone) for csp in SEOUL for zone in "ab"]
    found = recommend(hosts, [], nodes=3, survive=Survive.ZONE)
    verdict = found.verdicts[Model.MULTI_ZONE - 1]
    assert verdict.outcome == Outcome.IMPOSSIBLE
    assert "comes nearest: needs 3 zones, found 2 (" in verdict.reason


def test_hosts_that_hide_what_counts_are_left_out() -> None:
    hidden = candidate("hidden", "aws", SEOUL["aws"], "")
    hosts = [candidate(f"h{zone}", "aws", SEOUL["aws"], zone) for zone in "abc"]
    found = recommend([*hosts, hidden], [], nodes=3, survive=Survive.ZONE)
    assert found.warnings == ("left out, since they do not say where they are: hidden",)
    assert recommend([*hosts, hidden], [], nodes=3, survive=Survive.HOST).warnings == ()
    with pytest.raises(InvalidInput, match="and 1 that do not say where they are"):
        recommend([*hosts[:2], hidden], [], nodes=3, survive=Survive.ZONE)


def test_the_path_asks_only_what_matters() -> None:
    assert [answer.yes for answer in questions(Survive.CSP_REGION)] == [True, True]
    assert [answer.yes for answer in questions(Survive.ZONE)] == [False, False, True]
    assert [answer.yes for answer in questions(Survive.HOST)] == [False, False, False]


def test_shapes() -> None:
    def site(csp: str, region: str, zone: str, area: str) -> Site:
        return Site(host="", csp=csp, region=f"{csp}/{region}", zone=f"{csp}/{region}/{zone}", area=area)

    first = site("aws", "r1", "a", "seoul")
    assert shape([first, first]) == Model.SINGLE_ZONE
    assert shape([first, site("aws", "r1", "b", "seoul")]) == Model.MULTI_ZONE
    assert shape([first, site("aws", "r2", "a", "tokyo")]) == Model.MULTI_REGION
    assert shape([first, site("gcp", "r1", "a", "seoul")]) == Model.MULTI_CSP
    assert shape([first, site("gcp", "r1", "a", "tokyo")]) == Model.MULTI_CSP_MULTI_REGION


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[Candidate], list[Rtt]]:
    cities = [SEOUL, TOKYO, OSAKA, {"aws": "us-east-1", "gcp": "us-east4", "azure": "eastus"}]
    hosts = [
        candidate(f"h{number}", csp := draw(st.sampled_from(sorted(SEOUL))), draw(st.sampled_from(cities))[csp],
                  draw(st.sampled_from("ab")))
        for number in range(draw(st.integers(3, 12)))
    ]  # fmt: skip
    names = st.sampled_from([host.host for host in hosts])
    pairs = draw(st.lists(st.tuples(names, names, st.floats(0, 300) | st.none()), max_size=30))
    return hosts, [Rtt(between=(one, other), ms=ms) for one, other, ms in pairs if one != other]


def can_be_kept(hosts: list[Candidate], nodes: int, survive: Survive) -> bool:
    """Whether any set outlives every promised failure, by trying each."""
    sites = locate(hosts, [])
    return any(
        all(
            nodes - names.count(name) > nodes / 2
            for kind in PROMISED[survive]
            for names in [[site.domain(kind) for site in members]]
            for name in names
        )
        for members in combinations(sites, nodes)
    )


@given(cases(), st.sampled_from([3, 4, 5, 7]), st.sampled_from(list(Survive)))
@settings(max_examples=300)
def test_what_is_promised_is_kept(case: tuple[list[Candidate], list[Rtt]], nodes: int, survive: Survive) -> None:
    hosts, rtts = case
    found: Recommendation | None = None
    with contextlib.suppress(InvalidInput):
        found = recommend(hosts, rtts, nodes=nodes, survive=survive)
    assert (found is not None) == can_be_kept(hosts, nodes, survive)
    if found is None:
        return
    assert len({member.site.host for member in found.members}) == nodes
    assert shape([member.site for member in found.members]) == found.model
    for failure in found.failures:
        assert failure.promised == (failure.kind in PROMISED[survive])
        assert failure.survived or not failure.promised
    assert found.write_ms == found.members[0].write_ms <= found.worst_write_ms
    others = [verdict.write_ms for verdict in found.verdicts if verdict.write_ms is not None]
    assert found.write_ms == min(others)
    again = recommend(list(reversed(hosts)), list(reversed(rtts)), nodes=nodes, survive=survive)
    assert again == found
