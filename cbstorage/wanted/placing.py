"""Monitors, managers and metadata servers placed anew while the cluster runs; its hosts follow."""

import time
from collections.abc import Sequence
from dataclasses import replace

from cbstorage import keys
from cbstorage.model import ClusterSpecification, ClusterState
from cbstorage.wanted import assignment, cluster, monitor_plan
from cbstorage.wanted.assignment import Candidate
from cladnet import network_hosts
from cladnet.etcd.store import Store
from larva.errors import Conflict, NotFound, TimedOut

POLL_S = 0.5


def place(store: Store, cladnet: str | None, mon_hosts: Sequence[str]) -> ClusterSpecification:
    """Want monitors on these hosts, managers beside them, and a metadata server with each provider.

    New monitors are in quorum before old ones go, one at a time; asking again for the same goes on with that.

    Args:
        cladnet: id or name; the only one with a storage cluster without it.
        mon_hosts: as `plan_monitors` names them.

    Raises:
        NotFound: there is no storage cluster.
        Conflict: somebody else changed it meanwhile.
    """
    view = cluster.find(store, cladnet)
    key = keys.cluster(view.specification.group)
    current = store.get(key, ClusterSpecification)
    if current is None:
        raise NotFound("the storage cluster is gone")
    old = current.value
    hosts = monitor_plan.able(network_hosts.views(store, old.group))
    candidates = [Candidate(host=one.host, cloud=one.cloud) for one in hosts]
    new = anew(old, mon_hosts, candidates, view.state)
    if new != old:
        store.replace(current, new)
    return new


def anew(
    old: ClusterSpecification, mon_hosts: Sequence[str], candidates: Sequence[Candidate], state: ClusterState | None
) -> ClusterSpecification:
    """Return a cluster's specification with its daemons placed anew.

    Args:
        candidates: the storage hosts.
        state: as it was last seen; monitors that it names are looked for until they are out of the map.
    """
    if state is None:
        raise Conflict("the storage cluster is still being founded", hint="larva storage status --wait 300")
    there = dict.fromkeys((*old.mon_hosts, *old.leaving_mon_hosts, *state.monitors))
    return replace(
        old,
        mon_hosts=tuple(mon_hosts),
        mgr_hosts=assignment.managers(mon_hosts),
        mds_hosts=assignment.metadata_servers(candidates),
        leaving_mon_hosts=tuple(
            host for host in there if host not in mon_hosts and (host in state.monitors or host in old.mon_hosts)
        ),
    )


def missing(specification: ClusterSpecification, state: ClusterState | None) -> str:
    """Return what is still to be done before monitors are where they are wanted; empty when nothing is."""
    if state is None:
        return "no monitor quorum yet"
    if away := sorted(set(specification.mon_hosts) - set(state.quorum)):
        return f"not in quorum yet: {', '.join(away)}"
    if still := sorted(set(state.monitors) - set(specification.mon_hosts)):
        return f"still a monitor: {', '.join(still)}"
    return ""


def wait(store: Store, specification: ClusterSpecification, *, timeout_s: float) -> None:
    """Wait until monitors are where they are wanted; TimedOut with what is missing otherwise."""
    deadline = time.monotonic() + timeout_s
    while words := missing(specification, cluster.find(store, specification.group).state):
        if time.monotonic() > deadline:
            raise TimedOut(f"monitors are not placed after {timeout_s:g} s: {words}", hint="it goes on by itself")
        time.sleep(POLL_S)
