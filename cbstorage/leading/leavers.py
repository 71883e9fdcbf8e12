"""Hosts that left the CLADNet: what they could still log in with is taken back, and their OSDs' data is made anew.

A host has left when neither what it says of itself nor a rule for it is in etcd; one that is silent, or says what
cannot be read, has not. Its OSDs' own keys go with `larva storage osd remove --lost`: a host that comes back brings its
data, and those of its OSDs that were marked out for its leaving are in again once they are up.
"""

import contextlib
import logging
from collections.abc import Sequence

import cladnet.keys
from cbstorage import keys
from cbstorage.ceph import cephx
from cbstorage.ceph.answers import CrushTree, OsdEntry, OsdMap
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.model import DaemonKind
from cladnet.etcd.store import Store
from larva.errors import NotFound

log = logging.getLogger(__name__)

MARKED_OUT = "larva/left/"
"""In the monitors' own store: the UUIDs of OSDs that were marked out because their host left, with its name. An OSD
that somebody marked out by hand stays so."""


def tend(store: Store, monitors: Monitors, group: str) -> None:
    """Take back what hosts that left were given; one whose OSDs are still up is looked at again."""
    named = _named(store, keys.keyrings_of(group)) | _named(store, keys.daemons_of(group))
    for host in sorted(named):
        if not has_left(store, group, host):
            continue
        _take_back(monitors, host)
        store.delete(keys.keyring(group, host))
        if _counts_no_more(monitors, host):
            store.delete(keys.daemons(group, host))
            log.info("storage host %s left: its keys are gone, its OSDs are out", host)
    _take_in(store, monitors, group)


def has_left(store: Store, group: str, host: str) -> bool:
    """Whether a host is of the CLADNet no more: by what keys there are, whatever stands in them."""
    return not store.exists(cladnet.keys.host_information(group, host)) and not store.exists(
        cladnet.keys.rule(group, host)
    )


def osds_of(host: str, tree: CrushTree, osd_map: OsdMap) -> list[OsdEntry]:
    """A host's OSDs by its place in the CRUSH map."""
    inside = {child for node in tree.nodes if (node.type, node.name) == ("host", host) for child in node.children}
    return [one for one in osd_map.osds if one.osd in inside]


def entities(host: str) -> Sequence[str]:
    """Whom a storage host could log in as, its OSDs aside."""
    return (
        cephx.storage_host(host), f"{DaemonKind.MGR}.{host}", f"{DaemonKind.MDS}.{local.mds_name(host)}",
    )  # fmt: skip


def _take_back(monitors: Monitors, host: str) -> None:
    for entity in entities(host):
        with contextlib.suppress(NotFound):
            monitors.run("auth rm", entity=entity)


def _counts_no_more(monitors: Monitors, host: str) -> bool:
    """Mark the host's OSDs out, and return whether none is up or in any more."""
    there = osds_of(host, monitors.ask("osd tree", CrushTree), monitors.ask("osd dump", OsdMap))
    if any(one.up for one in there):
        return False
    if out := [one for one in there if one.weight > 0]:
        for one in out:
            monitors.run("config-key set", key=f"{MARKED_OUT}{one.uuid}", val=host)
        monitors.run("osd out", ids=[str(one.osd) for one in out])
        log.info("osd %s of %s, which left, are out", ", ".join(str(one.osd) for one in out), host)
    return True


def _take_in(store: Store, monitors: Monitors, group: str) -> None:
    """Mark the OSDs of hosts that came back in, once they are up."""
    marked = monitors.ask("config-key dump", dict[str, str], key=MARKED_OUT)
    if not marked:
        return
    there = {one.uuid: one for one in monitors.ask("osd dump", OsdMap).osds}
    for key, host in marked.items():
        found = there.get(key.removeprefix(MARKED_OUT))
        if found is not None and (not found.up or has_left(store, group, host)):
            continue
        if found is not None and found.weight == 0:
            monitors.run("osd in", ids=[str(found.osd)])
            log.info("osd.%d of %s, which came back, is in again", found.osd, host)
        monitors.run("config-key rm", key=key)


def _named(store: Store, prefix: str) -> set[str]:
    return {name for key in store.revisions(prefix) if (name := cladnet.keys.child(prefix, key)) is not None}
