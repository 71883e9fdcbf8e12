"""What OSDs and placement groups say of themselves, asked without the manager."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from cbstorage.ceph.monitor import Monitors, OsdMap
from larva.errors import LarvaError

NOBODY = 2147483647
"""CRUSH_ITEM_NONE: stands where a placement group finds no OSD."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdStatus:
    """`tell osd.N status`."""

    state: str
    newest_map: int
    num_pgs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """The section `osd` of `tell osd.N perf dump`."""

    numpg: int
    """Placement groups of which it holds anything, strays included."""
    numpg_removing: int = 0
    stat_bytes: int = 0
    stat_bytes_used: int = 0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What an OSD holds by its own word."""

    groups: int
    fill: Fill = field(default_factory=lambda: Fill(total=0, used=0))


def counters(monitors: Monitors, osd: int) -> Counters:
    """Ask an OSD for its figures; Unavailable when it does not answer."""
    return monitors.ask_osd(osd, "perf dump", PerfDump, logger="osd").osd


def holding(monitors: Monitors, osd: int, *, epoch: int) -> Holding | None:
    """Ask an OSD what it holds; None when it cannot be asked, starts, or knows no map as new as `epoch`."""
    try:
        status = monitors.ask_osd(osd, "status", OsdStatus)
        found = counters(monitors, osd)
    except LarvaError:
        return None
    if status.state != "active" or status.newest_map < epoch:
        return None
    return Holding(
        groups=max(status.num_pgs, found.numpg) + found.numpg_removing,
        fill=Fill(total=found.stat_bytes, used=found.stat_bytes_used),
    )


def fills(monitors: Monitors, osd_map: OsdMap) -> Mapping[int, Fill]:
    """Ask every OSD that is up how full it is; those that do not answer are left out."""
    found = {}
    for entry in osd_map.osds:
        if entry.up:
            try:
                told = counters(monitors, entry.osd)
            except LarvaError:
                continue
            found[entry.osd] = Fill(total=told.stat_bytes, used=told.stat_bytes_used)
    return found


def groups(osd_map: OsdMap) -> Iterator[tuple[str, str]]:
    """Every placement group with its pool's name."""
    for pool in osd_map.pools:
        for number in range(pool.pg_num):
            yield f"{pool.pool}.{number:x}", pool.pool_name
