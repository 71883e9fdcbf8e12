"""What hosts may do in storage's part of etcd: mounts for everybody, daemons for storage hosts, all for monitors'."""

from collections.abc import Mapping

from cbstorage import keys
from cbstorage.model import ClusterSpecification
from cladnet.access.permissions import Access, Permission, Rights, Row, Source, expand
from cladnet.etcd.store import Store
from cladnet.keys import ENROLLED_HOST, STATUS
from cladnet.model import EnrolledHost, Role

MEMBER_TABLE = (
    Row(keys.CLUSTER + "{group}", Access.READ, "which Ceph cluster its CLADNet has"),
    Row(keys.FOUNDING + "{group}", Access.READ, "its first monitors"),
    Row(keys.VOLUME + "{group}/", Access.READ, "where a volume lies"),
    Row(keys.VOLUME_SHARES + "{group}/", Access.READ, "which hosts a volume is kept for"),
    Row(keys.MIRROR + "{group}/", Access.READ, "which volumes are only read, since they follow others"),
    Row(keys.MOUNT + "{group}/{host}/", Access.READ, "what it should mount"),
    Row(keys.MOUNT_EVERYWHERE + "{group}/", Access.READ, "what every host should mount"),
    Row(keys.MOUNT_KEY + "{group}/{host}/", Access.READ, "the keys of its mounts, sealed to it"),
    Row(keys.MOUNT_STATE + "{group}/{host}/", Access.READ_WRITE, "how its mounts stand"),
    Row(keys.KEY_ROTATION + "{group}/", Access.READ, "whether it should use a new key at once"),
)
"""Every host."""

STORAGE_TABLE = (
    Row(keys.KEYRING + "{group}/{host}", Access.READ, "its daemons' keys, sealed to it"),
    Row(keys.DAEMONS + "{group}/{host}", Access.READ_WRITE, "what runs on it"),
    Row(keys.CLUSTER_STATE + "{group}", Access.READ, "how the cluster is"),
    Row(keys.MOUNT + "{group}/", Access.READ, "watched, since it may become a monitor's host"),
    Row(keys.MOUNT_STATE + "{group}/", Access.READ, "watched, since it may become a monitor's host"),
    Row(keys.OSD_WISH + "{group}/", Access.READ, "what should become of its OSDs"),
    Row(keys.OSD_PROGRESS + "{group}/", Access.READ, "when it has to stop one"),
    Row(keys.OSD_DEVICE + "{group}/{host}/", Access.READ, "devices that it should have OSDs on"),
    Row(keys.UPDATE_TURN + "{group}/", Access.READ, "whose turn it is to restart daemons"),
    Row(keys.UPDATE_TURN + "{group}/{host}", Access.READ_WRITE, "its place in that queue"),
)
"""Hosts of the role storage."""

GATEWAY_TABLE = (
    Row(keys.SMB_SHARE + "{group}/{host}/", Access.READ, "which volumes it shares with whom"),
    Row(keys.SMB_USER + "{group}/{host}/", Access.READ, "its users' passwords, sealed to it"),
    Row(keys.SMB_STATE + "{group}/{host}", Access.READ_WRITE, "what it serves"),
)
"""Hosts of the role gateway."""

MONITOR_TABLE = (
    Row(keys.FOUNDING + "{group}", Access.READ_WRITE, "whoever creates it founds the cluster"),
    Row(keys.CLUSTER_STATE + "{group}", Access.READ_WRITE, "what the leading monitor's host sees"),
    Row(ENROLLED_HOST, Access.READ, "which hosts are enrolled to give disks"),
    Row(STATUS + "{group}/", Access.READ, "which places are near each other, so that copies lie well"),
    Row(keys.KEYRING + "{group}/", Access.READ_WRITE, "it seals every storage host's keys"),
    Row(keys.VOLUME + "{group}/", Access.READ_WRITE, "it removes what is being deleted"),
    Row(keys.VOLUME_STATE + "{group}/", Access.READ_WRITE, "it makes the volumes"),
    Row(keys.VOLUME_SHARES + "{group}/", Access.READ_WRITE, "those of a destroyed volume go with it"),
    Row(keys.MIRROR + "{group}/", Access.READ_WRITE, "that of a destroyed volume goes with it"),
    Row(keys.MIRROR_STATE + "{group}/", Access.READ_WRITE, "it brings mirrors what their sources hold"),
    Row(keys.TRASH + "{group}/", Access.READ_WRITE, "it puts deleted volumes there, and destroys them in time"),
    Row(keys.SNAPSHOT + "{group}/", Access.READ_WRITE, "it makes and removes snapshots"),
    Row(keys.COPY + "{group}/", Access.READ_WRITE, "it fills volumes, and says how far it is"),
    Row(keys.SNAPSHOT_SCHEDULE + "{group}/", Access.READ_WRITE, "when; a destroyed volume's goes with it"),
    Row(keys.CONNECTION + "{group}/", Access.READ, "which machines outside have volumes"),
    Row(keys.CONNECTION_KEY + "{group}/", Access.READ_WRITE, "it makes their keys, and takes them back"),
    Row(keys.MOUNT_KEY + "{group}/", Access.READ_WRITE, "it hands out the keys of mounts and takes them back"),
    Row(keys.KEY_STATE + "{group}/", Access.READ_WRITE, "it replaces keys, and says how far it is"),
    Row(keys.OSD_WISH + "{group}/", Access.READ_WRITE, "it removes what has been fulfilled"),
    Row(keys.OSD_PROGRESS + "{group}/", Access.READ_WRITE, "it drains and removes OSDs"),
    Row(keys.OSD_DEVICE + "{group}/", Access.READ_WRITE, "a removed OSD's device is given no longer"),
    Row(keys.DAEMONS + "{group}/", Access.READ_WRITE, "it looks who has what, and forgets hosts that left"),
)
"""Storage hosts on which a cluster's specification puts a monitor: they hold Ceph's administrator key anyway."""


def _read(store: Store) -> Rights:
    clusters = store.children(keys.CLUSTER, ClusterSpecification)
    monitors = {group: frozenset(item.value.mon_hosts) for group, item in clusters.items()}
    return lambda host: rights(host, monitors)


def rights(host: EnrolledHost, monitors: Mapping[str, frozenset[str]]) -> frozenset[Permission]:
    """Return what a host may do, given the monitors' hosts of each CLADNet."""
    granted = expand(MEMBER_TABLE, host)
    if Role.GATEWAY in host.roles:
        granted |= expand(GATEWAY_TABLE, host)
    if Role.STORAGE in host.roles:
        granted |= expand(STORAGE_TABLE, host)
        leading = [group for group in host.groups if host.host in monitors.get(group, frozenset())]
        if leading:
            granted |= expand(MONITOR_TABLE, host, leading)
    return granted


SOURCE = Source(watched=(keys.CLUSTER,), read=_read)
