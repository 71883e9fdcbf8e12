"""A volume's promise: what it needs, how copies lie, and that nothing it names takes two of them."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbstorage.ceph import crush_map
from cbstorage.ceph.answers import CrushRule, RuleStep
from cbstorage.ceph.crush import Domain
from cbstorage.ceph.layout import Layout, Segment, Survey, holds, lay, shortage, survey
from cbstorage.model import FILE_SYSTEM
from cbstorage.promise import Promise
from cladnet.model import CloudFacts
from cladnet.placement.model import Rtt, Survive
from larva import codec
from larva.errors import InvalidInput, MalformedData

FACTS = st.builds(
    CloudFacts,
    provider=st.sampled_from(["aws", "gcp", "azure", "nhn", ""]),
    region=st.sampled_from(["ap-northeast-2", "asia-northeast3", "koreacentral", "eu-west-2", "here", ""]),
    zone=st.sampled_from(["a", "b", "c", ""]),
)
FLEETS = st.dictionaries(st.from_regex(r"[a-z][a-z0-9]{0,3}", fullmatch=True), FACTS, max_size=9)
HOMES = st.sampled_from(["", "aws", "gcp", "azure/koreacentral", "nhn/here"])
PROMISES = st.builds(Promise, survive=st.sampled_from(Survive), home=HOMES)
TIMES = st.lists(st.floats(0.1, 300), min_size=45, max_size=45)


def cloud(text: str) -> CloudFacts:
    provider, region, zone = (*text.split("/"), "", "")[:3]
    return CloudFacts(provider=provider, region=region, zone=zone)


def fleet(rtts: dict[tuple[str, str], float] | None = None, **hosts: str) -> Survey:
    measured = [Rtt(between=pair, ms=ms) for pair, ms in (rtts or {}).items()]
    return survey({host: cloud(text) for host, text in hosts.items()}, measured)


THREE_CSPS = fleet(a="aws/sydney", b="gcp/london", c="azure/tokyo")


def test_three_csps_keep_the_widest_promise_by_the_tree_alone() -> None:
    layout = lay(Promise(survive=Survive.CSP_REGION), THREE_CSPS)
    assert layout.segments == (Segment(bucket="default", domain=Domain.REGION, copies=3),)
    assert layout.rule == "spread-region"


def test_what_is_missing_is_said() -> None:
    two = fleet(a="aws/sydney/a", b="aws/london/a", c="azure/tokyo")
    with pytest.raises(InvalidInput, match=r"3 CSPs with OSDs are needed, there are 2 \(aws, azure\)"):
        lay(Promise(survive=Survive.CSP), two)
    assert "3 zones" in shortage(Promise(survive=Survive.ZONE), two)
    assert not shortage(Promise(survive=Survive.REGION), two)
    assert "in 'gcp'" in shortage(Promise(survive=Survive.REGION, home="gcp"), two)


def test_csps_of_one_city_do_not_outlive_it() -> None:
    seoul = fleet(a="aws/ap-northeast-2", b="gcp/asia-northeast3", c="azure/koreacentral")
    assert not shortage(Promise(survive=Survive.CSP), seoul)
    assert "different areas" in shortage(Promise(survive=Survive.CSP_REGION), seoul)


def test_where_crush_knows_no_area_the_regions_are_named() -> None:
    there = fleet(a="aws/ap-northeast-2", b="gcp/asia-northeast3", c="gcp/london", d="azure/tokyo")
    promise = Promise(survive=Survive.CSP_REGION)
    layout = lay(promise, there)
    assert not layout.is_plain
    assert holds(layout, promise, there)
    buckets = {one.bucket for one in layout.segments}
    assert not {"zone.aws.ap-northeast-2", "zone.gcp.asia-northeast3"} <= buckets


def test_home_comes_first_and_the_nearest_follow() -> None:
    far = {("a", "c"): 90.0, ("a", "d"): 20.0, ("a", "b"): 10.0, ("b", "c"): 1.0, ("b", "d"): 1.0, ("c", "d"): 1.0}
    there = fleet(far, a="aws/sydney", b="gcp/london", c="azure/tokyo", d="nhn/pangyo")
    layout = lay(Promise(survive=Survive.CSP, home="aws"), there)
    assert [one.bucket for one in layout.segments] == ["zone.aws.sydney", "zone.gcp.london", "zone.nhn.pangyo"]
    assert layout.rule != lay(Promise(survive=Survive.CSP, home="gcp"), there).rule


def test_a_narrow_promise_stays_at_home() -> None:
    near = dict.fromkeys((("a1", "a2"), ("a1", "a3"), ("a2", "a3")), 1.0)
    there = fleet(near, a1="aws/s/a", a2="aws/s/b", a3="aws/s/c", b="gcp/l/a")
    assert lay(Promise(survive=Survive.HOST, home="aws/s"), there) == Layout(
        segments=(Segment(bucket="zone.aws.s", domain=Domain.HOST, copies=3),)
    )
    assert lay(Promise(survive=Survive.ZONE, home="aws"), there).segments[0].domain == Domain.DATACENTER


def test_a_host_that_names_no_zone_rules_its_region_out() -> None:
    there = fleet(a="aws/s/a", b="aws/s/b", c="aws/s/c", d="aws/s")
    assert shortage(Promise(survive=Survive.ZONE), there)
    assert not shortage(Promise(survive=Survive.HOST), there)


def test_a_layout_without_its_region_holds_no_more() -> None:
    promise = Promise(survive=Survive.CSP, home="aws")
    rest = {"a": "aws/s", "b": "gcp/l", "c": "azure/t", "d": "nhn/p"}
    there = fleet(**rest)
    layout = lay(promise, there)
    names = {one.bucket.split(".")[1] for one in layout.segments}
    assert holds(layout, promise, there)
    for host, text in rest.items():
        without = fleet(**{one: words for one, words in rest.items() if one != host})
        assert holds(layout, promise, without) == (text.split("/")[0] not in names)


@given(FLEETS, PROMISES, TIMES)
def test_no_single_failure_takes_two_copies(hosts: dict[str, CloudFacts], promise: Promise, times: list[float]) -> None:
    pairs = [(one, other) for one in sorted(hosts) for other in sorted(hosts) if one < other]
    there = survey(hosts, [Rtt(between=pair, ms=ms) for pair, ms in zip(pairs, times, strict=False)])
    missing = shortage(promise, there)
    if missing:
        with pytest.raises(InvalidInput):
            lay(promise, there)
        return
    layout = lay(promise, there)
    assert holds(layout, promise, there)
    assert layout == lay(promise, there)
    if layout.is_plain:
        assert not promise.home
        kept_apart = {
            Domain.HOST: "host", Domain.DATACENTER: "zone", Domain.ZONE: "region", Domain.REGION: "provider"
        }[layout.segments[0].domain]  # fmt: skip
        for one_ground, other_ground in product(there.ground, repeat=2):
            if getattr(one_ground.place, kept_apart) != getattr(other_ground.place, kept_apart):
                both = one_ground.labels(promise.survive), other_ground.labels(promise.survive)
                assert both[0]
                assert all(left != right for left, right in zip(*both, strict=True))
        return
    inside = [[one for one in there.ground if one.place.region == segment.bucket] for segment in layout.segments]
    if promise.home:
        assert all(one.is_in(promise.home) for one in inside[0])
    for one, other in product(range(len(inside)), repeat=2):
        for mine, theirs in product(inside[one], inside[other]):
            labels = mine.labels(promise.survive), theirs.labels(promise.survive)
            if one != other:
                assert all(left != right for left, right in zip(*labels, strict=True))


def test_a_layout_is_a_rule_of_the_map_and_is_read_back() -> None:
    layout = lay(Promise(survive=Survive.CSP, home="gcp"), THREE_CSPS)
    text = crush_map.with_rule("# types\n\n# rules\nrule spread-host {\n\tid 0\n}\n# end crush map\n", layout)
    assert f"rule {layout.rule} {{\n\tid 1\n\ttype replicated\n\tstep take zone.gcp.london\n" in text
    assert text.index(layout.rule) < text.index("spread-host")
    steps = tuple(
        step
        for one in layout.segments
        for step in (
            RuleStep(op="take", item_name=one.bucket),
            RuleStep(op="chooseleaf_firstn", num=one.copies, type=one.domain),
            RuleStep(op="emit"),
        )
    )
    assert crush_map.layout_of(CrushRule(rule_id=1, rule_name=layout.rule, steps=steps)) == layout
    assert crush_map.layout_of(CrushRule(rule_id=1, rule_name="odd", steps=steps[1:])) is None


def test_a_spread_rule_is_a_layout() -> None:
    steps = (
        RuleStep(op="take", item_name="default"),
        RuleStep(op="chooseleaf_firstn", num=0, type="region"),
        RuleStep(op="emit"),
    )
    found = crush_map.layout_of(CrushRule(rule_id=1, rule_name="spread-region", steps=steps))
    assert found == lay(Promise(survive=Survive.CSP), THREE_CSPS)


def test_no_odd_bucket_gets_into_the_map() -> None:
    odd = Layout(segments=(Segment(bucket="a\nstep emit", domain=Domain.HOST, copies=3),))
    with pytest.raises(MalformedData):
        crush_map.with_rule("\n# rules\n", odd)
    with pytest.raises(MalformedData):
        crush_map.with_rule("no rules", lay(Promise(survive=Survive.CSP), THREE_CSPS))


@given(PROMISES)
def test_a_pool_s_name_is_borne_unquoted(promise: Promise) -> None:
    label = f"{FILE_SYSTEM}.data.{promise.label}"
    assert all(letter.isalnum() or letter in "._-" for letter in label)


@pytest.mark.parametrize("home", ["a b", "a/b/c", "/a", "a.b", "a" * 61, "a\n"])
def test_a_home_that_could_be_anything_else_is_refused(home: str) -> None:
    with pytest.raises(MalformedData):
        codec.convert({"survive": "csp", "home": home}, Promise, source="test")
