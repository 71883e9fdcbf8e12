"""What the pages say of hosts, paths and storage, from values to values."""

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from flask import Flask

from cbstorage.model import ClusterSpecification, ClusterState, Health, HealthCheck, HostDaemons, OsdState
from cbstorage.wanted import health_words
from cbstorage.wanted.cluster import ClusterView
from cbstorage.wanted.osds import OsdView
from cladnet.alarm_summary import Summary
from cladnet.model import (
    CladnetSpecification,
    CloudFacts,
    Endpoint,
    EndpointKind,
    HostNetworkInformation,
    HostState,
    NetworkingRule,
    NetworkInterface,
    RuleType,
)
from cladnet.network_hosts import HostView
from cladnet.quality import AlarmKind
from larva.checks import Severity
from web import health, host_page, overview, storage_page
from web.host_page import Nat, Reason
from web.overview import Part
from web.storage_page import Duty
from web.text import COOKIE
from web.topology import Line
from web.words import korean_health

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SHOP = CladnetSpecification(id="shop-1", name="shop", cidr=IPv4Network("10.77.0.0/24"), created_at=NOW)


def a_host(name: str, state: HostState | None = HostState.ACTIVE, problem: str = "") -> HostView:
    return HostView(
        host=name, address=IPv4Address("10.77.0.2"), state=state, public_address=None, present=True, problem=problem,
        cloud=CloudFacts(provider="aws", region="eu-west-2"),
    )  # fmt: skip


def a_cluster(*checks: HealthCheck, osds: tuple[OsdState, ...] = ()) -> ClusterView:
    state = ClusterState(
        health=Health.WARNING if checks else Health.OK, checks=checks, quorum=("a", "b"), monitors=("a", "b", "c"),
        manager="a", active_mds=("mds-b",), standby_mds=("mds-a",), osds=osds, total_bytes=100, used_bytes=40,
        clean=True, observed_at=NOW, room_bytes=30,
    )  # fmt: skip
    specification = ClusterSpecification(
        group="shop-1", fsid="6f1c1d5e-6e5b-4a0e-8f2c-3f4f6a9b1c2d", cidr=SHOP.cidr, mon_hosts=("a", "b", "c"),
        mgr_hosts=("a", "b"), mds_hosts=("a", "b"), created_at=NOW,
    )  # fmt: skip
    return ClusterView(
        specification=specification, state=state, hosts=(HostDaemons(host="c", address=None, problem="no disk"),)
    )


def a_part(*hosts: HostView, alarms: tuple[Summary, ...] = (), storage: ClusterView | None = None, **more) -> Part:
    return Part(cladnet=SHOP, hosts=hosts, alarms=alarms, lines=more.get("lines", ()), storage=storage, volumes=())


def an_alarm(kind: AlarmKind, sources: tuple[str, ...]) -> Summary:
    return Summary(
        kind=kind, destination="gcp (2 hosts)", hosts=("g",), sources=sources, since=NOW, alarms=1, evidence="e"
    )


def test_where_all_is_well_nothing_is_found() -> None:
    found = overview.compose([a_part(a_host("a"), a_host("b"), storage=None)])
    assert (found.healthy, found.findings, found.hosts) == (True, (), {"active": 2})


def test_the_worst_is_said_first_and_each_with_a_remedy() -> None:
    found = overview.compose([
        a_part(
            a_host("a", HostState.UNREACHABLE), a_host("b", None), a_host("c", problem="its network overlaps"),
            alarms=(an_alarm(AlarmKind.SLOW, ("a",)), an_alarm(AlarmKind.UNREACHABLE, ("a", "b"))),
            storage=a_cluster(HealthCheck(code="OSD_DOWN", health=Health.WARNING, summary="1 osds down")),
        )
    ])  # fmt: skip
    assert not found.healthy
    severities = [each.severity for each in found.findings]
    assert severities == [Severity.PROBLEM] * 3 + [Severity.WARNING] * 4
    said = " | ".join(each.what for each in found.findings)
    for words in ("c cannot join: its network overlaps", "silent: a", "waiting for a rule: b", "not reached from a, b"):
        assert words in said
    assert health_words.TABLE["OSD_DOWN"].cause in said
    assert all(each.do for each in found.findings if each.what != "no disk")
    assert found.hosts == {"unreachable": 1, "waiting": 1, "problem": 1}
    assert [each.room_bytes for each in found.capacity] == [30]


def test_the_worst_paths_are_of_every_cladnet() -> None:
    lines = [(Line(one="a", other="b", rtt_ms=float(n)),) for n in range(20)]
    found = overview.compose([a_part(lines=each) for each in lines])
    assert [each.line.rtt_ms for each in found.worst] == [float(n) for n in range(19, 19 - overview.WORST_PATHS, -1)]


def test_many_names_are_counted() -> None:
    assert overview.listed(f"h{n}" for n in range(6)) == "h0, h1, h2, h3, h4, h5"
    assert overview.listed(f"h{n}" for n in range(9)) == "h0, h1, h2, h3, h4, h5 and 3 more"


def information(public: str | None, *own: str) -> HostNetworkInformation:
    interface = NetworkInterface(name="eth0", mtu=1500, addresses=tuple(map(IPv4Interface, own)))
    return HostNetworkInformation(
        host="a", public_address=IPv4Address(public) if public else None, interfaces=(interface,), listen_port=51820,
        public_key="", seal_key="",
    )  # fmt: skip


def test_translation_is_seen_by_whose_the_public_address_is() -> None:
    assert host_page.nat_of(information("203.0.113.9", "203.0.113.9/24")) is Nat.NONE
    assert host_page.nat_of(information("203.0.113.9", "10.0.0.4/24")) is Nat.TRANSLATED
    assert host_page.nat_of(information(None, "10.0.0.4/24")) is Nat.UNKNOWN
    assert host_page.nat_of(None) is Nat.UNKNOWN


def a_rule(host: str, last: int, *, network: str = "vpc", public: bool = True, private: bool = True) -> NetworkingRule:
    inside = Endpoint(
        kind=EndpointKind.PRIVATE, address=IPv4Address(f"10.1.0.{last}"), port=51820, network=IPv4Network("10.1.0.0/24")
    )
    outside = Endpoint(kind=EndpointKind.PUBLIC, address=IPv4Address(f"203.0.113.{last}"), port=51820)
    return NetworkingRule(
        host=host, address=IPv4Address(f"10.77.0.{last}"), public_key="k",
        endpoints=(outside,) * public + (inside,) * private, cloud=CloudFacts(provider="ibm", network_id=network),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("peer", "rule_type", "kind", "reason"),
    [
        (a_rule("b", 2), RuleType.COST_PRIORITIZED, EndpointKind.PRIVATE, Reason.SAME_NETWORK),
        (a_rule("b", 2), RuleType.BASIC, EndpointKind.PUBLIC, Reason.RULE_IS_BASIC),
        (a_rule("b", 2, network="x"), RuleType.COST_PRIORITIZED, EndpointKind.PUBLIC, Reason.OTHER_NETWORK),
        (a_rule("b", 2, private=False), RuleType.COST_PRIORITIZED, EndpointKind.PUBLIC, Reason.NO_PRIVATE_ADDRESS),
        (a_rule("b", 2, public=False), RuleType.BASIC, EndpointKind.PRIVATE, Reason.NO_PUBLIC_ADDRESS),
        (a_rule("b", 2, public=False, private=False), RuleType.BASIC, None, Reason.NOT_KNOWN),
    ],
)
def test_each_peer_is_reached_for_a_reason(
    peer: NetworkingRule, rule_type: RuleType, kind: EndpointKind | None, reason: Reason
) -> None:  # fmt: skip
    (found,) = host_page.peer_rules("a", {"a": a_rule("a", 1), "b": peer}, rule_type)
    assert (found.kind, found.reason) == (kind, reason)
    assert bool(found.endpoint) == (kind is not None)
    assert host_page.peer_rules("gone", {"b": peer}, rule_type) == ()


def test_daemons_stand_under_their_hosts() -> None:
    osd = OsdState(id=3, host="d", up=True, is_in=True, addresses=(), on_cladnet=False)
    view = OsdView(id=3, host="d", device="/dev/vdb", encrypted=False, state=osd, wish=None, progress=None)
    found = storage_page.compose(a_cluster(osds=(osd,)), (view,), (a_host("a"),), ())
    hosts = {host.host: host for host in found.hosts}
    assert list(hosts) == ["a", "b", "c", "d"]
    assert [host.monitor for host in found.hosts] == [True, True, False, None]
    assert (hosts["a"].manager, hosts["b"].manager, hosts["d"].manager) == (Duty.ACTIVE, Duty.STANDBY, None)
    assert (hosts["a"].metadata_server, hosts["b"].metadata_server) == (Duty.STANDBY, Duty.ACTIVE)
    assert (hosts["a"].cloud.provider, hosts["d"].cloud.provider) == ("aws", "")
    assert [line.osd.id for line in hosts["d"].osds] == [3]
    assert hosts["c"].problem == "no disk"
    assert (found.osds_up, found.osds_off_cladnet, found.quorum, found.monitors) == (1, 1, 2, 3)


def test_every_complaint_has_korean_words() -> None:
    assert korean_health.TABLE.keys() == health_words.TABLE.keys()
    explained = health_words.explain(HealthCheck(code="OSD_FULL", health=Health.ERROR, summary="1 full osd(s)"))
    assert health.words_of(explained) == explained
    with Flask("test").test_request_context("/", headers={"Cookie": f"{COOKIE}=ko"}):
        translated = health.words_of(explained)
    assert translated.summary == "1 full osd(s)"
    assert (translated.cause, translated.remedy) == (
        korean_health.TABLE["OSD_FULL"].cause, korean_health.TABLE["OSD_FULL"].remedy,
    )  # fmt: skip
