"""Capacity and rates from the OSDs' own counters: no manager takes part. Counted between two looks of the leader."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from time import monotonic

from cbstorage.ceph.monitor import Monitors
from cbstorage.model import Rates
from larva.errors import LarvaError

EVERY_S = 10.0
"""Between two questions to the OSDs."""
_AT_ONCE = 8
_FORGET_S = 600.0
"""A rate over a longer gap would tell of nothing that is now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counters:
    """The section `osd` of `tell osd.N perf dump`; all but the sizes only grow until the OSD starts anew."""

    op_r: int = 0
    op_w: int = 0
    op_in_bytes: int = 0
    """Written by clients."""
    op_out_bytes: int = 0
    """Read by clients."""
    recovery_bytes: int = 0
    stat_bytes: int = 0
    stat_bytes_used: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PerfDump:
    """`tell osd.N perf dump`."""

    osd: Counters


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What OSDs told at one moment."""

    at: float
    """On a clock that only goes on."""
    counters: Mapping[int, Counters]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the OSDs that answered have told."""

    total_bytes: int
    used_bytes: int
    rates: Rates | None
    """None at the first look."""


def between(old: Look | None, new: Look) -> Rates | None:
    """Return the rates between two looks, of the OSDs that told both times and did not start anew; None without two."""
    if old is None or not 0 < (seconds := new.at - old.at) <= _FORGET_S:
        return None
    pairs = [(old.counters[osd], now) for osd, now in new.counters.items() if osd in old.counters]
    steady = [(before, now) for before, now in pairs if _grew(before, now)]

    def rate(value: Callable[[Counters], int]) -> int:
        return round(sum(value(now) - value(before) for before, now in steady) / seconds)

    return Rates(
        reads_s=rate(lambda one: one.op_r),
        writes_s=rate(lambda one: one.op_w),
        read_bytes_s=rate(lambda one: one.op_out_bytes),
        written_bytes_s=rate(lambda one: one.op_in_bytes),
        recovered_bytes_s=rate(lambda one: one.recovery_bytes),
    )


def _grew(before: Counters, now: Counters) -> bool:
    names = [field.name for field in fields(Counters) if not field.name.startswith("stat_")]
    return all(getattr(now, name) >= getattr(before, name) for name in names)


class RateKeeper:
    """Asks the OSDs now and then, and remembers what they told before; a new leader begins anew."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._old: Look | None = None
        self._last: Look | None = None

    def look(self, monitors: Monitors, up: Collection[int]) -> Found:
        """Return capacity and rates; OSDs that do not answer in time are left out.

        Args:
            up: the OSDs to ask.
        """
        if self._last is None or self._clock() - self._last.at >= EVERY_S:
            self._old, self._last = self._last, self._ask(monitors, up)
        told = self._last.counters.values()
        return Found(
            total_bytes=sum(one.stat_bytes for one in told),
            used_bytes=sum(one.stat_bytes_used for one in told),
            rates=between(self._old, self._last),
        )

    def _ask(self, monitors: Monitors, up: Collection[int]) -> Look:
        def ask(osd: int) -> tuple[int, Counters] | None:
            try:
                return osd, monitors.ask_osd(osd, "perf dump", PerfDump, logger="osd").osd
            except LarvaError:
                return None

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = dict(filter(None, pool.map(ask, sorted(up))))
        return Look(at=self._clock(), counters=found)
