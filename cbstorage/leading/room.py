"""Room kept free on every OSD, by the leading host: the ratios at which Ceph calls them full."""

import logging
from collections.abc import Iterable, Mapping

from cbstorage.ceph.answers import CrushTree, OsdMap
from cbstorage.ceph.fullness import Ratios, ratios
from cbstorage.ceph.monitor import Monitors
from cbstorage.ceph.osds import Fill, fills

log = logging.getLogger(__name__)

_TEBIBYTE = 1 << 40


def ensure(monitors: Monitors) -> None:
    """Bring the ratios to what the smallest OSD wants.

    They are lowered only when every OSD that is up says that it holds less: nobody's writes end because of it, and who
    raises them by hand to get out of a full cluster keeps them so long.
    """
    osd_map = monitors.ask("osd dump", OsdMap)
    current = Ratios(nearfull=osd_map.nearfull_ratio, backfillfull=osd_map.backfillfull_ratio, full=osd_map.full_ratio)
    smallest = smallest_bytes(monitors.ask("osd tree", CrushTree))
    if smallest is None or current.same(wanted := ratios(smallest)):
        return
    lower = wanted.full < current.full
    up = [osd.osd for osd in osd_map.osds if osd.up]
    if lower and (why := hindrance(fills(monitors, osd_map), up, wanted)):
        log.debug("OSDs are called full at %g, not yet at %g: %s", current.full, wanted.full, why)
        return
    steps = (("nearfull", wanted.nearfull), ("backfillfull", wanted.backfillfull), ("full", wanted.full))
    for name, ratio in steps if lower else reversed(steps):  # always in order: else health complains meanwhile
        monitors.run(f"osd set-{name}-ratio", ratio=ratio)
    log.info("OSDs are called full at %g, nearly full at %g", wanted.full, wanted.nearfull)


def smallest_bytes(tree: CrushTree) -> int | None:
    """Return the size of the smallest OSD that is given data, as its weight tells; None without any."""
    weights = [node.crush_weight for node in tree.nodes if node.type == "osd" and node.crush_weight > 0]
    return round(min(weights) * _TEBIBYTE) if weights else None


def hindrance(told: Mapping[int, Fill], up: Iterable[int], wanted: Ratios) -> str:
    """Why nobody knows that lower ratios make no OSD full at once; empty when all is well."""
    if silent := sorted(set(up) - told.keys()):
        return f"osd.{silent[0]} does not say how full it is"
    over = sorted(osd for osd, fill in told.items() if fill.used >= wanted.backfillfull * fill.total)
    return f"osd.{over[0]} holds more already" if over else ""
