"""On what ground copies can lie: the hosts whose OSDs count, where they are, and how far from each other."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime

import cladnet.keys
from cbstorage.ceph import layout
from cbstorage.ceph.layout import Survey
from cbstorage.model import OsdState
from cladnet.etcd.store import Store
from cladnet.model import CloudFacts, HostStatus
from cladnet.placement.candidates import distances
from cladnet.placement.model import Rtt


def survey(osds: Iterable[OsdState], clouds: Mapping[str, CloudFacts], rtts: Iterable[Rtt], *, up: bool) -> Survey:
    """Return the ground. OSDs that are out are being emptied, or given up: nothing stands on them.

    Args:
        clouds: where hosts are, by name; one that is not among them counts for nothing.
        up: whether an OSD that is down counts for nothing, as for a new promise; what is kept waits for it.
    """
    hosts = {osd.host for osd in osds if osd.is_in and (osd.up or not up)}
    return layout.survey({host: clouds[host] for host in hosts & clouds.keys()}, tuple(rtts))


def measured(store: Store, group: str) -> tuple[Rtt, ...]:
    """The distances of each host's last status test."""
    return distances(_rows(store, group))


def measured_at(store: Store, group: str, hosts: Collection[str]) -> datetime | None:
    """When the oldest of the distances between these hosts was measured; None where none was."""
    found = (
        row.measured_at
        for row in _rows(store, group)
        if row.host in hosts and any(rtt.between[1] in hosts for rtt in distances([row]))
    )
    return min(found, default=None)


def _rows(store: Store, group: str) -> list[HostStatus]:
    rows = store.children(cladnet.keys.statuses_of(group), HostStatus)
    return [rows[host].value for host in sorted(rows)]
