"""What is wrong and what is there, over every CLADNet, for the first page: findings in the reader's words."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from cbstorage.model import ClusterState, Health
from cbstorage.wanted import cluster, health_words, volumes
from cbstorage.wanted.cluster import ClusterView
from cbstorage.wanted.volumes import VolumeView
from cladnet import network_hosts, paths
from cladnet.alarm_summary import Summary
from cladnet.etcd.store import Store
from cladnet.model import CladnetSpecification, HostState
from cladnet.network_hosts import HostView
from cladnet.quality import AlarmKind, Window
from larva.checks import Finding, Severity
from larva.errors import NotFound
from web import topology
from web.health import words_of
from web.text import text
from web.topology import Line

WORST_PATHS = 8
_SEVERITY = {Health.ERROR: Severity.PROBLEM, Health.WARNING: Severity.WARNING, Health.OK: Severity.NOTE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One CLADNet with all that was read of it."""

    cladnet: CladnetSpecification
    hosts: tuple[HostView, ...]
    alarms: tuple[Summary, ...]
    lines: tuple[Line, ...]
    """The paths that are told of, the worst first."""
    storage: ClusterView | None
    volumes: tuple[VolumeView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """Of one storage cluster, bytes."""

    cladnet: str
    used_bytes: int
    total_bytes: int
    room_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstPath:
    """One of the worst paths of all."""

    cladnet: str
    line: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What the first page shows."""

    healthy: bool
    findings: tuple[Finding, ...]
    """The worst first."""
    cladnets: int
    hosts: dict[str, int]
    """State → how many hosts are in it."""
    volumes: int
    mounts: int
    capacity: tuple[Capacity, ...]
    worst: tuple[WorstPath, ...]


def compose(parts: Iterable[Part]) -> Overview:
    """Return the overview of what was read."""
    parts = tuple(parts)
    order = tuple(Severity)
    findings = sorted((found for part in parts for found in _findings(part)), key=lambda it: order.index(it.severity))
    every = [WorstPath(cladnet=part.cladnet.name, line=line) for part in parts for line in part.lines]
    return Overview(
        healthy=all(found.severity is Severity.NOTE for found in findings),
        findings=tuple(findings),
        cladnets=len(parts),
        hosts=dict(Counter(state_of(host) for part in parts for host in part.hosts)),
        volumes=sum(len(part.volumes) for part in parts),
        mounts=sum(len(volume.mounts) for part in parts for volume in part.volumes),
        capacity=tuple(
            _capacity(part.cladnet.name, part.storage.state) for part in parts if part.storage and part.storage.state
        ),
        worst=tuple(sorted(every, key=lambda it: topology.badness(it.line))[:WORST_PATHS]),
    )


def state_of(host: HostView) -> str:
    """Return a host's state as pages name it: what keeps it out counts before what the controller says."""
    if host.problem:
        return "problem"
    return host.state.value if host.state is not None else "waiting"


def part_of(store: Store, specification: CladnetSpecification) -> Part:
    """Read what the first page tells of a CLADNet, as etcd has it now."""
    group = specification.id
    try:
        storage = cluster.find(store, group)
    except NotFound:
        storage = None
    hosts = network_hosts.views(store, group)
    here = {host.host for host in hosts if host.present}
    seen, told = paths.both(store, group, Window.TEN_MINUTES)
    return Part(
        cladnet=specification,
        hosts=hosts,
        alarms=told.summary,
        lines=tuple(sorted(topology.merged(seen, told.alarms, here), key=topology.badness)[:WORST_PATHS]),
        storage=storage,
        volumes=volumes.list_all(store, group),
    )


def _capacity(name: str, state: ClusterState) -> Capacity:
    return Capacity(
        cladnet=name, used_bytes=state.used_bytes, total_bytes=state.total_bytes, room_bytes=state.room_bytes
    )


def _findings(part: Part) -> Iterator[Finding]:
    yield from _of_hosts(part)
    yield from _of_paths(part)
    if part.storage is not None:
        yield from _of_storage(part.cladnet.name, part.storage)
    for volume in part.volumes:
        if volume.problem:
            about = f"{part.cladnet.name} / {volume.name}"
            yield Finding(severity=Severity.PROBLEM, about=about, what=volume.problem)


def _of_hosts(part: Part) -> Iterator[Finding]:
    name = part.cladnet.name
    for host in part.hosts:
        if host.problem:
            what = text("finding.host.problem", host=host.host, problem=host.problem)
            yield Finding(severity=Severity.PROBLEM, about=name, what=what, do=text("finding.host.problem.do"))
    for state, severity in ((HostState.UNREACHABLE, Severity.PROBLEM), (None, Severity.WARNING)):
        names = [host.host for host in part.hosts if host.state is state and not host.problem]
        if names:
            key = "unreachable" if state else "waiting"
            yield Finding(
                severity=severity,
                about=name,
                what=text(f"finding.host.{key}", hosts=listed(names)),
                do=text(f"finding.host.{key}.do"),
            )


_PATHS: Mapping[AlarmKind, Severity] = {
    AlarmKind.UNREACHABLE: Severity.PROBLEM, AlarmKind.LOSS: Severity.WARNING, AlarmKind.SLOW: Severity.WARNING,
}  # fmt: skip


def _of_paths(part: Part) -> Iterator[Finding]:
    for alarm in part.alarms:
        what = text(f"finding.path.{alarm.kind}", destination=alarm.destination, sources=listed(alarm.sources))
        yield Finding(
            severity=_PATHS[alarm.kind], about=part.cladnet.name, what=what, do=text(f"finding.path.{alarm.kind}.do")
        )


def _of_storage(name: str, view: ClusterView) -> Iterator[Finding]:
    if view.state is None:
        yield Finding(severity=Severity.WARNING, about=name, what=text("finding.storage.coming"))
    for check in view.state.checks if view.state else ():
        said = words_of(health_words.explain(check))
        yield Finding(severity=_SEVERITY[check.health], about=name, what=said.cause or said.summary, do=said.remedy)
    for host in view.hosts:
        if host.problem:
            yield Finding(severity=Severity.WARNING, about=f"{name} / {host.host}", what=host.problem)


_LISTED = 6


def listed(names: Iterable[str]) -> str:
    """Return names one after another; of many the first, and how many more there are."""
    every = list(names)
    shown = ", ".join(every[:_LISTED])
    return shown if len(every) <= _LISTED else text("listed.more", names=shown, more=len(every) - _LISTED)
