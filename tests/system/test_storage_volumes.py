"""Volumes as desired state, on a real etcd: life cycle, clashes, and what waits say."""

import contextlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import cladnet.keys
from cbstorage import keys, records, view
from cbstorage.ceph import sealed_keys
from cbstorage.ceph.cephx import ADMIN, MON
from cbstorage.commands.volume import volume as volume_command
from cbstorage.host import founding
from cbstorage.leading import mirror_plan, tree
from cbstorage.leading.copier import CopyOrder, CopyReport
from cbstorage.leading.copy_jobs import CopyJobs
from cbstorage.leading.copy_keeper import CopyKeeper
from cbstorage.leading.snapshot_keeper import SnapshotKeeper
from cbstorage.leading.volume_keeper import VolumeKeeper
from cbstorage.model import (
    ClusterSpecification,
    ClusterState,
    Health,
    MountPhase,
    MountSpecification,
    MountState,
    OsdState,
    SealedKey,
    SealedKeys,
    VolumePhase,
    VolumeSpecification,
    VolumeState,
)
from cbstorage.mounting.mounts import MountKeeper
from cbstorage.share_model import Share, VolumeShares
from cbstorage.volume_model import Snapshot, SnapshotPhase
from cbstorage.wanted import (
    cluster,
    copies,
    mirrors,
    mounting,
    promises,
    resizing,
    room,
    sharing,
    snapshots,
    trash,
    volumes,
)
from cladnet import seal
from cladnet.etcd.store import Store
from cladnet.model import (
    CladnetSpecification,
    CloudFacts,
    EnrolledHost,
    HostNetworkInformation,
    HostStatus,
    NetworkingRule,
    PairLatency,
    Role,
)  # fmt: skip
from cladnet.placement.model import Survive
from larva.errors import (
    Conflict,
    InvalidInput,
    LarvaError,
    MalformedData,
    NotFound,
    ProgramFailed,
    TimedOut,
    Unavailable,
)

GROUP = "demo-1"
CSPS = ("aws", "azure", "gcp")
GIB = 1 << 30


@pytest.fixture
def store(etcd: Any) -> Store:
    return etcd.store()


def join(store: Store, host: str, number: int, *, roles: tuple[Role, ...] = (Role.STORAGE, Role.MEMBER)) -> str:
    """Write what a host's agent and the controller would; return the host's private seal key."""
    cloud = CloudFacts(provider=host.split("-")[0], region="r")
    private, public = seal.new_pair()
    information = HostNetworkInformation(
        host=host, public_address=None, interfaces=(), listen_port=1, public_key="", seal_key=public, cloud=cloud,
        roles=roles,
    )  # fmt: skip
    rule = NetworkingRule(
        host=host, address=IPv4Address(f"192.168.10.{number}"), public_key="", endpoints=(), cloud=cloud
    )
    store.put(cladnet.keys.host_information(GROUP, host), information)
    store.put(cladnet.keys.rule(GROUP, host), rule)
    return private


@pytest.fixture
def network(store: Store) -> dict[str, str]:
    """A CLADNet with a storage host at each of three providers; their private seal keys."""
    specification = CladnetSpecification(
        id=GROUP, name="demo", cidr=IPv4Network("192.168.10.0/26"), created_at=datetime.now(UTC)
    )
    store.put(cladnet.keys.configuration(GROUP), specification)
    return {f"{csp}-1": join(store, f"{csp}-1", number + 2) for number, csp in enumerate(CSPS)}


@pytest.fixture
def made(store: Store, network: dict[str, str]) -> ClusterSpecification:
    return cluster.create(store, "demo")


def test_a_cluster_is_made_once(store: Store, made: ClusterSpecification) -> None:
    assert made.mon_hosts == ("aws-1", "azure-1", "gcp-1")
    assert made.cidr == IPv4Network("192.168.10.0/26")
    with pytest.raises(Conflict, match="already"):
        cluster.create(store, "demo")
    assert cluster.find(store).specification == made


@pytest.mark.parametrize(
    ("mons", "error"), [(("aws-1", "gcp-1"), InvalidInput), (("nobody",), NotFound), (("aws-1", "aws-1"), None)]
)
def test_monitors_can_be_named(
    store: Store, network: dict[str, str], mons: tuple[str, ...], error: type[LarvaError] | None
) -> None:
    if error is None:
        assert cluster.create(store, "demo", mon_hosts=mons).mon_hosts == ("aws-1",)
    else:
        with pytest.raises(error):
            cluster.create(store, "demo", mon_hosts=mons)


def test_a_cladnet_without_storage_hosts_has_no_cluster(store: Store) -> None:
    store.put(
        cladnet.keys.configuration(GROUP),
        CladnetSpecification(id=GROUP, name="demo", cidr=IPv4Network("192.168.10.0/26"), created_at=datetime.now(UTC)),
    )
    join(store, "aws-9", 9, roles=(Role.MEMBER,))
    with pytest.raises(InvalidInput, match="no storage host"):
        cluster.create(store, "demo")
    with pytest.raises(NotFound, match="no storage cluster"):
        volumes.create(store, GROUP, "data", GIB)


def test_exactly_one_host_founds_and_all_get_its_keys(
    store: Store, network: dict[str, str], made: ClusterSpecification
) -> None:
    seen = view.read(store, GROUP)
    assert seen is not None
    gate = threading.Barrier(len(network))

    def attempt(host: str) -> bool:
        gate.wait(timeout=20)
        return founding.found(store, seen, host)

    with ThreadPoolExecutor(len(network)) as pool:
        won = list(pool.map(attempt, network))
    assert sum(won) == 1
    opened = []
    for host, private in network.items():
        sealed = store.get(keys.keyring(GROUP, host), SealedKeys)
        assert sealed is not None
        opened.append(sealed_keys.open_keys(private, sealed.value))
    assert all(one.keys() == {MON, ADMIN} for one in opened)
    assert len({one[ADMIN].key for one in opened}) == 1


def test_nobody_founds_before_every_monitor_s_host_is_there(store: Store, made: ClusterSpecification) -> None:
    store.delete(cladnet.keys.rule(GROUP, "gcp-1"))
    seen = view.read(store, GROUP)
    assert seen is not None
    with pytest.raises(Unavailable, match="gcp-1"):
        founding.found(store, seen, "aws-1")
    assert store.get(keys.keyring(GROUP, "aws-1"), SealedKeys) is None


def test_life_of_a_volume(store: Store, made: ClusterSpecification) -> None:
    created = volumes.create(store, GROUP, "data", GIB)
    assert volumes.find(store, GROUP, "data").status == "pending"
    with pytest.raises(Conflict, match="already"):
        volumes.create(store, GROUP, "data", GIB)
    with pytest.raises(TimedOut, match="no storage host has taken it up"):
        volumes.wait_ready(store, GROUP, "data", timeout_s=0)
    store.put(keys.volume_state(GROUP, "data"), VolumeState(id=created.id, ready=True, size_bytes=GIB, used_bytes=7))
    assert volumes.wait_ready(store, GROUP, "data", timeout_s=5).used_bytes == 7

    asked = mounting.mount(store, GROUP, "data", [f"{csp}-1" for csp in CSPS], "/srv/data/")
    assert [(one.host, one.path) for one in asked] == [(f"{csp}-1", "/srv/data") for csp in CSPS]
    assert mounting.mount(store, GROUP, "data", ["aws-1"], "/srv/data") == asked[:1]
    for one in asked:
        words = "/srv/data is not empty" if one.host == "gcp-1" else ""
        state = MountState(
            volume="data", volume_id=created.id, host=one.host, path=one.path, problem=words,
            phase=MountPhase.FAILED if words else MountPhase.MOUNTED,
        )  # fmt: skip
        store.put(keys.mount_state(GROUP, one.host, "data"), state)
    with pytest.raises(TimedOut, match="gcp-1: /srv/data is not empty"):
        volumes.wait_mounted(store, GROUP, "data", [one.host for one in asked], timeout_s=0)

    with pytest.raises(Conflict, match="is mounted on"):
        volumes.delete(store, GROUP, "data")
    assert mounting.unmount(store, GROUP, "data", ["gcp-1"]) == ("gcp-1",)
    leaving = {one.host: one.leaving for one in volumes.find(store, GROUP, "data").mounts}
    assert leaving == {"aws-1": False, "azure-1": False, "gcp-1": True}
    volumes.delete(store, GROUP, "data", force=True)
    assert volumes.find(store, GROUP, "data").phase is VolumePhase.DELETING
    with pytest.raises(Conflict, match="being deleted"):
        mounting.mount(store, GROUP, "data", None, "/srv/data")
    assert all(one.leaving for one in volumes.find(store, GROUP, "data").mounts)


def test_every_host_is_one_key_and_means_those_too_that_join_later(store: Store, made: ClusterSpecification) -> None:
    created = volumes.create(store, GROUP, "data", GIB)
    volumes.create(store, GROUP, "other", GIB)
    before = store.revisions(keys.MOUNT)
    for _ in range(2):  # asking again changes nothing
        asked = mounting.mount(store, GROUP, "data", None, "/srv/data", read_only=True)
    assert [one.host for one in asked] == [f"{csp}-1" for csp in CSPS]
    assert store.revisions(keys.MOUNT) == before
    assert list(store.revisions(keys.MOUNT_EVERYWHERE)) == [keys.mount_everywhere(GROUP, "data")]
    assert records.wanted_on(store, GROUP, "joins-later")["data"] == MountSpecification(
        volume="data", volume_id=created.id, host="joins-later", path="/srv/data", read_only=True
    )
    shown = volumes.find(store, GROUP, "data")
    assert shown.everywhere
    assert {(mount.host, mount.read_only) for mount in shown.mounts} == {(f"{csp}-1", True) for csp in CSPS}

    assert mounting.mount(store, GROUP, "data", ["aws-1"], "/srv/data", read_only=True) == asked[:1]
    assert store.revisions(keys.MOUNT) == before
    for hosts, path, words in ((None, "/srv/y", "at /srv/data already"), (["aws-1"], "/srv/data", "for reading only")):
        with pytest.raises(Conflict, match=words):
            mounting.mount(store, GROUP, "data", hosts, path)
    for hosts in (None, ["gcp-1"]):
        with pytest.raises(Conflict, match="has volume data at /srv/data"):
            mounting.mount(store, GROUP, "other", hosts, "/srv/data/inner")
    with pytest.raises(Conflict, match="every host"):
        mounting.unmount(store, GROUP, "data", ["aws-1"])
    with pytest.raises(Conflict, match="mounted on every host"):
        volumes.delete(store, GROUP, "data")
    assert mounting.unmount(store, GROUP, "data") == tuple(one.host for one in asked)
    assert not volumes.find(store, GROUP, "data").mounts
    mounting.mount(store, GROUP, "data", None, "/srv/data")
    volumes.delete(store, GROUP, "data", force=True)
    assert not store.revisions(keys.MOUNT_EVERYWHERE)


def mounts_of(store: Store, name: str = "data") -> dict[str, bool]:
    """By host, whether it may only read."""
    return {mount.host: mount.read_only for mount in volumes.find(store, GROUP, name).mounts}


def test_a_volume_is_kept_for_some_hosts_shared_and_taken_back(store: Store, made: ClusterSpecification) -> None:
    with pytest.raises(NotFound, match="no host nobody") as error:
        volumes.create(store, GROUP, "data", GIB, kept_for=["nobody"])
    assert "larva net join" in error.value.hint
    volumes.create(store, GROUP, "data", GIB, kept_for=["aws-1"])
    with pytest.raises(Conflict, match="not shared with gcp-1"):
        mounting.mount(store, GROUP, "data", ["aws-1", "gcp-1"], "/srv/data")
    assert mounts_of(store) == {}
    assert [one.host for one in mounting.mount(store, GROUP, "data", None, "/srv/data")] == ["aws-1"]
    assert records.wanted_on(store, GROUP, "gcp-1") == {}

    sharing.share(store, GROUP, "data", ["gcp-1"], read_only=True)
    assert mounts_of(store) == {"aws-1": False, "gcp-1": True}
    assert records.wanted_on(store, GROUP, "gcp-1")["data"].read_only
    before = store.revisions(keys.VOLUME_SHARES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "transact", lambda *_: False)
        with pytest.raises(Conflict, match="somebody else changed"):
            sharing.share(store, GROUP, "data", ["azure-1"])
    assert store.revisions(keys.VOLUME_SHARES) == before
    sharing.share(store, GROUP, "data", ["gcp-1"])
    assert mounts_of(store) == {"aws-1": False, "gcp-1": False}

    with pytest.raises(NotFound, match="not shared with azure-1") as error:
        sharing.unshare(store, GROUP, "data", ["azure-1"])
    assert "aws-1, gcp-1" in error.value.hint
    sharing.unshare(store, GROUP, "data", ["gcp-1"])
    assert mounts_of(store) == {"aws-1": False}
    sharing.keep_for(store, GROUP, "data", [Share(host="azure-1", read_only=True)])
    assert mounts_of(store) == {"azure-1": True}
    assert volumes.find(store, GROUP, "data").shares == (Share(host="azure-1", read_only=True),)
    sharing.open_to_all(store, GROUP, "data")
    sharing.open_to_all(store, GROUP, "data")
    assert set(mounts_of(store)) == {f"{csp}-1" for csp in CSPS}
    for change in (sharing.share, sharing.unshare):
        with pytest.raises(Conflict, match="for every host") as error:
            change(store, GROUP, "data", ["aws-1"])
        assert "--only" in error.value.hint
    sharing.keep_for(store, GROUP, "data", [])
    assert mounts_of(store) == {}
    with pytest.raises(Conflict, match="not shared with"):
        mounting.mount(store, GROUP, "data", None, "/srv/data")


def test_a_mount_by_name_ends_with_its_share_and_does_not_come_back_by_itself(
    store: Store, made: ClusterSpecification
) -> None:
    created = volumes.create(store, GROUP, "data", GIB)
    mounting.mount(store, GROUP, "data", ["aws-1", "gcp-1"], "/srv/data")
    sealed = SealedKeys(seal_key="s", keys=(SealedKey(entity=created.entity("gcp-1"), box=""),))
    store.put(keys.mount_key(GROUP, "gcp-1", "data"), sealed)
    sharing.keep_for(store, GROUP, "data", [Share(host="aws-1")])
    assert list(store.revisions(keys.MOUNT)) == [keys.mount(GROUP, "aws-1", "data")]
    with pytest.raises(TimedOut, match="gcp-1: the storage hosts have not taken its key back"):
        sharing.wait_in_force(store, GROUP, "data", timeout_s=0)
    sharing.share(store, GROUP, "data", ["gcp-1"], read_only=True)
    assert mounts_of(store) == {"aws-1": False}
    with pytest.raises(TimedOut, match="gcp-1"):
        sharing.wait_in_force(store, GROUP, "data", timeout_s=0)
    reading = replace(sealed, keys=(SealedKey(entity=created.entity("gcp-1", read_only=True), box=""),))
    store.put(keys.mount_key(GROUP, "gcp-1", "data"), reading)
    sharing.wait_in_force(store, GROUP, "data", timeout_s=0)
    assert mounting.mount(store, GROUP, "data", ["gcp-1"], "/srv/data")[0].read_only
    assert mounting.mount(store, GROUP, "data", ["gcp-1"], "/srv/data")[0].read_only


def test_shares_stay_with_a_volume_wherever_it_goes(store: Store, made: ClusterSpecification) -> None:
    first = volumes.create(store, GROUP, "data", GIB, kept_for=["aws-1"])
    store.put(keys.volume_state(GROUP, "data"), VolumeState(id=first.id, ready=True, size_bytes=GIB))
    copies.clone(store, GROUP, "data", "copy")
    assert sharing.shares(store, GROUP, "copy") == (Share(host="aws-1"),)
    volumes.delete(store, GROUP, "data")
    with pytest.raises(Conflict, match="being deleted"):
        sharing.open_to_all(store, GROUP, "data")
    discarded(store, "data")
    volumes.create(store, GROUP, "data", GIB)
    assert sharing.shares(store, GROUP, "data") is None, "another volume of that name"
    trash.undelete(store, GROUP, first.id, name="older")
    assert sharing.shares(store, GROUP, "older") == (Share(host="aws-1"),)
    with pytest.raises(NotFound, match="no volume"):
        sharing.shares(store, GROUP, "other")

    keeper = VolumeKeeper(store, GROUP, "aws-1")
    keeper._order = lambda **wish: tree.Answer(used_bytes={})  # type: ignore[method-assign]
    assert keeper._purge(first)
    assert keys.volume_shares(GROUP, first.id) not in store.revisions(keys.VOLUME_SHARES)


def test_a_record_that_cannot_be_read_keeps_its_volume_for_nobody(store: Store, made: ClusterSpecification) -> None:
    data, other = (volumes.create(store, GROUP, name, GIB, kept_for=["aws-1"]) for name in ("data", "other"))
    for name in ("data", "other"):
        mounting.mount(store, GROUP, name, ["aws-1"], f"/srv/{name}")
    store.put(keys.volume_shares(GROUP, data.id), {"shares": "all"})
    assert list(records.wanted_on(store, GROUP, "aws-1")) == ["other"]
    store.put(keys.volume_shares(GROUP, data.id), VolumeShares(group=GROUP, volume_id=other.id))
    assert records.shares_of(store, GROUP)[data.id].shares == ()
    store.put(keys.volume_shares(GROUP, data.id), "?")
    for change in (sharing.share, sharing.unshare):
        with pytest.raises(MalformedData):
            change(store, GROUP, "data", ["aws-1"])
    with pytest.raises(MalformedData):
        copies.clone(store, GROUP, "data", "copy")
    sharing.keep_for(store, GROUP, "data", [Share(host="aws-1")])
    mounting.mount(store, GROUP, "data", ["aws-1"], "/srv/data")
    assert set(records.wanted_on(store, GROUP, "aws-1")) == {"data", "other"}


def test_who_gets_a_share_is_told_of_what_is_in_the_way(store: Store, made: ClusterSpecification) -> None:
    for name in ("data", "other"):
        volumes.create(store, GROUP, name, GIB, kept_for=["aws-1"])
    mounting.mount(store, GROUP, "data", None, "/srv/data")
    sharing.open_to_all(store, GROUP, "other")
    mounting.mount(store, GROUP, "other", ["gcp-1"], "/srv/data")  # nothing is there
    for change in (
        lambda: sharing.share(store, GROUP, "data", ["gcp-1"]),
        lambda: sharing.open_to_all(store, GROUP, "data"),
    ):
        with pytest.raises(Conflict, match="gcp-1 has volume other at /srv/data"):
            change()
    sharing.unshare(store, GROUP, "data", ["aws-1"])


def test_a_mount_and_the_end_of_its_share_at_once_never_both_win(store: Store, made: ClusterSpecification) -> None:
    for number in range(5):
        name = f"race-{number}"
        volumes.create(store, GROUP, name, GIB, kept_for=["aws-1"])

        def attempt(action: Any) -> None:
            with contextlib.suppress(Conflict):
                action()

        with ThreadPoolExecutor(2) as pool:
            path = f"/srv/{name}"
            pool.submit(attempt, lambda name=name, path=path: mounting.mount(store, GROUP, name, ["aws-1"], path))
            pool.submit(attempt, lambda name=name: sharing.unshare(store, GROUP, name, ["aws-1"]))
        wanted = keys.mount(GROUP, "aws-1", name) in store.revisions(keys.MOUNT)
        assert not wanted or sharing.shares(store, GROUP, name), "no mount is left that its share does not allow"


def test_shares_on_the_command_line(store: Store, made: ClusterSpecification, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "of_this_host", classmethod(lambda _: contextlib.nullcontext(store)))

    def run(*words: str) -> str:
        done = CliRunner().invoke(volume_command, words, catch_exceptions=True)
        return f"{done.output}{done.exception or ''}"

    assert "it is kept for: aws-1" in run("create", "data", "--size", "1G", "--for", "aws-1")
    assert json.loads(run("share", "data", "--with", "gcp-1", "--read-only", "--json")) == {
        "everybody": False,
        "hosts": [{"host": "aws-1", "read_only": False}, {"host": "gcp-1", "read_only": True}],
    }
    assert "read and write" in run("shares", "data")
    assert "gcp-1" not in run("unshare", "data", "--with", "gcp-1", "--wait", "1")
    assert "for every host" in run("share", "data", "--all")
    assert "azure-1" in run("share", "data", "--only", "--with", "azure-1")
    for words in (("share", "data"), ("share", "data", "--all", "--with", "aws-1"), ("unshare", "data")):
        assert "say" in run(*words)
    assert "every host" in run("share", "data", "--all", "--read-only")


def test_too_many_hosts_by_name_are_refused(store: Store, made: ClusterSpecification) -> None:
    volumes.create(store, GROUP, "data", GIB)
    with pytest.raises(InvalidInput, match="101 hosts are too many"):
        mounting.mount(store, GROUP, "data", [f"h{number}" for number in range(101)], "/srv/data")
    with pytest.raises(InvalidInput, match="no host to mount on"):
        mounting.mount(store, GROUP, "data", [], "/srv/data")


def test_a_volume_is_resized(store: Store, made: ClusterSpecification) -> None:
    created = volumes.create(store, GROUP, "data", GIB)
    state = VolumeState(id=created.id, ready=True, size_bytes=GIB, used_bytes=GIB // 2)
    store.put(keys.volume_state(GROUP, "data"), state)
    resizing.resize(store, GROUP, "data", 2 * GIB)
    seen = volumes.find(store, GROUP, "data")
    assert (seen.size_bytes, seen.quota_bytes, seen.status) == (2 * GIB, GIB, "resizing")
    with pytest.raises(TimedOut, match="no storage host has set it"):
        resizing.wait_resized(store, GROUP, "data", timeout_s=0)
    store.put(keys.volume_state(GROUP, "data"), replace(state, size_bytes=2 * GIB))
    assert resizing.wait_resized(store, GROUP, "data", timeout_s=5).status == "ready"

    with pytest.raises(Conflict, match=r"holds 512M"):
        resizing.resize(store, GROUP, "data", GIB // 4)
    assert resizing.resize(store, GROUP, "data", GIB // 4, force=True).size_bytes == GIB // 4
    with pytest.raises(InvalidInput, match="too small"):
        resizing.resize(store, GROUP, "data", 1, force=True)
    with pytest.raises(NotFound, match="no volume"):
        resizing.resize(store, GROUP, "other", GIB)
    volumes.delete(store, GROUP, "data")
    with pytest.raises(Conflict, match="being deleted"):
        resizing.resize(store, GROUP, "data", GIB)


def discarded(store: Store, name: str) -> None:
    """What the leading host does with a volume that is being deleted, the file system apart."""
    item = records.volume(store, GROUP, name)
    assert item is not None
    keeper = VolumeKeeper(store, GROUP, "aws-1")
    keeper._order = lambda **wish: tree.Answer(used_bytes={})  # type: ignore[method-assign]
    keeper._discard(item)


def test_a_deleted_volume_is_taken_back(store: Store, made: ClusterSpecification) -> None:
    first = volumes.create(store, GROUP, "data", GIB)
    store.put(keys.volume_state(GROUP, "data"), VolumeState(id=first.id, ready=True, size_bytes=GIB, used_bytes=7))
    with pytest.raises(InvalidInput, match="cannot stay"):
        volumes.delete(store, GROUP, "data", keep_s=-1)
    volumes.delete(store, GROUP, "data")
    discarded(store, "data")
    volumes.wait_deleted(store, GROUP, "data", timeout_s=5)
    with pytest.raises(NotFound, match="no volume 'other'"):
        trash.undelete(store, GROUP, "other")
    second = volumes.create(store, GROUP, "data", GIB)
    assert second.path != first.path
    with pytest.raises(Conflict, match="has a volume 'data' again"):
        trash.undelete(store, GROUP, "data")
    back = trash.undelete(store, GROUP, "data", name="older")
    assert (back.path, back.namespace, back.id) == (first.path, first.namespace, first.id)
    assert volumes.find(store, GROUP, "older").status == "pending", "until its directory is back"
    assert trash.list_all(store, GROUP) == ()

    # Deleted again, it stays for as long as it was asked to, and its namesake's deletion is another.
    for name in ("data", "older"):
        volumes.delete(store, GROUP, name, keep_s=3600)
        discarded(store, name)
    assert {(view.name, view.remaining_s) for view in trash.list_all(store, GROUP)} == {("data", 3600), ("older", 3600)}
    assert trash.undelete(store, GROUP, first.id, name="data").origin is None


def test_what_is_destroyed_does_not_come_back(store: Store, made: ClusterSpecification) -> None:
    for keep_s in (0, 3600, 3600):
        volumes.create(store, GROUP, "data", GIB)
        volumes.delete(store, GROUP, "data", keep_s=keep_s)
        discarded(store, "data")
    lost, *kept = sorted(trash.list_all(store, GROUP), key=lambda view: view.remaining_s)
    assert lost.purging
    with pytest.raises(Conflict, match="being destroyed"):
        trash.undelete(store, GROUP, lost.id)
    with pytest.raises(Conflict, match="3 volumes"):
        trash.purge(store, GROUP, "data")
    assert trash.purge(store, GROUP, kept[0].id).purging
    with pytest.raises(TimedOut, match="not destroyed"):
        trash.wait_purged(store, GROUP, kept[0].id, timeout_s=0)
    with pytest.raises(NotFound):
        trash.purge(store, GROUP, "nothing")


def test_snapshots_are_asked_for_made_and_removed(store: Store, made: ClusterSpecification) -> None:
    created = volumes.create(store, GROUP, "data", GIB)
    asked = list[tuple[tree.Snap, ...]]()
    keeper = SnapshotKeeper(store, GROUP, lambda *orders: asked.extend(orders))

    def look() -> None:
        for volume, todo in keeper.due([created]):
            keeper.carry_out(volume, todo)

    snapshots.create(store, GROUP, "data", "mine")
    snapshots.schedule(store, GROUP, "data", every_s=3600, keep=1)
    with pytest.raises(TimedOut, match="no storage host has made it"):
        snapshots.wait_made(store, GROUP, "data", "mine", timeout_s=0)
    for _ in range(3):
        look()
    assert next(one.name for orders in asked for one in orders if one.path == created.path) == "mine"
    snapshots.wait_made(store, GROUP, "data", "mine", timeout_s=5)
    found = snapshots.list_all(store, GROUP, "data")
    assert sorted(one.scheduled for one in found.snapshots) == [False, True]
    assert all(one.made_at for one in found.snapshots)
    assert keeper.due([created]) == []

    with pytest.raises(Conflict, match="has a snapshot 'mine' already"):
        snapshots.create(store, GROUP, "data", "mine")
    with pytest.raises(InvalidInput, match="the schedule's"):
        snapshots.create(store, GROUP, "data", "auto-1")
    with pytest.raises(InvalidInput, match="not usable"):
        snapshots.create(store, GROUP, "data", "a/b")
    for every_s, keep in ((1, 1), (3600, 0), (3600, 49)):
        with pytest.raises(InvalidInput):
            snapshots.schedule(store, GROUP, "data", every_s=every_s, keep=keep)
    with pytest.raises(NotFound, match="no snapshot"):
        snapshots.delete(store, GROUP, "data", "other")

    snapshots.delete(store, GROUP, "data", "mine")
    snapshots.unschedule(store, GROUP, "data")
    look()
    snapshots.wait_gone(store, GROUP, "data", "mine", timeout_s=5)
    assert [one.scheduled for one in snapshots.list_all(store, GROUP, "data").snapshots] == [True]
    keeper.forget(created.id)
    assert snapshots.list_all(store, GROUP, "data").snapshots == ()


def test_what_goes_is_removed_although_nothing_more_can_be_made(store: Store, made: ClusterSpecification) -> None:
    created = volumes.create(store, GROUP, "data", GIB)
    there = set[str]()

    def order(make: tuple[tree.Snap, ...], remove: tuple[tree.Snap, ...]) -> None:
        there.difference_update(one.name for one in remove)
        if len(there) + len(make) > 1:
            raise ProgramFailed("Too many links")
        there.update(one.name for one in make)

    keeper = SnapshotKeeper(store, GROUP, order)

    def look() -> None:
        for volume, todo in keeper.due([created]):
            keeper.carry_out(volume, todo)

    snapshots.create(store, GROUP, "data", "one")
    look()
    for name in ("two", "three"):
        snapshots.create(store, GROUP, "data", name)
    snapshots.delete(store, GROUP, "data", "one")
    with pytest.raises(ProgramFailed, match="Too many"):
        look()
    snapshots.wait_gone(store, GROUP, "data", "one", timeout_s=0)
    snapshots.delete(store, GROUP, "data", "two")
    look()
    snapshots.wait_made(store, GROUP, "data", "three", timeout_s=0)


def test_what_a_promoted_mirror_brought_along_counts_among_peoples_own(
    store: Store, made: ClusterSpecification
) -> None:
    """Ceph makes no more than a hundred in a directory; a mirror that follows this one has its own share."""
    created = volumes.create(store, GROUP, "data", GIB)

    def put(whose: str, number: int) -> None:
        name = mirror_plan.name_for(whose, datetime(2026, 1, 1, second=number, tzinfo=UTC))
        wish = Snapshot(volume_id=created.id, name=name, phase=SnapshotPhase.MADE, asked_at=datetime.now(UTC))
        store.put(keys.snapshot(GROUP, created.id, name), wish)

    for number in range(6):
        put("0a0b0c0d", number)
    for number in range(snapshots.MOST - 1):
        put(created.id, number)
    snapshots.create(store, GROUP, "data", "last")
    with pytest.raises(Conflict, match=f"has {snapshots.MOST} snapshots already"):
        snapshots.create(store, GROUP, "data", "more")
    assert 2 * snapshots.MOST + 1 + 3 * mirrors.MOST_MIRRORS < 100


class Jobs(CopyJobs):
    """Copies that are as far as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.far = CopyReport(files=0, bytes=0)
        self.orders = dict[str, CopyOrder]()

    def follow(self, token: str, order: CopyOrder) -> CopyReport:
        self.orders[token] = order
        if self.far.problem:
            raise ProgramFailed(self.far.problem)
        return self.far


class Door:
    """Access for copies, as it is asked for."""

    def __init__(self) -> None:
        self.asked = list[str]()

    def give(self, entity: str) -> Path:
        self.asked.append(f"give {entity}")
        return Path("keyring")

    def take(self, entity: str) -> None:
        self.asked.append(f"take {entity}")


def test_a_volume_is_cloned_and_restored(store: Store, made: ClusterSpecification) -> None:
    source = volumes.create(store, GROUP, "data", GIB)
    jobs = Jobs()
    keeper, door = CopyKeeper(store, GROUP, lambda: jobs), Door()

    def snapped() -> None:
        for item in records.snapshots(store, GROUP).values():
            if item.value.phase is SnapshotPhase.WANTED:
                store.replace(item, replace(item.value, phase=SnapshotPhase.MADE))

    def state(volume: VolumeSpecification) -> None:
        store.put(
            keys.volume_state(GROUP, volume.name), VolumeState(id=volume.id, ready=True, size_bytes=volume.size_bytes)
        )

    state(source)
    new = copies.clone(store, GROUP, "data", "copy")
    assert (new.id != source.id, new.path != source.path, new.size_bytes) == (True, True, GIB)
    state(new)
    assert volumes.find(store, GROUP, "copy").status == "copying"
    assert not keeper.keep(records.copies(store, GROUP), [new], door), "its snapshot is not made yet"
    assert not jobs.orders
    snapped()
    jobs.far = CopyReport(files=1, bytes=7)
    assert not keeper.keep(records.copies(store, GROUP), [new], door)
    assert [one.source for one in jobs.orders.values()] == [f"{source.path}/.snap/clone-{new.id}"]
    assert volumes.find(store, GROUP, "copy").copied_bytes == 7
    jobs.far = CopyReport(files=1, bytes=7, problem="no room")
    assert not keeper.keep(records.copies(store, GROUP), [new], door)
    with pytest.raises(TimedOut, match="no room"):
        volumes.wait_ready(store, GROUP, "copy", timeout_s=0)
    jobs.far = CopyReport(files=2, bytes=9, done=True)
    keeper.keep(records.copies(store, GROUP), [new], door)
    assert keeper.keep(records.copies(store, GROUP), [new], door)
    assert volumes.find(store, GROUP, "copy").status == "ready"
    assert door.asked[0] == door.asked[-1] == f"take client.copy.{new.id}", "no late copier writes into it any more"
    assert [one.phase for one in snapshots.list_all(store, GROUP, "data").snapshots] == [SnapshotPhase.DELETING]

    snapshots.create(store, GROUP, "data", "then")
    mounting.mount(store, GROUP, "data", ["aws-1"], "/srv/data")
    with pytest.raises(Conflict, match="is mounted on aws-1"):
        copies.restore(store, GROUP, "data", "then")
    before = copies.restore(store, GROUP, "data", "then", force=True)
    assert volumes.find(store, GROUP, "data").mounts == ()
    assert before in {one.name for one in snapshots.list_all(store, GROUP, "data").snapshots}
    with pytest.raises(Conflict, match="being filled already"):
        copies.restore(store, GROUP, "data", "then")
    with pytest.raises(Conflict, match="being filled itself"):
        copies.clone(store, GROUP, "data", "other")
    assert not keeper.keep(records.copies(store, GROUP), [source], door), "what it holds now is kept first"
    snapped()
    keeper.keep(records.copies(store, GROUP), [source], door)
    assert not jobs.orders[f"{source.id}@{source.id}/then"].trust_times
    assert volumes.find(store, GROUP, "data").status == "ready"

    for action, error, said in (
        (lambda: copies.clone(store, GROUP, "data", "copy"), Conflict, "already"),
        (lambda: copies.clone(store, GROUP, "data", "x", snapshot="none"), NotFound, "no snapshot"),
        (lambda: copies.clone(store, GROUP, "none", "x"), NotFound, "no volume"),
        (lambda: copies.clone(store, GROUP, "data", "a/b"), InvalidInput, "not usable"),
        (lambda: copies.clone(store, GROUP, "data", "x", size_bytes=1), InvalidInput, "too small"),
        (lambda: copies.restore(store, GROUP, "data", "none"), NotFound, "no snapshot"),
    ):
        with pytest.raises(error, match=said):
            action()
    store.put(keys.copy(GROUP, new.id), {"volume_id": new.id, "source_id": new.id, "source_path": "/", "snapshot": "x"})
    assert records.copies(store, GROUP) == {}, "nothing outside of volumes is ever copied"


def test_clashes_are_named(store: Store, made: ClusterSpecification) -> None:
    volumes.create(store, GROUP, "one", GIB)
    volumes.create(store, GROUP, "two", GIB)
    mounting.mount(store, GROUP, "one", ["aws-1"], "/srv/x")
    with pytest.raises(Conflict, match="volume one at /srv/x"):
        mounting.mount(store, GROUP, "two", ["aws-1"], "/srv/x")
    with pytest.raises(Conflict, match="at /srv/x already"):
        mounting.mount(store, GROUP, "one", None, "/srv/y")
    assert [one.host for one in volumes.find(store, GROUP, "one").mounts] == ["aws-1"]
    with pytest.raises(NotFound, match="no host nobody"):
        mounting.mount(store, GROUP, "one", ["nobody"], "/srv/x")
    with pytest.raises(NotFound, match="not mounted on gcp-1"):
        mounting.unmount(store, GROUP, "one", ["gcp-1"])
    with pytest.raises(InvalidInput, match="too small"):
        volumes.create(store, GROUP, "three", 1)
    with pytest.raises(NotFound):
        volumes.find(store, GROUP, "three")


def test_a_volume_is_mounted_on_a_thousand_hosts_at_once_and_taken_away(control_node: Any) -> None:
    """As a control node's own etcd is configured: its default would stop at 128."""
    with control_node.store() as store:
        store.put(
            cladnet.keys.configuration(GROUP),
            CladnetSpecification(id=GROUP, name="demo", cidr=IPv4Network("10.64.0.0/20"), created_at=datetime.now(UTC)),
        )
        for number in range(1000):
            with control_node.play(store, f"h{number}"):
                store.put(
                    cladnet.keys.host_information(GROUP, f"h{number}"),
                    HostNetworkInformation(
                        host=f"h{number}", public_address=None, interfaces=(), listen_port=1, public_key="",
                        seal_key="", roles=(Role.STORAGE, Role.MEMBER),
                    ),
                )  # fmt: skip
        with control_node.play(store, "h0"):
            join(store, "h0", 2)
        cluster.create(store, "demo", mon_hosts=["h0"])
        volumes.create(store, GROUP, "everywhere", GIB)
        assert len(mounting.mount(store, GROUP, "everywhere", None, "/mnt/everywhere")) == 1000
        assert {mount.host for mount in volumes.find(store, GROUP, "everywhere").mounts} == {
            f"h{number}" for number in range(1000)
        }
        assert len(mounting.unmount(store, GROUP, "everywhere")) == 1000
        assert volumes.find(store, GROUP, "everywhere").mounts == ()


def test_a_mount_and_a_deletion_at_once_never_both_win(store: Store, made: ClusterSpecification) -> None:
    for number in range(10):
        name = f"race-{number}"
        volumes.create(store, GROUP, name, GIB)
        gate = threading.Barrier(2)

        def attempt(action: Any, gate: threading.Barrier = gate) -> bool:
            gate.wait(timeout=20)
            try:
                action()
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            asking = pool.submit(
                attempt, lambda name=name: mounting.mount(store, GROUP, name, ["aws-1"], f"/srv/{name}")
            )
            deleting = pool.submit(attempt, lambda name=name: volumes.delete(store, GROUP, name))
            mounted, deleted = asking.result(), deleting.result()
        assert mounted != deleted
        seen = volumes.find(store, GROUP, name)
        assert bool(seen.mounts) is mounted
        assert (seen.phase is VolumePhase.DELETING) is deleted


def enrol(store: Store, host: str, *roles: Role) -> None:
    enrolled = EnrolledHost(
        host=host, groups=(GROUP,), roles=roles, certificate_serial="1", enrolled_at=datetime.now(UTC)
    )
    store.put(cladnet.keys.enrolled_host(host), enrolled)


def test_only_who_was_enrolled_for_storage_is_given_its_keys(store: Store, made: ClusterSpecification) -> None:
    enrol(store, "aws-1", Role.STORAGE, Role.MEMBER)
    enrol(store, "gcp-1", Role.MEMBER)  # says that it is a storage host
    seen = view.read(store, GROUP)
    assert seen is not None
    assert view.storage_hosts(store, seen) == ["aws-1"]


def test_no_host_speaks_for_another(store: Store, made: ClusterSpecification) -> None:
    private = join(store, "zzz-9", 9)
    stolen = store.get(cladnet.keys.host_information(GROUP, "zzz-9"), HostNetworkInformation)
    assert stolen is not None
    store.put(cladnet.keys.host_information(GROUP, "zzz-9"), replace(stolen.value, host="aws-1"))
    seen = view.read(store, GROUP)
    assert seen is not None
    assert seen.hosts["aws-1"].seal_key != seal.public_of(private)
    assert "zzz-9" not in seen.hosts


def test_a_volume_that_says_it_is_another_s_is_none(store: Store, made: ClusterSpecification) -> None:
    real = volumes.create(store, GROUP, "data", GIB)
    store.put(keys.volume(GROUP, "other"), replace(real, group="tenant-2", name="secret"))
    store.put(keys.volume(GROUP, "broken"), {"name": "../broken"})
    assert [view.name for view in volumes.list_all(store)] == ["data"]
    with pytest.raises(NotFound):
        mounting.mount(store, GROUP, "other", ["aws-1"], "/srv/x")


def test_one_bad_wish_or_key_keeps_no_other_volume_waiting(
    store: Store, made: ClusterSpecification, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LARVA_STATE", str(tmp_path))
    created = {name: volumes.create(store, GROUP, name, GIB) for name in ("bad", "good", "odd", "wild")}
    for name in ("good", "odd", "wild"):
        mounting.mount(store, GROUP, name, ["aws-1"], f"/srv/{name}")
    wish = MountSpecification(volume="bad", volume_id=created["bad"].id, host="aws-1", path="/etc/cron.d")
    store.put(keys.mount(GROUP, "aws-1", "bad"), wish)
    store.put(keys.mount_key(GROUP, "aws-1", "odd"), {"keys": "none"})
    store.put(keys.mount_state(GROUP, "aws-1", "good"), {"phase": "who knows"})
    store.put(keys.mount(GROUP, "aws-1", "up") + "/../x", wish)
    MountKeeper(store, GROUP, "aws-1").reconcile()
    reports = {view.name: view.mounts[0] for view in volumes.list_all(store, GROUP)}
    assert {name: report.phase for name, report in reports.items()} == {
        "bad": MountPhase.FAILED, "good": MountPhase.PENDING, "odd": MountPhase.FAILED, "wild": MountPhase.PENDING,
    }  # fmt: skip
    assert "belongs to the system" in reports["bad"].problem


def test_a_host_in_two_cladnets_has_one_tree_of_directories(store: Store, made: ClusterSpecification) -> None:
    other = "demo-2"
    store.put(keys.cluster(other), replace(made, group=other))
    information = store.get(cladnet.keys.host_information(GROUP, "aws-1"), HostNetworkInformation)
    assert information is not None
    store.put(cladnet.keys.host_information(other, "aws-1"), information.value)
    volumes.create(store, GROUP, "data", GIB)
    volumes.create(store, other, "data", GIB)
    mounting.mount(store, GROUP, "data", ["aws-1"], "/srv/data")
    for path in ("/srv/data", "/srv/data/inside"):
        with pytest.raises(Conflict, match="volume data at /srv/data"):
            mounting.mount(store, other, "data", ["aws-1"], path)
    mounting.mount(store, other, "data", ["aws-1"], "/srv/data-2")


@pytest.mark.parametrize("size", [0, 1 << 20, 1 << 62])
def test_an_osd_s_size_is_checked_before_hosts_are_told(store: Store, network: dict[str, str], size: int) -> None:
    with pytest.raises(InvalidInput, match="cannot be"):
        cluster.create(store, "demo", osd_file_bytes=size)


def stand(store: Store, *, out: tuple[str, ...] = (), down: tuple[str, ...] = (), room_bytes: int = 0) -> None:
    """Write what the leading monitor's host would see: one OSD a provider."""
    osds = tuple(
        OsdState(
            id=number, host=f"{csp}-1", up=csp not in down, is_in=csp not in out, addresses=(), on_cladnet=True
        )
        for number, csp in enumerate(CSPS)
    )  # fmt: skip
    state = ClusterState(
        health=Health.OK, checks=(), quorum=(), monitors=(), manager="", active_mds=("a",), standby_mds=(), osds=osds,
        total_bytes=0, used_bytes=0, clean=True, observed_at=datetime.now(UTC), room_bytes=room_bytes,
    )  # fmt: skip
    store.put(keys.cluster_state(GROUP), state)


def test_a_promise_is_kept_in_mind_or_refused(store: Store, made: ClusterSpecification) -> None:
    promise = promises.parse("csp", "gcp")
    with pytest.raises(Unavailable, match="not up yet"):
        volumes.create(store, GROUP, "v", GIB, promise)
    for missing in ({"out": ("aws",)}, {"down": ("azure",)}):
        stand(store, **missing)
        with pytest.raises(InvalidInput, match="3 CSPs with OSDs are needed, there are 2"):
            volumes.create(store, GROUP, "v", GIB, promise)
    stand(store)
    with pytest.raises(InvalidInput, match="no OSD that can keep csp is in 'nhn'"):
        volumes.create(store, GROUP, "v", GIB, promises.parse("csp", "nhn"))
    assert volumes.create(store, GROUP, "v", GIB, promise).data_pool == "cladfs.data.csp.home.gcp"
    assert volumes.find(store, GROUP, "v").promise == promise
    assert volumes.create(store, GROUP, "w", GIB).data_pool == "cladfs.data"


def test_who_promises_more_room_than_there_is_is_told(store: Store, made: ClusterSpecification) -> None:
    volumes.create(store, GROUP, "v", 2 * GIB)
    assert room.warning(store, GROUP) == "", "nobody knows how much there is"
    stand(store, room_bytes=3 * GIB)
    assert room.warning(store, GROUP) == ""
    volumes.create(store, GROUP, "w", 2 * GIB)
    assert "may hold 4GB together, and its OSDs have room for 3GB" in room.warning(store, GROUP)
    resizing.resize(store, GROUP, "w", GIB)
    assert room.warning(store, GROUP) == ""


@pytest.mark.parametrize(("survive", "home"), [("moon", ""), ("csp", "a b"), (None, "aws")])
def test_a_promise_that_is_none_is_refused(survive: str | None, home: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        promises.parse(survive, home)
    assert refused.value.hint


def test_promises_are_listed_with_their_cost(store: Store, made: ClusterSpecification) -> None:
    stand(store)
    found = promises.preview(store, GROUP, "gcp")
    csp = found.option(Survive.CSP)
    assert csp.write is not None
    assert csp.unwise, "what nobody measured is guessed high"
    assert "above 100 ms stretching is unwise" in promises.unwise(csp)
    assert "3 zones" in found.option(Survive.ZONE).missing
    assert promises.unwise(found.option(Survive.ZONE)) == ""
    assert any("never measured" in remark for remark in found.remarks)
    cells = tuple(
        PairLatency(
            destination=f"{csp}-1", destination_address=IPv4Address("192.168.10.9"), sent=3, received=3, avg_ms=ms
        )
        for csp, ms in (("aws", 20.0), ("azure", 8.0))
    )  # fmt: skip
    row = HostStatus(
        host="gcp-1", test_id="t", measured_at=datetime.now(UTC), interface="", datapath="", latencies=cells
    )
    assert found.measured_at is None
    store.put(cladnet.keys.status(GROUP, "gcp-1"), row)
    older = replace(row, host="aws-1", measured_at=row.measured_at - timedelta(hours=3), latencies=cells[1:])
    store.put(cladnet.keys.status(GROUP, "aws-1"), older)
    preview = promises.preview(store, GROUP, "gcp")
    assert preview.measured_at == older.measured_at
    store.put(cladnet.keys.status(GROUP, "aws-1"), replace(older, latencies=()))
    assert promises.preview(store, GROUP, "gcp").measured_at == row.measured_at
    measured = preview.option(Survive.CSP)
    assert measured.write is not None
    assert measured.write.expected_ms == 20.0
    assert not measured.unwise
    with pytest.raises(InvalidInput):
        promises.preview(store, GROUP, "a b")


def test_monitors_that_outlive_less_than_a_volume_are_named(store: Store, network: dict[str, str]) -> None:
    cluster.create(store, "demo", mon_hosts=("aws-1",))
    stand(store)
    remarks = promises.preview(store, GROUP).remarks
    assert any("the monitors (aws-1) do not outlive host, region, csp, csp+region" in remark for remark in remarks)


def test_the_command_shows_what_a_promise_costs_and_asks(
    store: Store, made: ClusterSpecification, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand(store)
    monkeypatch.setattr(Store, "of_this_host", lambda: contextlib.nullcontext(store))
    words = ["create", "v", "--size", "1G", "--survive", "csp"]
    refused = CliRunner().invoke(volume_command, words, input="n\n")
    assert refused.exit_code == 1
    assert "a write takes" in refused.output
    assert "stretching is unwise" in refused.output
    assert "larva volume mirror v --to" in refused.output, "what can be had instead"
    assert "3 zones with OSDs are needed" in refused.output
    assert volumes.list_all(store, GROUP) == ()
    unasked = CliRunner().invoke(volume_command, [*words, "--json"])
    assert isinstance(unasked.exception, InvalidInput)
    assert CliRunner().invoke(volume_command, words, input="y\n").exit_code == 0
    assert volumes.find(store, GROUP, "v").promise == promises.parse("csp")
    told = CliRunner().invoke(volume_command, ["create", "w", *words[2:], "--home", "aws", "--yes", "--json"])
    assert json.loads(told.stdout)["promise"] == {"survive": "csp", "home": "aws"}
