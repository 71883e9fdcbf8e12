"""CRUSH rule, pools and the file system: brought to what the OSDs' places allow, by commands that can be repeated."""

import logging
from collections.abc import Collection, Sequence

from cbstorage.ceph.answers import CrushRule, CrushTree, FileSystems, MdsMap, OsdMap, PoolEntry, TreeNode
from cbstorage.ceph.crush import Domain, Place, Replication, replication, widen
from cbstorage.ceph.monitor import Monitors
from cbstorage.model import FILE_SYSTEM
from larva.errors import Conflict

log = logging.getLogger(__name__)

METADATA_POOL = f"{FILE_SYSTEM}.metadata"
DATA_POOL = f"{FILE_SYSTEM}.data"
SESSION_TIMEOUT_S = 30
"""A client of a lost cloud holds rights on the directories it looked into: who creates a file there waits this long for
them. It is the least that Ceph takes (MDSMonitor, `fs set session_timeout`); the default is 60."""
SESSION_AUTOCLOSE_S = 120
"""A client that is silent for so long is shut out; its own host has given the volume up by then (decision 038). Until
then each metadata server that takes over waits for it. Ceph's default is 300."""
PLACEMENT_GROUPS = {METADATA_POOL: 8, DATA_POOL: 32}
"""Few: each costs memory on three hosts, and these clusters have a handful of OSDs."""


def places(tree: CrushTree) -> list[Place]:
    """Return the place of every OSD in the CRUSH map; one outside every host is left out."""
    nodes = {node.id: node for node in tree.nodes}
    found: list[Place] = []

    def descend(node: TreeNode, above: dict[str, str]) -> None:
        inside = {**above, node.type: node.name}
        if node.type == "osd" and "host" in inside:
            found.append(
                Place(
                    provider=inside.get("region", ""), region=inside.get("zone", ""),
                    zone=inside.get("datacenter", ""), host=inside["host"],
                )
            )  # fmt: skip
        for child in node.children:
            if child in nodes:
                descend(nodes[child], inside)

    for node in tree.nodes:
        if node.type == "root":
            descend(node, {})
    return found


def ensure(monitors: Monitors, storage_hosts: Sequence[str]) -> bool:
    """Bring rule, pools and file system to what they should be; return False while too few OSDs are there.

    Args:
        storage_hosts: every host that means to give an OSD; pools wait for three of them, or all if there are fewer,
            so that data does not move right after it was written.
    """
    there = places(monitors.ask("osd tree", CrushTree))
    if len({place.host for place in there}) < min(3, len(storage_hosts)) or not there:
        return False
    osd_map = monitors.ask("osd dump", OsdMap)
    rules = {rule.rule_id: rule.rule_name for rule in monitors.ask("osd crush rule dump", tuple[CrushRule, ...])}
    by_name = {pool.pool_name: pool for pool in osd_map.pools}
    for name in (METADATA_POOL, DATA_POOL):
        pool = by_name.get(name)
        current = _current(pool, rules) if pool else None
        wanted = widen(current, replication(there))
        ensure_spread_rule(monitors, wanted.domain, set(rules.values()))
        if pool is None:
            _create(monitors, name, wanted)
        elif wanted != current:
            _change(monitors, name, current, wanted)
    file_systems = monitors.ask("fs dump", FileSystems).filesystems
    made = next((one.mdsmap for one in file_systems if one.mdsmap.fs_name == FILE_SYSTEM), None)
    if made is None:
        monitors.run("fs new", fs_name=FILE_SYSTEM, metadata=METADATA_POOL, data=DATA_POOL)
        log.info("made the file system %s", FILE_SYSTEM)
    _be_patient(monitors, made)
    return True


def _be_patient(monitors: Monitors, made: MdsMap | None) -> None:
    if made is None or made.session_timeout != SESSION_TIMEOUT_S:
        monitors.run("fs set", fs_name=FILE_SYSTEM, var="session_timeout", val=str(SESSION_TIMEOUT_S))
    if made is None or made.session_autoclose != SESSION_AUTOCLOSE_S:
        monitors.run("fs set", fs_name=FILE_SYSTEM, var="session_autoclose", val=str(SESSION_AUTOCLOSE_S))


def _current(pool: PoolEntry, rules: dict[int, str]) -> Replication:
    name = rules.get(pool.crush_rule, "").removeprefix("spread-")
    domain = Domain(name) if name in set(Domain) else Domain.OSD
    return Replication(domain=domain, copies=pool.size, needed=pool.min_size)


def ensure_spread_rule(monitors: Monitors, domain: Domain, existing: Collection[str]) -> None:
    """Make the rule that keeps copies in different domains, wherever there is room."""
    name = f"spread-{domain}"
    if name in existing:
        return
    try:
        monitors.run("osd crush rule create-replicated", name=name, root="default", type=domain.value)
    except Conflict:
        log.debug("another host made rule %s", name)


def _create(monitors: Monitors, name: str, wanted: Replication) -> None:
    groups = PLACEMENT_GROUPS[name]
    monitors.run(
        "osd pool create", pool=name, pg_num=groups, pgp_num=groups, pool_type="replicated", rule=wanted.rule,
        autoscale_mode="off", size=wanted.copies,
    )  # fmt: skip
    monitors.run("osd pool set", pool=name, var="min_size", val=str(wanted.needed))
    log.info("made pool %s: %d copies, no two in one %s", name, wanted.copies, wanted.domain)


def _change(monitors: Monitors, name: str, current: Replication | None, wanted: Replication) -> None:
    log.info("pool %s: %s becomes %s", name, current, wanted)
    monitors.run("osd pool set", pool=name, var="crush_rule", val=wanted.rule)
    monitors.run("osd pool set", pool=name, var="size", val=str(wanted.copies), yes_i_really_mean_it=True)
    monitors.run("osd pool set", pool=name, var="min_size", val=str(wanted.needed))
