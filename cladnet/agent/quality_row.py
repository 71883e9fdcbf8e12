"""A host's row of the continuous measurements: what goes into it, when it is worth writing, and how often. Pure.

All hosts of a CLADNet together write BYTES_S bytes a second at most, how many they are: n hosts whose rows have s bytes
each wait for n · s / BYTES_S seconds between two, and never less than PAUSE_S. That is a minute with up to a hundred
hosts and twenty with a thousand. etcd keeps an hour of history, 70 MB of it.
"""

import heapq
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from cladnet.quality import Alarm, Figures, HostQuality, PairQuality, Window

PAUSE_S = 60.0
BYTES_S = 20_000
NEWS_PAUSE_S = 5.0
NEWS_BYTES_S = 200_000
"""The same when an alarm was raised or cleared or a peer came or went, which should be seen soon and is rare."""
MOST_PAIRS = 64
"""More than this is no table that a person reads; the worst ones are kept, and Prometheus has them all."""
MOST_ALARMS = 200
STALE_S = 600.0
"""A row that says the same is written after this all the same: it shows that somebody measures."""
_LOSS_STEP = 0.01
_RTT_STEP = 0.1
_RTT_STEP_MS = 0.5


def compose(host: str, pairs: Iterable[PairQuality], alarms: Sequence[Alarm], now: datetime) -> HostQuality:
    """Return the row, bounded in size: alarms and worst paths first, then by name."""
    alarmed = {alarm.destination for alarm in alarms}
    seen = 0

    def counted() -> Iterator[PairQuality]:
        nonlocal seen
        for seen, pair in enumerate(pairs, 1):  # noqa: B007 - the last number is how many there were
            yield pair

    kept = heapq.nsmallest(MOST_PAIRS, counted(), key=lambda pair: _badness(pair, alarmed))
    return HostQuality(
        host=host,
        written_at=now,
        pairs=tuple(sorted(kept, key=lambda pair: pair.destination)),
        pairs_left_out=seen - len(kept),
        alarms=tuple(alarms[:MOST_ALARMS]),
        alarms_left_out=max(0, len(alarms) - MOST_ALARMS),
    )


def _badness(pair: PairQuality, alarmed: Collection[str]) -> tuple[bool, float, float]:
    hour = pair.over(Window.HOUR)
    return (pair.destination not in alarmed, -(hour.loss or 0.0), -(hour.avg_ms or 0.0))


def pause_s(hosts: int, row_bytes: int, *, is_news: bool = False) -> float:
    """Return the seconds from one writing of a row to the next."""
    if is_news:
        return max(NEWS_PAUSE_S, hosts * row_bytes / NEWS_BYTES_S)
    return max(PAUSE_S, hosts * row_bytes / BYTES_S)


def is_worth_writing(old: HostQuality, new: HostQuality) -> bool:
    """Whether somebody who knows the old row would learn something."""
    if old.alarms != new.alarms or new.written_at - old.written_at >= timedelta(seconds=STALE_S):
        return True
    before = {pair.destination: pair for pair in old.pairs}
    return before.keys() != {pair.destination for pair in new.pairs} or any(
        _changed(before[pair.destination].over(Window.TEN_MINUTES), pair.over(Window.TEN_MINUTES)) for pair in new.pairs
    )


def is_current(row: HostQuality, hosts: int, row_bytes: int, now: datetime) -> bool:
    """Whether its host would have written again by now, were the row no longer so."""
    return now - row.written_at <= timedelta(seconds=2 * STALE_S + pause_s(hosts, row_bytes))


def _changed(old: Figures, new: Figures) -> bool:
    if (old.loss is None) != (new.loss is None) or (old.avg_ms is None) != (new.avg_ms is None):
        return True
    if abs((old.loss or 0.0) - (new.loss or 0.0)) > _LOSS_STEP:
        return True
    step = abs((old.avg_ms or 0.0) - (new.avg_ms or 0.0))
    return step > _RTT_STEP_MS and step > _RTT_STEP * (old.avg_ms or 0.0)
