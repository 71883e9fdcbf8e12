"""Volumes as desired state, on a real etcd: life cycle, mounts, clashes, and what waits say."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from storage_wishes import CSPS, GIB, GROUP, join

import cladnet.keys
from cbstorage import keys, records
from cbstorage.model import ClusterSpecification, MountPhase, MountSpecification, MountState, VolumePhase, VolumeState
from cbstorage.mounting.mounts import MountKeeper
from cbstorage.wanted import cluster, mounting, resizing, volumes
from cladnet.etcd.store import Store
from cladnet.model import CladnetSpecification, HostNetworkInformation, Role
from larva.errors import Conflict, InvalidInput, NotFound, TimedOut


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
