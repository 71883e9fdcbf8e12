"""One data pool for each promise: made when the first volume wants it, laid anew when its ground is gone for good."""

import logging
from collections.abc import Iterable, Sequence

from cbstorage import ground
from cbstorage.ceph import crush_map
from cbstorage.ceph.answers import CrushRule, CrushTree, FileSystems, OsdMap
from cbstorage.ceph.crush import MOST_COPIES, known
from cbstorage.ceph.layout import NEEDED, Layout, Survey, holds, lay, shortage
from cbstorage.ceph.monitor import Monitors
from cbstorage.leading import observe, pools
from cbstorage.model import FILE_SYSTEM, Health, HealthCheck, VolumePhase, VolumeSpecification, data_pool
from cbstorage.promise import Promise
from cbstorage.view import View
from cladnet.placement.model import Rtt
from larva.errors import LarvaError, Unavailable

log = logging.getLogger(__name__)

PLACEMENT_GROUPS = 16
_NAMED = 5
"""Volumes that a health item names; the rest are counted."""


def survey(monitors: Monitors, seen: View, rtts: Sequence[Rtt], *, up: bool) -> Survey:
    """The ground that the OSDs make as the monitors have them; see ground.survey()."""
    osd_map, tree = monitors.ask("osd dump", OsdMap), monitors.ask("osd tree", CrushTree)
    told = {host: rule.cloud for host, rule in seen.rules.items()}
    clouds = {stands.host: known(told.get(stands.host), stands) for stands in pools.places(tree)}
    return ground.survey(observe.osd_states(osd_map, tree, seen.specification.cidr), clouds, rtts, up=up)


def ensure(monitors: Monitors, promise: Promise, there: Survey) -> None:
    """Bring a promise's pool to what it should be; every step can be done again.

    Args:
        there: the ground of all OSDs that are in. One that is down is waited for: what lies on it is not moved.

    Raises:
        InvalidInput: there is no pool yet, and this ground cannot keep the promise.
        Unavailable: the file system is not made yet.
    """
    name = data_pool(promise)
    maps = [one.mdsmap for one in monitors.ask("fs dump", FileSystems).filesystems]
    file_system = next((one for one in maps if one.fs_name == FILE_SYSTEM), None)
    if file_system is None:
        raise Unavailable("the file system is not made yet", hint="`larva storage status` shows what is missing")
    osd_map = monitors.ask("osd dump", OsdMap)
    rules = {rule.rule_id: rule for rule in monitors.ask("osd crush rule dump", tuple[CrushRule, ...])}
    pool = next((one for one in osd_map.pools if one.pool_name == name), None)
    current = rules.get(pool.crush_rule) if pool else None
    wanted = _wanted(crush_map.layout_of(current) if current else None, promise, there)
    if wanted is not None:
        _ensure_rule(monitors, wanted, {rule.rule_name for rule in rules.values()})
        if pool is None:
            monitors.run(
                "osd pool create", pool=name, pg_num=PLACEMENT_GROUPS, pgp_num=PLACEMENT_GROUPS,
                pool_type="replicated", rule=wanted.rule, autoscale_mode="off", size=MOST_COPIES,
            )  # fmt: skip
            log.info("made pool %s: %s", name, wanted)
        elif current is None or current.rule_name != wanted.rule:
            monitors.run("osd pool set", pool=name, var="crush_rule", val=wanted.rule)
            log.info("pool %s is laid anew: %s", name, wanted)
    if pool is None or pool.size < MOST_COPIES:
        monitors.run("osd pool set", pool=name, var="size", val=str(MOST_COPIES))
    if pool is None or pool.min_size != NEEDED:
        monitors.run("osd pool set", pool=name, var="min_size", val=str(NEEDED))
    if pool is None or pool.pool not in file_system.data_pools:
        monitors.run("fs add_data_pool", fs_name=FILE_SYSTEM, pool=name)


def keep(
    monitors: Monitors, seen: View, volumes: Iterable[VolumeSpecification], rtts: Sequence[Rtt]
) -> tuple[HealthCheck, ...]:
    """Keep the pools of the promises that volumes have, and say which promises are not kept now."""
    promised: dict[Promise, list[str]] = {}
    for volume in volumes:
        if volume.promise is not None and volume.phase is VolumePhase.ACTIVE:
            promised.setdefault(volume.promise, []).append(volume.name)
    if not promised:
        return ()
    lasting, now = (survey(monitors, seen, rtts, up=up) for up in (False, True))
    made = {pool.pool_name for pool in monitors.ask("osd dump", OsdMap).pools}
    checks = []
    for promise, names in sorted(promised.items(), key=lambda item: item[0].label):
        if data_pool(promise) not in made:
            continue
        try:
            ensure(monitors, promise, lasting)
        except Unavailable:
            raise
        except LarvaError as error:  # what is not as it should be is told below, and tried again
            log.warning("pool %s: %s", data_pool(promise), error.message)
        if missing := shortage(promise, now):
            checks.append(_not_kept(promise, names, missing))
    return tuple(checks)


def _not_kept(promise: Promise, names: Sequence[str], missing: str) -> HealthCheck:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    listed = ", ".join(sorted(names)[:_NAMED]) + more
    return HealthCheck(
        code="PROMISE_NOT_KEPT",
        health=Health.WARNING,
        summary=f"what was promised for {listed} ({promise}) is not kept now: {missing}",
    )


def _wanted(current: Layout | None, promise: Promise, there: Survey) -> Layout | None:
    """The layout to change to; None to leave what is there, also where no better is possible."""
    if current is not None and (holds(current, promise, there) or shortage(promise, there)):
        return None
    return lay(promise, there)


def _ensure_rule(monitors: Monitors, wanted: Layout, existing: set[str]) -> None:
    if wanted.is_plain:
        pools.ensure_spread_rule(monitors, wanted.segments[0].domain, existing)
    elif wanted.rule not in existing:
        crush_map.add(monitors, wanted)
        log.info("made CRUSH rule %s: %s", wanted.rule, wanted)
