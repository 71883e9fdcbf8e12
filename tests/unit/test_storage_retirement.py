"""Daemons that a host should run no more, hosts that left, and monitors that are placed anew."""

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from cbstorage.ceph.answers import FileSystem, FileSystems, MdsEntry, MdsMap, MonitorEntry, MonitorMap, QuorumStatus
from cbstorage.host import claim, departure, local, retirement
from cbstorage.model import ClusterSpecification, ClusterState, DaemonKind, Health
from cbstorage.wanted import placing
from cbstorage.wanted.assignment import Candidate
from cladnet.model import CloudFacts
from larva.errors import Conflict

FSID = "5248e297-0307-4aad-a81e-d3b7ee2f8cd4"
SPECIFICATION = ClusterSpecification(
    group="g", fsid=FSID, cidr=IPv4Network("10.0.0.0/24"), mon_hosts=("a", "b", "c"), mgr_hosts=("a", "b"),
    mds_hosts=("a", "b", "c"), created_at=datetime.now(UTC),
)  # fmt: skip


class FakeMonitors:
    """Monitors with this map and these metadata servers."""

    def __init__(self, monitors: str, mds: tuple[str, ...]) -> None:
        self._quorum = QuorumStatus(
            quorum_names=tuple(monitors),
            quorum_leader_name=monitors[0],
            monmap=MonitorMap(mons=tuple(MonitorEntry(name=name) for name in monitors)),
        )
        info = {name: MdsEntry(name=local.mds_name(name), state="up:active") for name in mds}
        self._maps = FileSystems(
            standbys=(), filesystems=(FileSystem(mdsmap=MdsMap(fs_name="cladfs", info=info)),)
        )  # fmt: skip

    def ask(self, prefix: str, *_: object, **__: object) -> Any:
        return self._quorum if prefix == "quorum_status" else self._maps


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Host c with one daemon of each kind, and what was done to its units."""
    monkeypatch.setenv("LARVA_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("cbstorage.ceph.conf.DATA", tmp_path / "ceph")
    monkeypatch.setattr("cbstorage.ceph.conf.DIRECTORY", tmp_path / "etc")
    for kind, name in ((DaemonKind.MON, "c"), (DaemonKind.MGR, "c"), (DaemonKind.MDS, "mds-c"), (DaemonKind.OSD, "3")):
        local.data_directory(kind, name).mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    for name in ("client.admin", "client.storage.c"):
        local.keyring_of(name).write_text("key")
    done: list[str] = []
    for word in ("stop", "disable"):
        monkeypatch.setattr(f"cbstorage.host.systemd.{word}", lambda unit, word=word: done.append(f"{word} {unit}"))
    monkeypatch.setattr("cbstorage.host.systemd.running", lambda _: True)
    return done


def there() -> set[str]:
    return {kind.value for kind in DaemonKind if local.prepared(kind)}


def test_what_is_wanted_stays(host: list[str]) -> None:
    retirement.tend(FakeMonitors("abc", ("a",)), replace(SPECIFICATION, mgr_hosts=("c",)), "c")  # type: ignore[arg-type]
    assert host == []
    assert there() == {"mon", "mgr", "mds", "osd"}
    assert local.keyring_of("client.admin").exists()


@pytest.mark.parametrize(
    ("in_map", "mds", "left"),
    [
        ("abc", ("c",), {"mon", "mds", "osd"}),
        ("ab", ("c",), {"mds", "osd"}),
        ("ab", ("a", "c"), {"osd"}),
    ],
)
def test_what_is_not_goes_when_others_do_without(
    host: list[str], in_map: str, mds: tuple[str, ...], left: set[str]
) -> None:
    wanted = replace(SPECIFICATION, mon_hosts=("a",), mgr_hosts=("a",), mds_hosts=("a", "b"))
    retirement.tend(FakeMonitors(in_map, mds), wanted, "c")  # type: ignore[arg-type]
    assert there() == left
    assert not local.keyring_of("client.admin").exists()
    assert "stop ceph-mgr@c.service" in host


def test_a_host_that_left_stops_all_and_keeps_its_data(host: list[str]) -> None:
    claim.stake("g", FSID)
    departure.depart({"g", "other"})
    assert host == []
    departure.depart({"other"})
    assert {one for one in host if one.startswith("stop")} == {
        "stop ceph-mon@c.service", "stop ceph-mgr@c.service", "stop ceph-mds@mds-c.service", "stop ceph-osd@3.service",
    }  # fmt: skip
    assert there() == {"mon", "osd"}
    assert not list(local.conf.DIRECTORY.glob("*.keyring"))
    departure.depart(set())


def test_a_host_that_serves_nobody_has_nothing_to_leave(host: list[str]) -> None:
    departure.depart(set())
    assert host == []


def state(monitors: str, quorum: str) -> ClusterState:
    return ClusterState(
        health=Health.OK, checks=(), quorum=tuple(quorum), monitors=tuple(monitors), manager="", active_mds=(),
        standby_mds=(), osds=(), total_bytes=0, used_bytes=0, clean=None, observed_at=datetime.now(UTC),
    )  # fmt: skip


CANDIDATES = [Candidate(host=name, cloud=CloudFacts(provider=name)) for name in "abcd"]


def test_monitors_on_their_way_out_are_looked_for_until_they_are_gone() -> None:
    moved = placing.anew(SPECIFICATION, ("b", "c", "d"), CANDIDATES, state("abc", "abc"))
    assert (moved.mon_hosts, moved.leaving_mon_hosts) == (("b", "c", "d"), ("a",))
    assert moved.mgr_hosts == ("b", "c")
    assert placing.anew(moved, ("b", "c", "d"), CANDIDATES, state("abcd", "abcd")).leaving_mon_hosts == ("a",)
    assert placing.anew(moved, ("b", "c", "d"), CANDIDATES, state("bcd", "bcd")).leaving_mon_hosts == ()
    with pytest.raises(Conflict, match="still being founded"):
        placing.anew(SPECIFICATION, ("b",), CANDIDATES, None)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (None, "no monitor quorum"),
        (state("abc", "ab"), "not in quorum yet: c"),
        (state("abcd", "abcd"), "still a monitor: d"),
        (state("abc", "abc"), ""),
    ],
)
def test_what_is_left_to_do_is_said(seen: ClusterState | None, said: str) -> None:
    found = placing.missing(SPECIFICATION, seen)
    assert (said in found) if said else found == ""
