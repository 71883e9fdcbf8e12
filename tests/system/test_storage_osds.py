"""OSDs drained and removed on a real Ceph, with its wishes in a real etcd: nothing is lost, and refusals say why."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from small_ceph import PLACES, Image, SmallCeph, running

import cladnet.keys
from cbstorage import keys
from cbstorage.ceph import cephx
from cbstorage.ceph.crush import Place
from cbstorage.model import ClusterSpecification, HostDaemons, SealedKey, SealedKeys
from cbstorage.osd_model import OsdGoal, OsdPhase
from cbstorage.wanted import osds
from cladnet.etcd.store import Store
from larva.errors import NotFound, Refused

pytestmark = [pytest.mark.root, pytest.mark.image]

GROUP = "demo-1"
SECOND = Place(provider=PLACES[0].provider, region=PLACES[0].region, zone=PLACES[0].zone, host="aws-2")
"""In the place of osd.0; whoever else is drained has no room for its copies."""

LOOK = """
from ipaddress import IPv4Network
from cbstorage import keys
from cbstorage.ceph.answers import QuorumStatus
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.leading import observe, osd_keeper
from cladnet.etcd.store import Store
with (
    Monitors(local.CONFIGURATION, entity="client.admin", keyring=local.keyring_of("client.admin")) as monitors,
    Store(endpoints) as store,
):
    osd_keeper.tend(store, monitors, group)
    state = observe.cluster_state(monitors, monitors.ask("quorum_status", QuorumStatus), IPv4Network(cidr))
    store.put(keys.cluster_state(group), state)
"""

LEAVE = """
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.leading import leavers
from cladnet.etcd.store import Store
with (
    Monitors(local.CONFIGURATION, entity="client.admin", keyring=local.keyring_of("client.admin")) as monitors,
    Store(endpoints) as store,
):
    leavers.tend(store, monitors, group)
"""


@pytest.fixture(scope="module")
def small(ceph_image: Image) -> Iterator[SmallCeph]:
    with running(ceph_image, places=(*PLACES, SECOND)) as small:
        yield small


class Cluster:
    """The small Ceph with an etcd, and a leading monitor's host that looks when it is told to."""

    def __init__(self, small: SmallCeph, endpoints: list[str], store: Store) -> None:
        self.small = small
        self.store = store
        self.endpoints = endpoints
        specification = ClusterSpecification(
            group=GROUP, fsid=small.fsid, cidr=small.network, mon_hosts=("aws-1",), mgr_hosts=(), mds_hosts=("aws-1",),
            created_at=datetime.now(UTC),
        )  # fmt: skip
        store.put(keys.cluster(GROUP), specification)
        self.look()

    def look(self) -> None:
        self.small.python(LOOK, endpoints=self.endpoints, group=GROUP, cidr=str(self.small.network))

    def phase(self, osd: int) -> OsdPhase | None:
        """What is said of an OSD after another look; None when nothing is wanted of it."""
        self.look()
        view = next((one for one in osds.views(self.store) if one.id == osd), None)
        return view.progress.phase if view is not None and view.progress is not None else None

    def weight(self, osd: int) -> float:
        nodes = self.small.ceph("osd", "tree")["nodes"]
        return next((float(node["crush_weight"]) for node in nodes if node["id"] == osd), -1.0)

    def stop(self, osd: int) -> None:
        """What its host does."""
        self.small.kill(f"osd.{osd}", "TERM")
        self.small.wait("it is down", lambda: not self._states()[osd]["up"])

    def _states(self) -> dict[int, Any]:
        return {one["osd"]: one for one in self.small.ceph("osd", "dump")["osds"]}


@pytest.fixture
def cluster(small: SmallCeph, etcd_factory: Any) -> Cluster:
    etcd = etcd_factory(address=str(small.outside))
    return Cluster(small, etcd.endpoints, etcd.store())


def test_a_host_that_left_logs_in_no_more_and_its_osds_are_out(cluster: Cluster) -> None:
    small, store = cluster.small, cluster.store
    store.put(keys.daemons(GROUP, "aws-2"), HostDaemons(host="aws-2", address=None))
    store.put(keys.keyring(GROUP, "aws-2"), SealedKeys(seal_key="k", keys=(SealedKey(entity="e", box="b"),)))
    store.put(cladnet.keys.rule(GROUP, "aws-2"), "what nobody can read is no sign that it left")
    small.ceph("auth", "get-or-create", "client.storage.aws-2", "mon", "allow r")
    small.python(LEAVE, endpoints=cluster.endpoints, group=GROUP)
    assert store.exists(keys.keyring(GROUP, "aws-2"))
    store.delete(cladnet.keys.rule(GROUP, "aws-2"))
    small.python(LEAVE, endpoints=cluster.endpoints, group=GROUP)
    assert store.exists(keys.daemons(GROUP, "aws-2")), "its OSD is up still"
    cluster.stop(3)
    small.python(LEAVE, endpoints=cluster.endpoints, group=GROUP)
    assert not store.exists(keys.keyring(GROUP, "aws-2"))
    assert not store.exists(keys.daemons(GROUP, "aws-2"))
    assert "client.storage.aws-2" not in {one["entity"] for one in small.ceph("auth", "ls")["auth_dump"]}
    assert [one["in"] for one in small.ceph("osd", "dump")["osds"]] == [1, 1, 1, 0]
    small.start_daemon("osd.3")
    small.wait("it is up", lambda: small.ceph("osd", "stat")["num_up_osds"] == 4)
    small.python(LEAVE, endpoints=cluster.endpoints, group=GROUP)
    assert small.ceph("osd", "dump")["osds"][3]["in"] == 0, "its host is away"
    store.put(cladnet.keys.rule(GROUP, "aws-2"), "it came back")
    small.python(LEAVE, endpoints=cluster.endpoints, group=GROUP)
    assert small.ceph("osd", "dump")["osds"][3]["in"] == 1
    small.ceph("osd", "out", "osd.3")
    small.python(LEAVE, endpoints=cluster.endpoints, group=GROUP)
    assert small.ceph("osd", "dump")["osds"][3]["in"] == 0, "somebody's own word counts"
    small.ceph("osd", "in", "osd.3")


def test_an_osd_that_nothing_can_stand_in_for_stays(cluster: Cluster) -> None:
    wish = osds.ask(cluster.store, 1, OsdGoal.DRAINED)
    cluster.look()
    with pytest.raises(Refused, match=r"keeps 3 copies apart .* room for 2"):
        osds.wait(cluster.store, wish, timeout_s=0)
    assert cluster.weight(1) > 0
    assert cluster.phase(1) is None


def test_a_drained_osd_is_empty_and_can_be_taken_back(cluster: Cluster) -> None:
    before = cluster.weight(3)
    osds.ask(cluster.store, 3, OsdGoal.DRAINED)
    cluster.small.wait("it is drained", lambda: cluster.phase(3) is OsdPhase.DRAINED)
    assert cluster.weight(3) == 0
    osds.take_back(cluster.store, 3)
    assert cluster.phase(3) is None
    assert cluster.weight(3) == pytest.approx(before, abs=1e-4)
    with pytest.raises(NotFound):
        osds.take_back(cluster.store, 3)


def test_a_replaced_osd_comes_back_under_its_number(cluster: Cluster) -> None:
    small, before = cluster.small, cluster.weight(3)
    wish = osds.replace(cluster.store, 3, "/srv/new.img", encrypt=False)
    small.wait("it was found empty", lambda: cluster.phase(3) is OsdPhase.STOPPING)
    cluster.stop(3)
    small.wait("its number is free", lambda: cluster.phase(3) is OsdPhase.GONE)
    successor, key = str(uuid.uuid4()), cephx.new_key(created_s=1)
    small.run(["rm", "-r", "/var/lib/ceph/osd/ceph-3"])
    made = small.run(
        ["ceph", "osd", "new", successor, "3", "-i", "-"], input=json.dumps({"cephx_secret": key}).encode()
    )
    assert made.strip() == "3"
    small.write("/var/lib/ceph/osd/ceph-3/keyring", cephx.keyring(cephx.Identity(entity="osd.3", key=key)))
    small.run(["ceph-osd", "--mkfs", "--id", "3", "--osd-uuid", successor], timeout=120)
    small.start_daemon("osd.3")
    small.wait("nothing is left to do", lambda: cluster.phase(3) is None)
    assert cluster.weight(3) == pytest.approx(before, abs=1e-4)
    assert osds.wait(cluster.store, wish, timeout_s=0) is None


def test_a_removed_osd_is_emptied_then_stopped_then_forgotten(cluster: Cluster) -> None:
    with cluster.small.mount() as mount:
        mount.write("kept", b"kept" * 1000)
        osds.ask(cluster.store, 0, OsdGoal.REMOVED)
        cluster.small.wait("it was found empty", lambda: cluster.phase(0) is OsdPhase.STOPPING)
        assert cluster.phase(0) is OsdPhase.STOPPING, "nobody takes it out while it runs"
        cluster.stop(0)
        cluster.small.wait("it is out of the cluster", lambda: cluster.phase(0) is None and cluster.weight(0) == -1)
        assert mount.read("kept") == b"kept" * 1000
    assert [one.id for one in osds.views(cluster.store)] == [1, 2, 3]


def test_a_lost_osd_goes_only_while_others_have_its_data(cluster: Cluster) -> None:
    wish = osds.ask(cluster.store, 3, OsdGoal.REMOVED, lost=True)
    cluster.look()
    with pytest.raises(Refused, match="is up, so it is not lost"):
        osds.wait(cluster.store, wish, timeout_s=0)
    cluster.stop(3)
    osds.ask(cluster.store, 3, OsdGoal.REMOVED, lost=True)
    cluster.small.wait("it is out", lambda: cluster.phase(3) is None and cluster.weight(3) == -1)
    cluster.stop(2)
    cluster.look()
    wish = osds.ask(cluster.store, 2, OsdGoal.REMOVED, lost=True)
    cluster.look()
    with pytest.raises(Refused, match="bring other OSDs back first"):
        osds.wait(cluster.store, wish, timeout_s=0)
    assert cluster.weight(2) > 0
    with pytest.raises(NotFound, match=r"no osd\.3"):
        osds.ask(cluster.store, 3, OsdGoal.DRAINED)
