"""What OSDs and placement groups say of themselves, asked without the manager."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cbstorage.ceph.answers import OsdMap
from cbstorage.ceph.monitor import Monitors
from larva.errors import LarvaError

NOBODY = 2147483647
"""CRUSH_ITEM_NONE: stands where a placement group finds no OSD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdStatus:
    """`tell osd.N status`."""

    state: str
    newest_map: int
    num_pgs: int
    """Placement groups that it has, strays included (OSD::num_pgs)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """The section `osd` of `tell osd.N perf dump`."""

    stat_bytes: int
    stat_bytes_used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PerfDump:
    """`tell osd.N perf dump`."""

    osd: Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdMetadata:
    """`osd metadata` of one OSD, as it told when it booted."""

    bluestore_bdev_size: str = ""
    """Bytes of its device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupQuery:
    """`tell PGID query`, as far as it is used."""

    state: str
    acting: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """How full an OSD is, in bytes."""

    total: int
    used: int


def held(monitors: Monitors, osd: int, *, epoch: int) -> int | None:
    """Ask an OSD how many placement groups it holds anything of, those included that are just being deleted.

    None when it does not answer, still starts, or knows no map as new as `epoch`. (`numpg` of its counters is not
    asked: it is counted when a map comes, and so is old for as long as none does.)
    """
    try:
        status = monitors.ask_osd(osd, "status", OsdStatus)
    except LarvaError:
        return None
    return status.num_pgs if status.state == "active" and status.newest_map >= epoch else None


def fills(monitors: Monitors, osd_map: OsdMap) -> Mapping[int, Fill]:
    """Ask every OSD that is up how full it is; those that do not answer are left out."""
    found = {}
    for entry in osd_map.osds:
        if entry.up:
            try:
                told = monitors.ask_osd(entry.osd, "perf dump", PerfDump, logger="osd").osd
            except LarvaError:
                continue
            found[entry.osd] = Fill(total=told.stat_bytes, used=told.stat_bytes_used)
    return found


def groups(osd_map: OsdMap) -> Iterator[tuple[str, str]]:
    """Every placement group with its pool's name."""
    for pool in osd_map.pools:
        for number in range(pool.pg_num):
            yield f"{pool.pool}.{number:x}", pool.pool_name
