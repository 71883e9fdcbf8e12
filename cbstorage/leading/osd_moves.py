"""Where the data of an OSD would go if it were drained: Ceph's own osdmaptool says, and we judge what it says."""

import re
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cbstorage.ceph.answers import OsdMap, PoolEntry
from cbstorage.ceph.monitor import Monitors
from cbstorage.ceph.osds import NOBODY, Fill
from cbstorage.wanted import sizes
from larva import process
from larva.errors import MalformedData

FULL = 0.85
"""Ceph warns above this part (`mon_osd_nearfull_ratio`); at 0.90 it stops moving data to an OSD."""

_LINE = re.compile(r"^(\d+)\.([0-9a-f]+)\s+raw \(\[[^\]]*\], p-?\d+\) up \(\[([^\]]*)\], p-?\d+\)", re.MULTILINE)

Layout = Mapping[str, tuple[int, ...]]
"""The OSDs of each placement group."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Where placement groups are, and where they would be."""

    now: Layout
    then: Layout


def simulate(monitors: Monitors, osd: int) -> Move:
    """Ask what the map would say if an OSD weighed nothing; nothing is changed.

    Raises:
        Unavailable: the monitors do not answer.
        ProgramFailed, MalformedData: osdmaptool does not do what it does in Ceph 18.
    """
    with tempfile.TemporaryDirectory(prefix="larva-osdmap-") as scratch:
        path = Path(scratch) / "osdmap"
        path.write_bytes(monitors.run("osd getmap"))
        return Move(now=_layout(path), then=_layout(path, "--adjust-crush-weight", f"{osd}:0"))


def parse(shown: str) -> Layout:
    """Return what `osdmaptool --test-map-pgs-dump-all` prints; MalformedData if there is not a group in it."""
    found = {}
    for pool, group, members in _LINE.findall(shown):
        osds = (int(word) for word in members.split(",") if word)
        found[f"{pool}.{group}"] = tuple(one for one in osds if one != NOBODY)
    if not found and "pool" in shown:
        raise MalformedData("osdmaptool names no placement group", hint="is this Ceph 18?")
    return found


def _layout(path: Path, *words: str) -> Layout:
    return parse(process.run(["osdmaptool", path, *words, "--test-map-pgs-dump-all"], timeout=60))


def refusal(osd: int, move: Move, osd_map: OsdMap, fills: Mapping[int, Fill]) -> str:
    """Return why the other OSDs cannot take what one holds, with figures; empty when they can.

    Args:
        fills: of every OSD that is up.
    """
    pools = {str(pool.pool): pool for pool in osd_map.pools}
    if short := _too_few(osd, move, pools):
        return short
    mine = [group for group, osds in move.now.items() if osd in osds]
    if not mine:
        return ""
    if osd not in fills:
        return f"osd.{osd} does not say how much it holds; is it up?"
    each = fills[osd].used / len(mine)
    coming = Counter(one for group in mine for one in set(move.then.get(group, ())) - set(move.now[group]))
    for target, count in sorted(coming.items()):
        fill = fills.get(target)
        if fill is None:
            return f"osd.{target}, which would take a part of it, does not say how full it is"
        need = fill.used + count * each
        if need > FULL * fill.total:
            return (
                f"its {sizes.show(fills[osd].used)} do not fit: osd.{target} would hold {sizes.show(int(need))} of "
                f"{sizes.show(fill.total)}, more than {FULL:.0%}; add an OSD first"
            )
    return ""


def _too_few(osd: int, move: Move, pools: Mapping[str, PoolEntry]) -> str:
    for group, before in move.now.items():
        pool = pools.get(group.split(".")[0])
        after = move.then.get(group, ())
        if pool is not None and osd in before and len(after) < min(pool.size, len(before)):
            return (
                f"pool {pool.pool_name} keeps {pool.size} copies apart from one another, and without osd.{osd} there "
                f"is room for {len(after)}; add an OSD in the same place first"
            )
    return ""
