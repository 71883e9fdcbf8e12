"""Which hosts the cluster itself has lost, and which metadata servers go with them: pure.

A host is lost when others say so who saw it from elsewhere: its monitor, if it has one, is not in the quorum, and of
its OSDs, of which it has one at least, none is up. OSDs are marked down by others of two regions.
"""

from collections.abc import Collection

from cbstorage.ceph.answers import CrushTree, FileSystems, MdsEntry, OsdMap, QuorumStatus
from cbstorage.host import local


def lost(quorum: QuorumStatus, osd_map: OsdMap, tree: CrushTree) -> frozenset[str]:
    """Return the storage hosts that are lost, by the cluster's own judgement."""
    known = {one.osd for one in osd_map.osds}
    up = {one.osd for one in osd_map.osds if one.up}
    found = set()
    for node in tree.nodes:
        osds = set(node.children) & known
        if node.type == "host" and osds and not osds & up and node.name not in set(quorum.quorum_names):
            found.add(node.name)
    return frozenset(found)


def unheard(quorum: QuorumStatus) -> frozenset[str]:
    """Return the hosts whose monitors are missing from the quorum: others may notice more in a moment."""
    return frozenset(one.name for one in quorum.monmap.mons) - frozenset(quorum.quorum_names)


def servers_on(hosts: Collection[str], maps: FileSystems) -> tuple[MdsEntry, ...]:
    """Return the metadata servers on these hosts that hold a rank, whatever they are doing."""
    names = {local.mds_name(host) for host in hosts}
    found = [one for fs in maps.filesystems for one in fs.mdsmap.info.values() if one.name in names and one.rank >= 0]
    return tuple(sorted(found, key=lambda one: one.gid))
