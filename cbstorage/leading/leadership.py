"""Whether this host may act for the whole cluster now: it has its keys, and the leading monitor or stands in for it."""

from cbstorage.ceph import cephx
from cbstorage.ceph.answers import QuorumStatus
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import claim, local
from cbstorage.leading import monitor_moves
from cbstorage.view import View


def has_keys(seen: View, host: str) -> bool:
    """Whether this host is meant to have a monitor and has the administrator's key of this very cluster."""
    return (
        host in seen.specification.mon_hosts
        and local.keyring_of(cephx.ADMIN).exists()
        and claim.current() == claim.Claim(group=seen.group, fsid=seen.specification.fsid)
    )


def leads(monitors: Monitors, seen: View, host: str) -> bool:
    """Ask the monitors whether this host does what one host does."""
    quorum = monitors.ask("quorum_status", QuorumStatus)
    return monitor_moves.leads(
        host, leader=quorum.quorum_leader_name, quorum=quorum.quorum_names, wanted=seen.specification.mon_hosts
    )
