"""From a host's condition to what is wrong with it: each fault told once, and a host that is well told nothing."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest

from cladnet.datapath.choose import explain
from cladnet.datapath.link import LinkState
from cladnet.doctor.condition import CladnetCondition, HostCondition, PeerCondition
from cladnet.doctor.diagnosis import diagnose
from cladnet.model import DatapathKind, HostState, Role
from cladnet.quality import Alarm, AlarmKind
from larva.checks import Finding, Severity, is_healthy

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LINK = LinkState(kind="tun", is_up=True, mtu=1420, addresses=(IPv4Interface("10.77.0.1/24"),))


def peer(host: str, **changes: Any) -> PeerCondition:
    well = PeerCondition(
        host=host, address=IPv4Address("10.77.0.2"), state=HostState.ACTIVE,
        endpoint=(IPv4Address("203.0.113.11"), 51820), last_handshake=NOW - timedelta(seconds=60), received_bytes=100,
        sent_bytes=100,
    )  # fmt: skip
    return replace(well, **changes)


WELL = CladnetCondition(
    group="mesh-1", name="mesh", interface="cbnet0", listen_port=51820, from_cache=False,
    cidr=IPv4Network("10.77.0.0/24"), address=IPv4Address("10.77.0.1"), should_be_up=True,
    public_address=IPv4Address("203.0.113.10"), link=LINK, datapath=DatapathKind.WIREGUARD_GO,
    datapath_why="this kernel has no module wireguard", peers=(peer("b"), peer("c")),
)  # fmt: skip
HOST = HostCondition(
    host="a", roles=(Role.MEMBER,), server="https://203.0.113.1:8443", looked_at=NOW,
    etcd={"https://203.0.113.1:2379": "", "https://203.0.113.2:2379": ""}, clock_ahead_s=0.4,
    certificate_until=NOW + timedelta(days=300), units={"larva-agent.service": "active"}, firewall_loaded=True,
    cladnets=(WELL,),
)  # fmt: skip


def bad(condition: HostCondition) -> list[Finding]:
    return [finding for finding in diagnose(condition) if finding.severity is not Severity.NOTE]


def with_cladnet(**changes: Any) -> HostCondition:
    return replace(HOST, cladnets=(replace(WELL, **changes),))


def test_a_host_that_is_well_is_told_only_what_carries_its_packets() -> None:
    (note,) = diagnose(HOST)
    assert is_healthy([note])
    assert "wireguard-go" in note.what
    assert "no module wireguard" in note.what


@pytest.mark.parametrize(
    ("condition", "severity", "told", "advice"),
    [
        (
            with_cladnet(refused={"b": "it is not the CA's word"}),
            Severity.PROBLEM, "the rule of b does not count here: it is not the CA's word", "larva-controller",
        ),
        (replace(HOST, etcd={"https://a:2379": "refused", "https://b:2379": ""}), "warning", "https://a:2379", "port"),
        (replace(HOST, etcd={"https://a:2379": "refused"}), "problem", "no endpoint answers", "larva-etcd"),
        (replace(HOST, removed=True, cladnets=()), "problem", "was removed", "larva join"),
        (replace(HOST, console_problem="it does not answer", clock_ahead_s=None), "warning", "not answer", "8443"),
        (replace(HOST, clock_ahead_s=-90.0), "problem", "90 s behind", "timedatectl"),
        (replace(HOST, clock_ahead_s=6.0), "problem", "6 s ahead of", "timedatectl"),
        (replace(HOST, certificate_until=None), "problem", "no client certificate", "larva join"),
        (replace(HOST, certificate_until=NOW + timedelta(days=10)), "warning", "in 10 days", "restart"),
        (replace(HOST, certificate_until=NOW), "problem", "expired on 2026-01-01", "larva join"),
        (
            replace(HOST, servers_until={"console": NOW + timedelta(days=9), "etcd": NOW + timedelta(days=90)}),
            "warning", "that for console expires on 2026-01-10", "larva control renew",
        ),
        (replace(HOST, servers_until={"etcd": NOW}), "problem", "that for etcd expired", "larva-renew"),
        (replace(HOST, units={"larva-agent.service": "failed"}), "problem", "is failed", "journalctl -u larva-agent"),
        (replace(HOST, firewall_loaded=False), "problem", "every port", "restart larva-firewall"),
        (replace(HOST, cladnets=()), "warning", "in no CLADNet", "larva net join"),
        (with_cladnet(problem="its own network 10.77.0.0/16 overlaps it"), "problem", "cannot join", "net recommend"),
        (with_cladnet(problem="it has the key of b: a cloned machine?"), "problem", "cloned", "identity"),
        (with_cladnet(public_address=None), "warning", "public address", "203.0.113.1:8443"),
        (with_cladnet(should_be_up=False, address=None, peers=()), "warning", "no networking rule", "controller"),
        (with_cladnet(link=None), "problem", "cbnet0 is not there", "larva-agent"),
        (with_cladnet(link=replace(LINK, is_up=False)), "problem", "cbnet0 is down", "larva-agent"),
        (with_cladnet(link=replace(LINK, addresses=())), "problem", "and has none", "larva-agent"),
        (with_cladnet(datapath_problem="wireguard-go does not answer"), "problem", "not answer", "larva-agent"),
    ],
)  # fmt: skip
def test_each_fault_is_told_once_with_what_to_do(
    condition: HostCondition, severity: str, told: str, advice: str
) -> None:
    (finding,) = bad(condition)
    assert finding.severity == severity
    assert told in finding.what
    assert advice in finding.do


OLD = NOW - timedelta(minutes=10)


@pytest.mark.parametrize(
    ("peers", "told"),
    [
        ([peer("b", last_handshake=OLD), peer("c")], ["no handshake for 10 min with b at 203.0.113.11:51820"]),
        ([peer("b", last_handshake=OLD, answers=True), peer("c")], []),
        ([peer("b", last_handshake=OLD, answers=False), peer("c")], ["no handshake for 10 min with b"]),
        (
            [peer("b", last_handshake=None, endpoint=None), peer("c")],
            ["there never was a handshake with b, whose endpoint nobody knows"],
        ),
        ([peer("b", in_datapath=False, last_handshake=None), peer("c")], ["b is not in the data path"]),
        ([peer("b", last_handshake=OLD, state=HostState.UNREACHABLE), peer("c")], ["is probably off"]),
        ([peer(host, last_handshake=None, received_bytes=0) for host in "bc"], ["UDP port 51820 is probably blocked"]),
        ([peer(host, last_handshake=OLD) for host in "bcdefgh"], [f"with {h} at" for h in "bcdef"] + ["2 more"]),
        ([peer("b", last_handshake=NOW + timedelta(seconds=2)), peer("c")], []),
        ([], []),
    ],
)
def test_silent_peers_are_named(peers: list[PeerCondition], told: list[str]) -> None:
    found = bad(with_cladnet(peers=tuple(peers)))
    assert len(found) == len(told), found
    for finding, words in zip(found, told, strict=True):
        assert words in finding.what
        assert finding.do


def alarm(kind: AlarmKind, host: str = "b") -> Alarm:
    return Alarm(kind=kind, destination=host, since=NOW - timedelta(hours=1), evidence="3 of 20 were lost")


@pytest.mark.parametrize(
    ("alarms", "peers", "told"),
    [
        ([alarm(AlarmKind.LOSS)], [peer("b")], ["on the way to b are lost since 2025-12-31 23:00:00 UTC: 3 of 20"]),
        ([alarm(AlarmKind.SLOW)], [peer("b")], ["b is farther away than usual"]),
        ([alarm(AlarmKind.UNREACHABLE)], [peer("b")], ["b does not answer since"]),
        (
            [alarm(AlarmKind.UNREACHABLE)],
            [peer("b", last_handshake=OLD), peer("c")],
            ["no handshake for 10 min with b"],
        ),
        ([alarm(AlarmKind.UNREACHABLE)], [peer("b", answers=True)], []),
        ([alarm(AlarmKind.LOSS, host) for host in "bcdefgh"], [peer("b")], [f"to {h} " for h in "bcdef"] + ["2 more"]),
    ],
)
def test_alarms_are_told_where_the_peers_state_does_not_say_it(
    alarms: list[Alarm], peers: list[PeerCondition], told: list[str]
) -> None:
    found = bad(with_cladnet(peers=tuple(peers), alarms=tuple(alarms)))
    assert len(found) == len(told), found
    for finding, words in zip(found, told, strict=True):
        assert words in finding.what
        assert finding.do


def test_a_host_that_was_asked_down_is_well() -> None:
    (note,) = diagnose(with_cladnet(should_be_up=False, asked_down=True, link=None, peers=()))
    assert (note.severity, "net up" in note.do) == (Severity.NOTE, True)


def test_one_that_knows_its_public_address_from_nobody_is_not_blamed_while_etcd_is_away() -> None:
    assert bad(with_cladnet(from_cache=True, public_address=None)) == []


@pytest.mark.parametrize(
    ("kind", "here", "told"),
    [
        (DatapathKind.AUTO, set(DatapathKind), "wireguard is the first"),
        (DatapathKind.AUTO, {DatapathKind.WIREGUARD_GO}, "no module wireguard; wireguard-go is the first"),
        (DatapathKind.AUTO, set(), "no module wireguard; the program wireguard-go is not installed"),
        (DatapathKind.WIREGUARD_GO, {DatapathKind.WIREGUARD_GO}, "the CLADNet asks for wireguard-go"),
        (DatapathKind.WIREGUARD, set(), "asks for wireguard, but this kernel"),
    ],
)
def test_the_choice_of_the_driver_is_explained(kind: DatapathKind, here: set[DatapathKind], told: str) -> None:
    assert told in explain(kind, here)
