"""The picture of a CLADNet: its hosts in their places, what of storage runs on them, and the paths worth a line."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import combinations

from cbstorage import keys as storage_keys
from cbstorage.model import ClusterState
from cladnet import keys, network_hosts, paths
from cladnet.etcd.store import Store
from cladnet.model import CladnetSpecification, NetworkingRule
from cladnet.network_hosts import HostView
from cladnet.paths import AlarmView, PathView
from cladnet.quality import AlarmKind, Window
from cladnet.rules import choose_endpoint

MOST_PATHS = 300
"""More lines than this are no picture, and a browser draws them slowly."""


class PathKind(StrEnum):
    """By which of the peer's addresses a path goes."""

    PRIVATE = "private"
    PUBLIC = "public"
    UNKNOWN = "unknown"
    """One side knows no address of the other, and waits for it to speak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdMark:
    """One OSD on a host."""

    id: int
    good: bool
    """Up, in, and with every address on the CLADNet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedHost:
    """One host and what of storage runs on it."""

    host: HostView
    monitor: bool | None = None
    """Whether its monitor is in the quorum; None where it has none."""
    osds: tuple[OsdMark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One path between two hosts, both directions together: the worse figure of each."""

    one: str
    other: str
    kind: PathKind = PathKind.UNKNOWN
    rtt_ms: float | None = None
    """None while nothing came back, or nobody has told."""
    loss: float | None = None
    """0 to 1; None while nobody has told."""
    alarm: AlarmKind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """What the page draws."""

    hosts: tuple[PlacedHost, ...]
    lines: tuple[Line, ...]
    """The worst first."""
    paths: int
    """How many there are between the hosts that are there, drawn or not."""


def read(store: Store, specification: CladnetSpecification) -> Topology:
    """Return the picture of a CLADNet as etcd has it now."""
    group = specification.id
    rules = {name: item.value for name, item in store.children(keys.rules_of(group), NetworkingRule).items()}
    found = store.get(storage_keys.cluster_state(group), ClusterState)
    hosts = placed(network_hosts.views(store, group), found.value if found else None)
    here = {each.host.host: each.host for each in hosts if each.host.present and each.host.address is not None}
    seen, told = paths.both(store, group, Window.TEN_MINUTES)
    lines = chosen(merged(seen, told.alarms, here), here)
    return Topology(
        hosts=hosts,
        lines=tuple(replace(line, kind=kind(rules, line, specification)) for line in lines),
        paths=len(here) * (len(here) - 1) // 2,
    )


def placed(views: Iterable[HostView], cluster: ClusterState | None) -> tuple[PlacedHost, ...]:
    """Return the hosts with the monitors and OSDs that the storage cluster has on them."""
    osds: defaultdict[str, list[OsdMark]] = defaultdict(list)
    for osd in cluster.osds if cluster else ():
        osds[osd.host].append(OsdMark(id=osd.id, good=osd.up and osd.is_in and osd.on_cladnet))
    monitors = {name: name in cluster.quorum for name in cluster.monitors} if cluster else {}
    return tuple(
        PlacedHost(host=view, monitor=monitors.get(view.host), osds=tuple(osds.get(view.host, ()))) for view in views
    )


def merged(views: Iterable[PathView], alarms: Iterable[AlarmView], here: Collection[str]) -> tuple[Line, ...]:
    """Return one line for each pair of hosts of which one has told.

    Args:
        here: the hosts between which lines are drawn.
    """
    lines: dict[tuple[str, str], Line] = {}
    for view in views:
        if view.source in here and view.destination in here and view.source != view.destination:
            pair = _pair(view.source, view.destination)
            line = lines.get(pair) or Line(one=pair[0], other=pair[1])
            lines[pair] = replace(
                line, rtt_ms=_larger(line.rtt_ms, view.avg_ms), loss=_larger(line.loss, view.loss)
            )  # fmt: skip
    order = tuple(AlarmKind)
    for alarm in alarms:
        if alarm.source in here and alarm.destination in here:
            pair = _pair(alarm.source, alarm.destination)
            line = lines.get(pair) or Line(one=pair[0], other=pair[1])
            worst = alarm.kind if line.alarm is None else min(line.alarm, alarm.kind, key=order.index)
            lines[pair] = replace(line, alarm=worst)
    return tuple(lines.values())


def chosen(lines: Iterable[Line], here: Mapping[str, HostView], most: int = MOST_PATHS) -> tuple[Line, ...]:
    """Return the lines that are drawn, the worst first: every one where they are few; else those with an alarm, the
    worst between every two regions, and the worst of the rest, up to `most`."""
    known = sorted(lines, key=badness)
    if len(here) * (len(here) - 1) // 2 <= most:
        told = {(line.one, line.other) for line in known}
        return (*known, *(Line(one=a, other=b) for a, b in combinations(sorted(here), 2) if (a, b) not in told))
    alarmed = [line for line in known if line.alarm is not None]
    kept = list(dict.fromkeys([*alarmed, *_worst_of_regions(known, here), *known]))[:most]
    return tuple(sorted(kept, key=badness))


def badness(line: Line) -> tuple[int, float, float, str, str]:
    """A key that sorts the worst line first."""
    alarm = len(AlarmKind) if line.alarm is None else tuple(AlarmKind).index(line.alarm)
    return (alarm, -(line.loss or 0.0), -(line.rtt_ms or 0.0), line.one, line.other)


def kind(rules: Mapping[str, NetworkingRule], line: Line, specification: CladnetSpecification) -> PathKind:
    """Return by which address the two reach each other; unknown where one of them has none."""
    if line.one not in rules or line.other not in rules:
        return PathKind.UNKNOWN
    one, other = rules[line.one], rules[line.other]
    endpoint = choose_endpoint(one, other, specification.rule_type) or choose_endpoint(
        other, one, specification.rule_type
    )
    return PathKind(endpoint.kind) if endpoint else PathKind.UNKNOWN


def _worst_of_regions(known: Iterable[Line], here: Mapping[str, HostView]) -> Iterator[Line]:
    """`known` has the worst first."""
    seen = set()
    for line in known:
        places = frozenset((here[host].cloud.provider, here[host].cloud.region) for host in (line.one, line.other))
        if places not in seen:
            seen.add(places)
            yield line


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one < other else (other, one)


def _larger(one: float | None, other: float | None) -> float | None:
    return other if one is None else one if other is None else max(one, other)
