"""What is known of the paths of a CLADNet: the rows that its hosts write all the time, and the alarms in them."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cladnet import keys
from cladnet.agent.quality_row import is_current
from cladnet.alarm_summary import Reported, Summary, summarise
from cladnet.etcd.store import Event, Relist, Store
from cladnet.model import Moment, NetworkingRule
from cladnet.quality import AlarmKind, HostQuality, Window
from larva import codec
from larva.errors import MalformedData

log = logging.getLogger(__name__)

_ROW_BYTES = 50_000
"""What a row may have when it is judged how old it may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathView:
    """One path over one window, as a person wants to see it."""

    source: str
    destination: str
    window: Window
    sent: int
    received: int
    loss: float | None
    min_ms: float | None
    avg_ms: float | None
    p95_ms: float | None
    jitter_ms: float | None
    age_s: float | None
    """Since the last echo of which the row tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmView:
    """One alarm of a CLADNet."""

    source: str
    destination: str
    kind: AlarmKind
    since: Moment
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarms:
    """All alarms of a CLADNet: each by itself, and put together for people."""

    summary: tuple[Summary, ...] = ()
    alarms: tuple[AlarmView, ...] = ()


def views(store: Store, group: str, window: Window, now: datetime | None = None) -> tuple[PathView, ...]:
    """Return every path that is told of, over a window; a host that is off tells of none."""
    return _views(_rows(store, group), window, now or datetime.now(UTC))


def both(store: Store, group: str, window: Window) -> tuple[tuple[PathView, ...], Alarms]:
    """Return what views() and alarms() do; the rows, which are long in a large CLADNet, are read once."""
    rows, now = _rows(store, group), datetime.now(UTC)
    return _views(rows, window, now), _alarms(rows, _clouds(store, group), now)


def _views(rows: Mapping[str, HostQuality], window: Window, moment: datetime) -> tuple[PathView, ...]:
    found = []
    for row in _current(rows, moment):
        for pair in row.pairs:
            figures = pair.over(window)
            age_s = (moment - pair.measured_at).total_seconds() if pair.measured_at is not None else None
            found.append(
                PathView(
                    source=row.host, destination=pair.destination, window=window, sent=figures.sent,
                    received=figures.received, loss=figures.loss, min_ms=figures.min_ms, avg_ms=figures.avg_ms,
                    p95_ms=figures.p95_ms, jitter_ms=figures.jitter_ms,
                    age_s=None if age_s is None else round(max(0.0, age_s), 1),
                )
            )  # fmt: skip
    return tuple(found)


def alarms(store: Store, group: str) -> Alarms:
    """Return the alarms that the hosts of a CLADNet raise now, of peers that it has."""
    return _alarms(_rows(store, group), _clouds(store, group), datetime.now(UTC))


def following(store: Store, group: str) -> Iterator[Alarms]:
    """Yield the alarms now, and again whenever they differ; without end."""
    qualities, rules = keys.qualities_of(group), keys.rules_of(group)
    last: Alarms | None = None
    found: dict[str, HostQuality] = {}
    clouds: dict[str, str] = {}
    with store.watch([qualities, rules]) as watch:
        for item in watch:  # it begins with a Relist a prefix
            if isinstance(item, Relist) or keys.child(qualities, item.key) is None:
                found, clouds = _rows(store, group), _clouds(store, group)
            else:
                _take(found, keys.last_segment(item.key), item)
            now = _alarms(found, clouds, datetime.now(UTC))
            if last is None or now != last:
                last = now
                yield now


def _rows(store: Store, group: str) -> dict[str, HostQuality]:
    """By host; what stands under the name of one and is another's is left out."""
    found = store.children(keys.qualities_of(group), HostQuality)
    return {host: item.value for host, item in sorted(found.items()) if item.value.host == host}


def _clouds(store: Store, group: str) -> dict[str, str]:
    rules = store.children(keys.rules_of(group), NetworkingRule)
    return {host: rule.value.cloud.provider for host, rule in rules.items()}


def _take(found: dict[str, HostQuality], host: str, event: Event) -> None:
    found.pop(host, None)
    if event.value is None:
        return
    try:
        row = codec.decode(event.value, HostQuality, source=event.key)
    except MalformedData as error:  # a host wrote it: the others' alarms count
        log.warning("left out: %s", error)
        return
    if row.host == host:
        found[host] = row


def _current(found: Mapping[str, HostQuality], now: datetime) -> Iterator[HostQuality]:
    return (found[host] for host in sorted(found) if is_current(found[host], len(found), _ROW_BYTES, now))


def _alarms(found: Mapping[str, HostQuality], clouds: Mapping[str, str], now: datetime) -> Alarms:
    reported = [
        Reported(source=row.host, alarm=alarm)
        for row in _current(found, now)
        for alarm in row.alarms
        if alarm.destination in clouds
    ]
    return Alarms(
        summary=summarise(reported, clouds),
        alarms=tuple(
            AlarmView(
                source=each.source, destination=each.alarm.destination, kind=each.alarm.kind, since=each.alarm.since,
                evidence=each.alarm.evidence,
            )
            for each in reported
        ),
    )  # fmt: skip
