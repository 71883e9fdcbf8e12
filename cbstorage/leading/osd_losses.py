"""What a lost OSD means: which placement groups would be below their least number of copies without it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cbstorage.ceph import osds
from cbstorage.ceph.answers import OsdMap
from cbstorage.ceph.monitor import Monitors
from cbstorage.ceph.osds import NOBODY, GroupQuery
from larva.errors import LarvaError

MOST_SILENT = 3
"""So many groups that do not answer are enough to refuse: each costs its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One placement group as its primary sees it; nothing of it when that does not answer."""

    group: str
    pool: str
    query: GroupQuery | None


def ask(monitors: Monitors, osd_map: OsdMap) -> list[Standing]:
    """Ask every placement group how it is; ends early when several do not answer."""
    found: list[Standing] = []
    silent = 0
    for group, pool in osds.groups(osd_map):
        try:
            query = monitors.ask_group(group, "query", GroupQuery, pgid=group)
        except LarvaError:
            query, silent = None, silent + 1
        found.append(Standing(group=group, pool=pool, query=query))
        if silent >= MOST_SILENT:
            break
    return found


def judge(osd: int, standings: Iterable[Standing], osd_map: OsdMap) -> str:
    """Return what would suffer if an OSD never came back; empty when each group has its least copies elsewhere."""
    least: Mapping[str, int] = {pool.pool_name: pool.min_size for pool in osd_map.pools}
    up = {entry.osd for entry in osd_map.osds if entry.up}
    return (
        _first(standings, lambda one: one.query is None, "does not answer, so nobody knows where its data is")
        or _first(
            standings,
            lambda one: one.query is not None and not one.query.state.startswith("active"),
            f"is not active: it may need osd.{osd}",
        )
        or _first(
            standings,
            lambda one: (
                one.query is not None
                and len({each for each in one.query.acting if each not in (osd, NOBODY)} & up) < least.get(one.pool, 1)
            ),
            f"would have less than its least number of copies without osd.{osd}",
        )
    )


def _first(standings: Iterable[Standing], suffers: Callable[[Standing], bool], words: str) -> str:
    found = [one for one in standings if suffers(one)]
    if not found:
        return ""
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    pools = ", ".join(sorted({one.pool for one in found}))
    return f"placement group {found[0].group}{more} of {pools} {words}; bring other OSDs back first"
