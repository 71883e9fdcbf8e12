"""What stands in etcd of a storage cluster with an OSD at each of three providers, for tests that need no hosts."""

from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network

import cladnet.keys
from cbstorage import keys
from cbstorage.model import ClusterSpecification, ClusterState, Health, OsdState
from cladnet.etcd.store import Store
from cladnet.model import CloudFacts, HostNetworkInformation, NetworkingRule, Role

HOSTS = {
    "aws-1": CloudFacts(provider="aws", region="ap-southeast-2", zone="a"),
    "gcp-1": CloudFacts(provider="gcp", region="asia-east1", zone="a"),
    "azure-1": CloudFacts(provider="azure", region="uksouth", zone="a"),
}
"""As the OSDs of a small Ceph, by their order."""


def set_up(
    store: Store, group: str, *, fsid: str = "5248e297-0307-4aad-a81e-d3b7ee2f8cd4", cidr: str = "192.168.10.0/26"
) -> None:
    """Write the cluster, its hosts and how it is."""
    now = datetime.now(UTC)
    specification = ClusterSpecification(
        group=group, fsid=fsid, cidr=IPv4Network(cidr), mon_hosts=("aws-1",), mgr_hosts=(), mds_hosts=("aws-1",),
        created_at=now,
    )  # fmt: skip
    store.put(keys.cluster(group), specification)
    osds = []
    for number, (host, cloud) in enumerate(HOSTS.items()):
        information = HostNetworkInformation(
            host=host, public_address=None, interfaces=(), listen_port=1, public_key="", seal_key=f"seal-{host}",
            cloud=cloud, roles=(Role.STORAGE, Role.MEMBER),
        )  # fmt: skip
        address = IPv4Address(f"192.168.10.{number + 2}")
        rule = NetworkingRule(host=host, address=address, public_key="", endpoints=(), cloud=cloud)
        store.put(cladnet.keys.host_information(group, host), information)
        store.put(cladnet.keys.rule(group, host), rule)
        osds.append(OsdState(id=number, host=host, up=True, is_in=True, addresses=(), on_cladnet=True))
    state = ClusterState(
        health=Health.OK, checks=(), quorum=("aws-1",), monitors=("aws-1",), manager="", active_mds=(), standby_mds=(),
        osds=tuple(osds), total_bytes=1, used_bytes=0, clean=None, observed_at=now,
    )  # fmt: skip
    store.put(keys.cluster_state(group), state)
