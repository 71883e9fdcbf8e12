"""Hosts and wishes in etcd, for tests of storage as desired state."""

from datetime import UTC, datetime
from ipaddress import IPv4Address

import cladnet.keys
from cbstorage import keys, records
from cbstorage.leading import tree
from cbstorage.leading.volume_keeper import VolumeKeeper
from cbstorage.model import ClusterState, Health, OsdState
from cbstorage.wanted import volumes
from cladnet import seal
from cladnet.etcd.store import Store
from cladnet.model import CloudFacts, EnrolledHost, HostNetworkInformation, NetworkingRule, Role

GROUP = "demo-1"
CSPS = ("aws", "azure", "gcp")
GIB = 1 << 30


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


def mounts_of(store: Store, name: str = "data") -> dict[str, bool]:
    """By host, whether it may only read."""
    return {mount.host: mount.read_only for mount in volumes.find(store, GROUP, name).mounts}


def discarded(store: Store, name: str) -> None:
    """What the leading host does with a volume that is being deleted, the file system apart."""
    item = records.volume(store, GROUP, name)
    assert item is not None
    keeper = VolumeKeeper(store, GROUP, "aws-1")
    keeper._order = lambda **wish: tree.Answer(used_bytes={})  # type: ignore[method-assign]
    keeper._discard(item)


def enrol(store: Store, host: str, *roles: Role) -> None:
    enrolled = EnrolledHost(
        host=host, groups=(GROUP,), roles=roles, certificate_serial="1", enrolled_at=datetime.now(UTC)
    )
    store.put(cladnet.keys.enrolled_host(host), enrolled)


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
