"""Which lines the picture of a CLADNet has, and what stands beside its hosts."""

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from cbstorage.model import ClusterState, Health, OsdState
from cladnet.model import (
    CladnetSpecification,
    CloudFacts,
    Endpoint,
    EndpointKind,
    HostState,
    NetworkingRule,
    RuleType,
)
from cladnet.network_hosts import HostView
from cladnet.paths import AlarmView, PathView
from cladnet.quality import AlarmKind, Window
from web import topology
from web.topology import Line, PathKind

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_host(name: str, region: str = "r", provider: str = "aws") -> HostView:
    return HostView(
        host=name, address=IPv4Address("10.0.0.2"), state=HostState.ACTIVE, public_address=None, present=True,
        cloud=CloudFacts(provider=provider, region=region),
    )  # fmt: skip


def a_path(source: str, destination: str, ms: float | None, loss: float | None = 0.0) -> PathView:
    return PathView(
        source=source, destination=destination, window=Window.TEN_MINUTES, sent=10, received=10, loss=loss, min_ms=ms,
        avg_ms=ms, p95_ms=ms, jitter_ms=0, age_s=1,
    )  # fmt: skip


def an_alarm(source: str, destination: str, kind: AlarmKind) -> AlarmView:
    return AlarmView(source=source, destination=destination, kind=kind, since=NOW, evidence="")


def test_both_directions_are_one_line_with_the_worse_figures() -> None:
    (line,) = topology.merged(
        [a_path("b", "a", 20.0, 0.1), a_path("a", "b", 30.0, None)],
        [an_alarm("a", "b", AlarmKind.SLOW), an_alarm("b", "a", AlarmKind.UNREACHABLE)], {"a", "b"},
    )  # fmt: skip
    assert line == Line(one="a", other="b", rtt_ms=30.0, loss=0.1, alarm=AlarmKind.UNREACHABLE)


def test_a_host_that_is_gone_has_no_line() -> None:
    assert topology.merged([a_path("a", "b", 1.0)], [an_alarm("b", "a", AlarmKind.LOSS)], {"a"}) == ()


def test_few_hosts_have_every_line_and_nobody_has_told_of_some() -> None:
    here = {name: a_host(name) for name in "abc"}
    lines = topology.chosen(topology.merged([a_path("a", "c", 5.0)], [], here), here)
    assert [(line.one, line.other, line.rtt_ms) for line in lines] == [
        ("a", "c", 5.0), ("a", "b", None), ("b", "c", None),
    ]  # fmt: skip


def test_many_hosts_keep_alarms_and_the_worst_of_every_two_regions() -> None:
    here = {f"h{n}": a_host(f"h{n}", region=f"r{n % 3}") for n in range(30)}
    lines = [Line(one=f"h{a}", other=f"h{b}", rtt_ms=100.0 + a) for a in range(29) for b in range(a + 1, 30)]
    near = Line(one="h0", other="h3", rtt_ms=0.1, alarm=AlarmKind.LOSS)
    kept = topology.chosen([near, *lines], here, most=12)
    assert len(kept) == 12
    assert near == kept[0]
    regions = {frozenset((here[line.one].cloud.region, here[line.other].cloud.region)) for line in kept}
    assert len(regions) == 6  # of three regions: each with itself, and every two


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40), st.floats(0, 500))), st.integers(1, 60))
def test_no_more_lines_than_a_picture_holds_and_the_worst_first(
    told: list[tuple[int, int, float]], most: int
) -> None:  # fmt: skip
    here = {f"h{n}": a_host(f"h{n}", region=f"r{n % 4}") for n in range(41)}
    lines = topology.merged([a_path(f"h{a}", f"h{b}", ms) for a, b, ms in told], [], here)
    kept = topology.chosen(lines, here, most=most)
    assert len(kept) == min(most, len(lines))
    assert list(kept) == sorted(kept, key=topology.badness)


def test_marks_stand_on_their_hosts() -> None:
    def osd(number: int, host: str, *, up: bool = True, on_cladnet: bool = True) -> OsdState:
        return OsdState(id=number, host=host, up=up, is_in=True, addresses=(), on_cladnet=on_cladnet)

    cluster = ClusterState(
        health=Health.OK, checks=(), quorum=("a",), monitors=("a", "b"), manager="", active_mds=(), standby_mds=(),
        osds=(osd(0, "a"), osd(1, "a", up=False), osd(2, "b", on_cladnet=False)), total_bytes=0, used_bytes=0,
        clean=None, observed_at=NOW,
    )  # fmt: skip
    a, b, c = topology.placed([a_host("a"), a_host("b"), a_host("c")], cluster)
    assert (a.monitor, b.monitor, c.monitor) == (True, False, None)
    assert [(mark.id, mark.good) for mark in (*a.osds, *b.osds)] == [(0, True), (1, False), (2, False)]
    assert c.osds == ()
    assert topology.placed([a_host("a")], None)[0].monitor is None


def test_the_kind_of_a_path_is_that_of_the_address_by_which_one_reaches_the_other() -> None:
    def a_rule(host: str, last: int, network: str = "vpc", public: bool = True) -> NetworkingRule:
        private = Endpoint(
            kind=EndpointKind.PRIVATE, address=IPv4Address(f"10.1.0.{last}"), port=51820,
            network=IPv4Network("10.1.0.0/24"),
        )  # fmt: skip
        outside = Endpoint(kind=EndpointKind.PUBLIC, address=IPv4Address(f"203.0.113.{last}"), port=51820)
        return NetworkingRule(
            host=host, address=IPv4Address(f"10.77.0.{last}"), public_key="k",
            endpoints=(outside, private) if public else (), cloud=CloudFacts(provider="ibm", network_id=network),
        )  # fmt: skip

    def specification(rule_type: RuleType) -> CladnetSpecification:
        return CladnetSpecification(
            id="g", name="g", cidr=IPv4Network("10.77.0.0/24"), rule_type=rule_type, created_at=NOW
        )

    rules = {
        "a": a_rule("a", 1),
        "b": a_rule("b", 2),
        "c": a_rule("c", 3, "other"),
        "d": a_rule("d", 4, "x", public=False),
    }
    cost, basic = specification(RuleType.COST_PRIORITIZED), specification(RuleType.BASIC)
    assert topology.kind(rules, Line(one="a", other="b"), cost) is PathKind.PRIVATE
    assert topology.kind(rules, Line(one="a", other="b"), basic) is PathKind.PUBLIC
    assert topology.kind(rules, Line(one="a", other="c"), cost) is PathKind.PUBLIC
    assert topology.kind(rules, Line(one="a", other="d"), cost) is PathKind.PUBLIC, "from d to a"
    assert topology.kind({"d": rules["d"], "e": rules["d"]}, Line(one="d", other="e"), cost) is PathKind.UNKNOWN
    assert topology.kind(rules, Line(one="a", other="gone"), cost) is PathKind.UNKNOWN
