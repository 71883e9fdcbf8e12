"""On what ground copies can lie: the hosts whose OSDs count, where they are, and how far from each other."""

from collections.abc import Iterable, Mapping

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
    """The distances of the last status test."""
    rows = store.children(cladnet.keys.statuses_of(group), HostStatus)
    return distances(rows[host].value for host in sorted(rows))
