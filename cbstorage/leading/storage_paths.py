"""What the CLADNet measured of the paths between storage hosts: the worst of them, and those that hurt storage."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cbstorage.model import Health, HealthCheck
from cladnet.agent.quality_row import is_current
from cladnet.etcd.store import Store
from cladnet.keys import quality
from cladnet.quality import Figures, HostQuality, Window
from larva.errors import MalformedData

SLOW_MS = 200.0
"""A write is confirmed when its farthest copy is written: one such round trip, and 4 KiB with fsync about three."""
LOSSY = 0.02
"""TCP's throughput falls with the root of the loss (Mathis et al. 1997); at 2 % and 40 ms it is 2 Mbit/s a stream."""
_LEAST_LOST = 3
_LEAST_ANSWERS = 3
_LEAST_SENT = 50
"""Of echoes, before their loss means something."""
_NONE_LOST = 3
"""So many times as few answers in a row as one loss should come on: with 95 % confidence less is lost now (the "rule of
three": Hanley and Lippman-Hand, JAMA 249, 1983)."""
_SHOWN = 5
_ROW_BYTES = 50_000
"""What a row may have when it is judged how old it may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoragePath:
    """The path between two storage hosts, the worse direction of it."""

    ends: tuple[str, str]
    """By name."""
    now: Figures
    """A minute."""
    answers_in_a_row: int
    """Until now; the fewer of both directions."""
    lately: Figures
    """Ten minutes."""
    long: Figures
    """An hour."""


def read(store: Store, group: str, hosts: Collection[str]) -> tuple[HostQuality, ...]:
    """Return what these hosts tell of their paths now; one that is off, or writes rubbish, tells of none."""
    rows, now = [], datetime.now(UTC)
    for host in sorted(hosts):
        try:
            row = store.get(quality(group, host), HostQuality)
        except MalformedData:  # it is left out; its peers tell of the same paths
            continue
        if row is not None and row.value.host == host and is_current(row.value, len(hosts), _ROW_BYTES, now):
            rows.append(row.value)
    return tuple(rows)


def between(rows: Iterable[HostQuality], hosts: Collection[str]) -> tuple[StoragePath, ...]:
    """Return the paths between these hosts, by their ends."""
    found: dict[tuple[str, str], StoragePath] = {}
    for row in rows:
        for pair in row.pairs:
            if row.host not in hosts or pair.destination not in hosts or pair.destination == row.host:
                continue
            ends = (min(row.host, pair.destination), max(row.host, pair.destination))
            now, lately, long = (pair.over(one) for one in (Window.MINUTE, Window.TEN_MINUTES, Window.HOUR))
            answers = pair.answers_in_a_row
            known = found.get(ends)
            if known is not None:
                now, answers = _worse(known.now, now), min(known.answers_in_a_row, answers)
                lately, long = _worse(known.lately, lately), _worse(known.long, long)
            found[ends] = StoragePath(ends=ends, now=now, answers_in_a_row=answers, lately=lately, long=long)
    return tuple(path for _, path in sorted(found.items()))


def worst_ms(figures: Iterable[Figures]) -> float | None:
    """Return the longest 95th percentile that enough answers stand behind; None without any."""
    found = [one.p95_ms for one in figures if one.p95_ms is not None and one.received >= _LEAST_ANSWERS]
    return max(found, default=None)


def checks(paths: Sequence[StoragePath]) -> tuple[HealthCheck, ...]:
    """Return one complaint that names the paths that hurt storage, the worst first; none without any."""
    slow = {path.ends: words for path in paths if (words := _trouble(path))}
    if not slow:
        return ()
    order: Mapping[tuple[str, str], float] = {path.ends: _cost(path.lately) for path in paths}
    names = sorted(slow, key=lambda ends: (-order[ends], ends))
    listed = "; ".join(f"{one} to {other}: {slow[one, other]}" for one, other in names[:_SHOWN])
    more = f"; and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (HealthCheck(code="SLOW_PATHS", health=Health.WARNING, summary=f"{listed}{more}"),)


def _trouble(path: StoragePath) -> str:
    figures, words = path.lately, []
    if not figures.received:  # nobody is there: the OSDs and monitors that are missing say so
        return ""
    lately_ms, now_ms = worst_ms([figures]), worst_ms([path.now])
    if lately_ms is not None and lately_ms >= SLOW_MS and (now_ms is None or now_ms >= SLOW_MS):
        words.append(f"a round trip takes {round(lately_ms, -1):.0f} ms")
    if (
        (loss := figures.loss) is not None
        and figures.sent >= _LEAST_SENT
        and loss >= LOSSY
        and figures.sent - figures.received >= _LEAST_LOST
        and path.answers_in_a_row * loss < _NONE_LOST
    ):
        words.append(f"{loss:.0%} is lost")
    return ", ".join(words)


def _cost(figures: Figures) -> float:
    """What orders paths: a per cent of loss weighs as much as 100 ms."""
    return (figures.p95_ms or 0.0) + 10_000 * (figures.loss or 0.0)


def _worse(one: Figures, other: Figures) -> Figures:
    return max(one, other, key=_cost)
