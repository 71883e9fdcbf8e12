"""What the leading monitor's host does about single OSDs: drains and removes them, as wishes in etcd say.

Every look starts anew from what the cluster and the OSD itself say now; what is done is said first, so that whoever
takes over, or takes the wish back, knows that something was begun.
"""

import logging

from cbstorage import keys, records
from cbstorage.ceph import osds
from cbstorage.ceph.answers import CrushTree, OsdEntry, OsdMap
from cbstorage.ceph.monitor import Monitors
from cbstorage.ceph.osds import OsdMetadata
from cbstorage.leading import osd_losses, osd_moves, osd_plan
from cbstorage.leading.osd_plan import Act, Facts, Step
from cbstorage.model import DaemonKind, HostDaemons
from cbstorage.osd_model import OsdProgress, OsdWish, digest
from cladnet.etcd.store import Condition, Delete, Store, Versioned
from larva.errors import LarvaError, NotFound, Unavailable

log = logging.getLogger(__name__)

LEAST_WEIGHT = 0.0001
_TIB = 1 << 40


def tend(store: Store, monitors: Monitors, group: str) -> None:
    """Bring every OSD of which something is wanted a step nearer to that."""
    wishes = records.osd_wishes(store, group)
    told = records.osd_progress(store, group)
    if not wishes and not told:
        return
    for osd in sorted({*wishes, *told}):
        wish, before = wishes.get(osd), told.get(osd)
        try:
            if wish is not None:
                _further(store, monitors, group, wish, before)
            elif before is not None:
                _take_back(store, monitors, group, before)
        except Unavailable:
            raise
        except LarvaError as error:  # one OSD's trouble keeps no other from its way
            log.warning("osd.%d: %s", osd, error.message)


def _further(
    store: Store, monitors: Monitors, group: str, item: Versioned[OsdWish], before: OsdProgress | None
) -> None:
    wish = item.value
    facts = _facts(store, monitors, group, wish)
    if before is not None and before.asked != wish.asked:
        before = None
    step = osd_plan.step(wish, facts, before)
    if step.act is Act.FORGET:
        _forget(store, group, item)
        return
    said = OsdProgress(
        osd=wish.osd, uuid=wish.uuid, asked=wish.asked, phase=step.phase, groups_left=facts.groups, words=step.words
    )
    records.tell(store, keys.osd_progress(group, wish.osd), said)
    if before is None or before.phase is not step.phase:
        log.info("osd.%d: %s%s", wish.osd, step.phase, f": {step.words}" if step.words else "")
    if step.act is not Act.NONE and _still_wanted(store, group, item):
        _carry_out(monitors, wish, step)


def _facts(store: Store, monitors: Monitors, group: str, wish: OsdWish) -> Facts:
    osd_map = monitors.ask("osd dump", OsdMap)
    entry = _entry(osd_map, wish.osd, wish.uuid)
    on_host = _is_on_host(store, group, wish)
    if entry is None:
        successor = any(one.osd == wish.osd and one.up for one in osd_map.osds)
        return Facts(
            there=False, on_host=on_host, successor=successor, weighs=successor and _weight(monitors, wish.osd) > 0
        )
    weighs = _weight(monitors, wish.osd) > 0
    groups = osds.held(monitors, wish.osd, epoch=osd_map.epoch) if entry.up and not weighs else None
    refusal = loss = ""
    if wish.lost and not entry.up:
        loss = osd_losses.judge(wish.osd, osd_losses.ask(monitors, osd_map), osd_map)
    elif not wish.lost and weighs:
        refusal = osd_moves.refusal(
            wish.osd, osd_moves.simulate(monitors, wish.osd), osd_map, osds.fills(monitors, osd_map)
        )
    return Facts(
        there=True,
        up=bool(entry.up),
        weighs=weighs,
        groups=groups,
        pinned=any(wish.osd in one.osds for one in (*osd_map.pg_temp, *osd_map.pg_upmap)),
        on_host=on_host,
        refusal=refusal,
        loss=loss,
    )


def _carry_out(monitors: Monitors, wish: OsdWish, step: Step) -> None:
    name = f"osd.{wish.osd}"
    if step.act is Act.WEIGH_NOTHING:
        monitors.run("osd crush reweight", name=name, weight=0.0)
        log.info("%s weighs nothing now; its data moves away", name)
        return
    if step.act is Act.WEIGH:
        _weigh(monitors, wish.osd)
        return
    if wish.lost:
        monitors.run("osd lost", id=wish.osd, yes_i_really_mean_it=True)
    # Monitors refuse both for an OSD that is up.
    end = "osd destroy-actual" if step.act is Act.DESTROY else "osd purge-actual"
    monitors.run(end, id=wish.osd, yes_i_really_mean_it=True)
    log.info("%s is out of the cluster", name)


def _still_wanted(store: Store, group: str, item: Versioned[OsdWish]) -> bool:
    """Looked up right before what cannot be undone: another may lead by now, and the wish may be taken back."""
    now = store.get(keys.osd_wish(group, item.value.osd), OsdWish)
    return now is not None and now.revision == item.revision


def _take_back(store: Store, monitors: Monitors, group: str, before: OsdProgress) -> None:
    osd_map = monitors.ask("osd dump", OsdMap)
    entry = _entry(osd_map, before.osd, before.uuid)
    facts = Facts(there=entry is not None, weighs=entry is not None and _weight(monitors, before.osd) > 0)
    if osd_plan.restores(before, facts):
        _weigh(monitors, before.osd)
    key = keys.osd_progress(group, before.osd)
    current = store.get(key, OsdProgress)
    if current is not None and current.value == before:  # else a new wish was answered meanwhile
        store.delete(key, revision=current.revision)


def _weigh(monitors: Monitors, osd: int) -> None:
    weight = full_weight(monitors.ask("osd metadata", OsdMetadata, id=osd).bluestore_bdev_size)
    monitors.run("osd crush reweight", name=f"osd.{osd}", weight=weight)
    log.info("osd.%d weighs %g again", osd, weight)


def full_weight(size: str) -> float:
    """What an OSD weighs by its device's bytes, in TiB, as it says itself at its start (OSD::update_crush_location)."""
    if not size.isdecimal():
        raise NotFound("the OSD never told its size", hint="start it; or give it a weight: ceph osd crush reweight")
    return max(LEAST_WEIGHT, round(int(size) / _TIB, 4))


def _forget(store: Store, group: str, item: Versioned[OsdWish]) -> None:
    wish = item.value
    gone = [item.key, keys.osd_progress(group, wish.osd)]
    if wish.goal.ends and wish.device is not None:
        gone.append(
            keys.osd_device(group, wish.host, digest(wish.device))
        )  # else a host installed anew would make one again
    store.transact([Condition(item.key, item.revision)], [Delete(key) for key in gone])
    log.info("osd.%d: done", wish.osd)


def _entry(osd_map: OsdMap, osd: int, uuid: str) -> OsdEntry | None:
    return next((one for one in osd_map.osds if one.osd == osd and one.uuid == uuid), None)


def _weight(monitors: Monitors, osd: int) -> float:
    nodes = monitors.ask("osd tree", CrushTree).nodes
    return max((node.crush_weight for node in nodes if node.type == "osd" and node.id == osd), default=0.0)


def _is_on_host(store: Store, group: str, wish: OsdWish) -> bool:
    found = store.get(keys.daemons(group, wish.host), HostDaemons)
    return found is not None and any(
        one.kind is DaemonKind.OSD and one.id == str(wish.osd) and one.uuid in ("", wish.uuid)
        for one in found.value.daemons
    )
