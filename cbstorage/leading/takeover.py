"""A metadata server on a lost host is replaced at once: the leading monitor's host says that it failed.

Monitors count a metadata server's missed beacons anew after every election, and its successor then waits for clients
that went with the host: after the loss of a cloud these waits follow each other. Here neither is begun: the cluster's
own judgement of the host (`lost_hosts`) is enough once its server answers this host no more, and the host's clients are
shut out, as they would be at the end of the wait (`shut_out`).

It needs no etcd. The connection is kept, so that the first quorum after a loss answers at once.
"""

import logging
from pathlib import Path

from cbstorage.ceph import cephx
from cbstorage.ceph.answers import CrushTree, FileSystems, MdsEntry, OsdMap, OsdStat, QuorumStatus
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import claim, local, preflight
from cbstorage.leading import lost_hosts, shut_out
from cbstorage.model import DaemonKind
from larva.errors import LarvaError, NotFound, Unavailable

log = logging.getLogger(__name__)

LOOK_S = 1.0
IDLE_S = 10.0
"""Between two looks whether this host has a monitor."""
PROBE_S = 0.7
"""For a TCP connection to a server that the cluster has given up already."""
PROBES = 2
"""One lost packet is no silence: the kernel sends it again only after a second."""


class Takeover:
    """What one monitor's host does about metadata servers on lost hosts; only the leading one acts."""

    def __init__(self, group: str, host: str) -> None:
        self._group = group
        self._host = host
        self._monitors: Monitors | None = None
        self._keyring = ""
        """What the connection was made by."""

    def look(self) -> float:
        """Replace the servers that are lost; return the seconds until the next look."""
        if not self._has_monitor():
            self.close()
            return IDLE_S
        try:
            self._look(self._connected())
        except LarvaError as error:  # a pause that grows would be there when it matters
            log.debug("metadata servers are not watched: %s", error.message)
            self.close()
        return LOOK_S

    def close(self) -> None:
        """End the connection."""
        if self._monitors is not None:
            self._monitors.close()
            self._monitors = None

    def _has_monitor(self) -> bool:
        served = claim.current()
        ours = served is not None and served.group == self._group
        return ours and self._host in local.prepared(DaemonKind.MON) and local.keyring_of(cephx.ADMIN).exists()

    def _connected(self) -> Monitors:
        keyring = local.keyring_of(cephx.ADMIN)
        written = _text(keyring)
        if self._monitors is not None and written != self._keyring:
            self.close()  # it would log in again by a key that is good no more
        if self._monitors is None:
            self._monitors, self._keyring = Monitors(local.CONFIGURATION, entity=cephx.ADMIN, keyring=keyring), written
        return self._monitors

    def _look(self, monitors: Monitors) -> None:
        quorum = monitors.ask("quorum_status", QuorumStatus)
        if quorum.quorum_leader_name != self._host:
            return
        suspected = lost_hosts.unheard(quorum) | _lost(monitors, quorum)
        for server in lost_hosts.servers_on(suspected, monitors.ask("fs dump", FileSystems)) if suspected else ():
            self._ask(monitors, server)

    def _ask(self, monitors: Monitors, server: MdsEntry) -> None:
        """Replace a server if it answers no more and the cluster has lost its host.

        The cluster is asked last: a monitor is missed a moment before OSDs are, in which the server was asked.
        """
        if not server.addrs.addrvec:
            return
        at = server.addrs.addrvec[0]
        for _ in range(PROBES):
            reach = preflight.reach(None, at.ip(), at.port(), timeout_s=PROBE_S)
            if reach.answers:
                return
        quorum = monitors.ask("quorum_status", QuorumStatus)
        maps = monitors.ask("fs dump", FileSystems)
        if server.gid not in {one.gid for one in lost_hosts.servers_on(_lost(monitors, quorum), maps)}:
            return
        try:
            # Else monitors refuse while they warn of its cache or its journal.
            monitors.run("mds fail", role_or_gid=str(server.gid), yes_i_really_mean_it=True)
        except NotFound:  # the monitors were faster
            return
        log.warning("%s is replaced: its host is lost, and %s %s", server.name, at.addr, reach.words)
        if not reach.host_answers:
            shut_out.carry_out(at.ip())


def _lost(monitors: Monitors, quorum: QuorumStatus) -> frozenset[str]:
    stat = monitors.ask("osd stat", OsdStat)
    if stat.num_up_osds == stat.num_osds:
        return frozenset()
    return lost_hosts.lost(quorum, monitors.ask("osd dump", OsdMap), monitors.ask("osd tree", CrushTree))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror}") from error
