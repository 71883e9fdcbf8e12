"""Monitors, managers and metadata servers that this host should run no more: stopped, their data and keys deleted.

A monitor goes when the map has it no more, a metadata server when another one that is wanted is there.
"""

import logging
import shutil

from cbstorage.ceph import cephx
from cbstorage.ceph.answers import FileSystems, QuorumStatus
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local, systemd
from cbstorage.model import ClusterSpecification, DaemonKind

log = logging.getLogger(__name__)


def tend(monitors: Monitors, specification: ClusterSpecification, host: str) -> None:
    """End what this host runs and should not, as far as that can be now."""
    if host not in specification.mon_hosts and host in local.prepared(DaemonKind.MON):
        quorum = monitors.ask("quorum_status", QuorumStatus)
        if host not in {one.name for one in quorum.monmap.mons}:
            _end(DaemonKind.MON, host)
    if host not in specification.mon_hosts:
        for one in (cephx.ADMIN, f"{cephx.ADMIN}.next"):
            local.keyring_of(one).unlink(missing_ok=True)
    if host not in specification.mgr_hosts and host in local.prepared(DaemonKind.MGR):
        _end(DaemonKind.MGR, host)
    name = local.mds_name(host)
    if (
        host not in specification.mds_hosts
        and name in local.prepared(DaemonKind.MDS)
        and _is_another_there(monitors, specification)
    ):
        _end(DaemonKind.MDS, name)


def _is_another_there(monitors: Monitors, specification: ClusterSpecification) -> bool:
    maps = monitors.ask("fs dump", FileSystems)
    there = {one.name for one in maps.standbys}
    there |= {one.name for fs in maps.filesystems for one in fs.mdsmap.info.values() if one.state == "up:active"}
    return bool(there & {local.mds_name(one) for one in specification.mds_hosts})


def _end(kind: DaemonKind, name: str) -> None:
    unit = local.unit(kind, name)
    systemd.stop(unit)
    systemd.disable(unit)
    shutil.rmtree(local.data_directory(kind, name))
    log.info("%s %s is wanted here no more; its data is deleted", kind, name)
