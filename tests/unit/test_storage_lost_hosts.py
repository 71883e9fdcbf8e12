"""Which hosts the cluster has lost: only those of which nothing answers those who are elsewhere."""

import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbstorage.ceph.answers import (
    CrushTree,
    FileSystem,
    FileSystems,
    MdsEntry,
    MdsMap,
    MonitorEntry,
    MonitorMap,
    OsdEntry,
    OsdMap,
    QuorumStatus,
    TreeNode,
)
from cbstorage.leading import lost_hosts, shut_out
from cbstorage.leading.shut_out import Session, SessionAddress, SessionEntity

HOSTS = ("a", "b", "c", "d")
MONITORS = HOSTS[:3]


def quorum(names: frozenset[str]) -> QuorumStatus:
    entries = tuple(MonitorEntry(name=name) for name in MONITORS)
    there = tuple(name for name in MONITORS if name in names)
    return QuorumStatus(quorum_names=there, quorum_leader_name="a", monmap=MonitorMap(mons=entries))


def osds(up: frozenset[int], count: int = 4) -> OsdMap:
    return OsdMap(osds=tuple(OsdEntry(osd=one, uuid="", up=int(one in up)) for one in range(count)), pools=())


def tree(places: dict[str, tuple[int, ...]]) -> CrushTree:
    hosts = (
        TreeNode(id=-2 - n, name=name, type="host", children=there) for n, (name, there) in enumerate(places.items())
    )
    return CrushTree(nodes=(TreeNode(id=-1, name="default", type="root"), *hosts))


PLACES = {"a": (0,), "b": (1,), "c": (2,), "d": (3,)}


def test_a_monitor_that_is_missing_makes_its_host_suspect() -> None:
    assert lost_hosts.unheard(quorum(frozenset("ac"))) == {"b"}
    assert lost_hosts.unheard(quorum(frozenset(MONITORS))) == frozenset()


@given(st.frozensets(st.sampled_from(MONITORS)), st.frozensets(st.integers(0, 3)))
def test_a_host_is_lost_when_nothing_of_it_answers(speaking: frozenset[str], up: frozenset[int]) -> None:
    found = lost_hosts.lost(quorum(speaking), osds(up), tree(PLACES))
    assert found == {host for host in HOSTS if host not in speaking and not set(PLACES[host]) & up}


def test_a_host_without_an_osd_is_not_judged() -> None:
    places = {"a": (0,), "b": (), "c": (2, 7), "d": (1, 3)}
    assert lost_hosts.lost(quorum(frozenset("a")), osds(frozenset({0, 1})), tree(places)) == {"c"}


def server(name: str, gid: int, *, rank: int, state: str) -> MdsEntry:
    return MdsEntry(name=name, gid=gid, rank=rank, state=state)


def test_only_servers_that_hold_a_rank_are_replaced() -> None:
    info = {
        "gid_3": server("mds-b", 3, rank=0, state="up:active"),
        "gid_4": server("mds-c", 4, rank=0, state="up:standby-replay"),
    }
    maps = FileSystems(
        standbys=(server("mds-b", 5, rank=-1, state="up:standby"),),
        filesystems=(FileSystem(mdsmap=MdsMap(fs_name="cladfs", info=info)),),
    )
    assert [one.gid for one in lost_hosts.servers_on({"b"}, maps)] == [3]
    assert lost_hosts.servers_on({"a", "d"}, maps) == ()


def test_sessions_are_told_by_the_address_they_came_from() -> None:
    came = {7: "10.0.0.2:0", 5: "10.0.0.2:4711", 6: "10.0.0.22:0", 4: "10.0.0.1:0"}
    sessions = tuple(
        Session(id=one, entity=SessionEntity(addr=SessionAddress(addr=address)), reconnecting=one != 4)
        for one, address in came.items()
    )
    assert shut_out.awaited(sessions) == {"10.0.0.2": [5, 7], "10.0.0.22": [6]}


def test_who_comes_from_outside_is_no_host_of_the_cladnet() -> None:
    came = ("10.0.0.2:0", "10.0.1.2:0", "203.0.113.9:4711", "[fd00::1]:0", "10.0.0.254:0")
    sessions = [
        Session(id=number, entity=SessionEntity(addr=SessionAddress(addr=address)))
        for number, address in enumerate(came)
    ]
    assert [one.id for one in shut_out.of_hosts(sessions, IPv4Network("10.0.0.0/24"))] == [0, 4]


def test_who_was_silent_while_the_journal_was_read_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path that breaks for seconds when a cloud is lost is no client that is lost."""
    back, lost, slow = "10.0.0.2", "10.0.0.3", "10.0.0.4"
    told = {back: iter([False, True]), lost: iter([False, False]), slow: iter([False])}
    going_on = threading.Event()

    def answers(address: str, seconds: int) -> bool:
        if address == slow:
            going_on.wait(10)
        return next(told[address])

    monkeypatch.setattr(shut_out, "answers", answers)
    with ThreadPoolExecutor(4) as pool:
        echoes = shut_out.Echoes(pool)
        echoes.ask([back, lost, slow])
        assert list(echoes.silent([back])) == [back]
        assert list(echoes.silent([lost])) == [lost]
        echoes.ask_again([back, lost, slow])
        going_on.set()
        assert set(echoes.silent([back, lost, slow])) == {lost, slow}
