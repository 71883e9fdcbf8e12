"""A storage cluster as desired state, on a real etcd: who founds it, who gets its keys, what is refused."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Network

import pytest
from storage_wishes import GIB, GROUP, enrol, join, stand

import cladnet.keys
from cbstorage import keys, view
from cbstorage.ceph import sealed_keys
from cbstorage.ceph.cephx import ADMIN, MON
from cbstorage.host import founding
from cbstorage.model import ClusterSpecification, SealedKeys
from cbstorage.wanted import cluster, promises, volumes
from cladnet import seal
from cladnet.etcd.store import Store
from cladnet.model import CladnetSpecification, HostNetworkInformation, Role
from larva.errors import Conflict, InvalidInput, LarvaError, NotFound, Unavailable


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


@pytest.mark.parametrize("size", [0, 1 << 20, 1 << 62])
def test_an_osd_s_size_is_checked_before_hosts_are_told(store: Store, network: dict[str, str], size: int) -> None:
    with pytest.raises(InvalidInput, match="cannot be"):
        cluster.create(store, "demo", osd_file_bytes=size)


def test_monitors_that_outlive_less_than_a_volume_are_named(store: Store, network: dict[str, str]) -> None:
    cluster.create(store, "demo", mon_hosts=("aws-1",))
    stand(store)
    remarks = promises.preview(store, GROUP).remarks
    assert any("the monitors (aws-1) do not outlive host, region, csp, csp+region" in remark for remark in remarks)
