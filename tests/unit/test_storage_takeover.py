"""A metadata server is replaced when it is silent and the cluster has lost its host, and on no one's word alone."""

from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Any

import pytest

from cbstorage.ceph.answers import (
    AddressVector,
    CrushTree,
    FileSystem,
    FileSystems,
    MdsEntry,
    MdsMap,
    MonitorEntry,
    MonitorMap,
    OsdEntry,
    OsdMap,
    OsdStat,
    QuorumStatus,
    TreeNode,
    WireAddress,
)
from cbstorage.host.preflight import Reach
from cbstorage.leading import takeover
from cbstorage.leading.takeover import LOOK_S, Takeover

HOSTS = ("a", "b", "c")
SILENT = Reach(answers=False, words="does not answer")
SERVER = MdsEntry(
    name="mds-b", gid=7, rank=0, state="up:active",
    addrs=AddressVector(addrvec=(WireAddress(type="v2", addr="192.168.10.3:6800"),)),
)  # fmt: skip


class Cluster:
    """Monitors' answers, of a cluster of which `down` is silent: all of a host, or its OSD or its monitor only."""

    def __init__(self) -> None:
        self.leader = "a"
        self.quorum = set(HOSTS)
        self.up = set(HOSTS)
        self.failed: list[str] = []

    def ask(self, prefix: str, kind: type[Any]) -> Any:
        match prefix:
            case "quorum_status":
                mons = MonitorMap(mons=tuple(MonitorEntry(name=name) for name in HOSTS))
                there = tuple(name for name in HOSTS if name in self.quorum)
                return QuorumStatus(quorum_names=there, quorum_leader_name=self.leader, monmap=mons)
            case "osd stat":
                return OsdStat(num_osds=len(HOSTS), num_up_osds=len(self.up))
            case "osd dump":
                osds = (OsdEntry(osd=n, uuid="", up=int(name in self.up)) for n, name in enumerate(HOSTS))
                return OsdMap(osds=tuple(osds), pools=())
            case "osd tree":
                nodes = (TreeNode(id=-2 - n, name=name, type="host", children=(n,)) for n, name in enumerate(HOSTS))
                return CrushTree(nodes=tuple(nodes))
            case "fs dump":
                held = MdsMap(fs_name="cladfs", info={"gid_7": SERVER})
                return FileSystems(standbys=(), filesystems=(FileSystem(mdsmap=held),))
        raise AssertionError(prefix)

    def run(self, prefix: str, **more: object) -> None:
        assert prefix == "mds fail"
        self.failed.append(str(more["role_or_gid"]))

    def close(self) -> None:
        """As the real ones are."""


class Network:
    """What is asked of the server, and what happens meanwhile."""

    def __init__(self, answer: Reach) -> None:
        self.answer = answer
        self.asked = 0
        self.shut_out: list[IPv4Address] = []
        self.meanwhile: Iterator[Any] = iter(())

    def reach(self, own: None, address: IPv4Address, port: int, *, timeout_s: float) -> Reach:
        assert (own, str(address), port) == (None, "192.168.10.3", 6800)
        self.asked += 1
        for happening in self.meanwhile:
            happening()
        return self.answer


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> Network:
    made = Network(SILENT)
    monkeypatch.setattr(Takeover, "_has_monitor", lambda _: True)
    monkeypatch.setattr(Takeover, "_connected", lambda _: cluster)
    monkeypatch.setattr(takeover.preflight, "reach", made.reach)
    monkeypatch.setattr(takeover.shut_out, "carry_out", made.shut_out.append)
    return made


def test_a_host_that_the_cluster_loses_while_its_server_is_asked_is_taken_over_from(
    cluster: Cluster, network: Network
) -> None:
    """Monitors miss theirs first; when OSDs are missed too, its server has been asked already."""
    cluster.quorum.remove("b")
    network.meanwhile = iter([lambda: cluster.up.remove("b")])
    assert Takeover("g", "a").look() == LOOK_S
    assert cluster.failed == ["7"]
    assert network.shut_out == [IPv4Address("192.168.10.3")]


@pytest.mark.parametrize("missing", ["its monitor", "its OSD", "nothing"])
def test_a_server_whose_host_is_lost_in_part_stays(cluster: Cluster, network: Network, missing: str) -> None:
    cluster.quorum -= {"b"} if missing == "its monitor" else set()
    cluster.up -= {"b"} if missing == "its OSD" else set()
    Takeover("g", "a").look()
    assert cluster.failed == []
    assert (network.asked > 0) == (missing == "its monitor")


def test_a_server_that_answers_stays_whatever_the_cluster_says(cluster: Cluster, network: Network) -> None:
    cluster.quorum.remove("b")
    cluster.up.remove("b")
    network.answer = Reach(answers=True, host_answers=True, words="answers")
    Takeover("g", "a").look()
    assert (cluster.failed, network.asked) == ([], 1)


def test_clients_of_a_host_that_answers_are_left_to_the_server(cluster: Cluster, network: Network) -> None:
    cluster.quorum.remove("b")
    cluster.up.remove("b")
    network.answer = Reach(answers=False, host_answers=True, words="nothing listens there")
    Takeover("g", "a").look()
    assert (cluster.failed, network.shut_out) == (["7"], [])


def test_only_the_leading_monitor_s_host_acts(cluster: Cluster, network: Network) -> None:
    cluster.quorum.remove("b")
    cluster.up.remove("b")
    Takeover("g", "c").look()
    assert (cluster.failed, network.asked) == ([], 0)
