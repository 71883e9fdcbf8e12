"""How the storage cluster of a CLADNet is: what runs where, what is wrong, how full it is."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address

from cbstorage.host import local
from cbstorage.model import ClusterState, Health, HostDaemons
from cbstorage.wanted import cluster, health_words, osds, volumes
from cbstorage.wanted.cluster import ClusterView
from cbstorage.wanted.health_words import Explained
from cbstorage.wanted.osds import OsdView
from cbstorage.wanted.volumes import VolumeView
from cladnet import network_hosts
from cladnet.etcd.store import Store
from cladnet.model import CladnetSpecification, CloudFacts
from cladnet.network_hosts import HostView
from larva.errors import NotFound
from web.health import words_of


class Duty(StrEnum):
    """What a daemon of a kind of which one does the work and others stand by is doing."""

    ACTIVE = "active"
    STANDBY = "standby"


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdLine:
    """One OSD."""

    osd: OsdView
    words: str
    """What is being done with it; empty when nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageHost:
    """What of storage runs on one host."""

    host: str
    cloud: CloudFacts
    address: IPv4Address | None
    monitor: bool | None
    """Whether it is in the quorum; None where there is none."""
    manager: Duty | None
    metadata_server: Duty | None
    osds: tuple[OsdLine, ...]
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeUse:
    """How full one volume is, bytes."""

    name: str
    used_bytes: int
    size_bytes: int
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageFacts:
    """What the page shows."""

    health: Health | None
    """None before the monitors' first quorum."""
    checks: tuple[Explained, ...]
    quorum: int
    monitors: int
    clean: bool | None
    used_bytes: int
    total_bytes: int
    room_bytes: int
    observed_at: datetime | None
    osds_up: int
    osds_off_cladnet: int
    """Those that advertise an address which other clouds cannot reach."""
    hosts: tuple[StorageHost, ...]
    volumes: tuple[VolumeUse, ...]


def read(store: Store, specification: CladnetSpecification) -> StorageFacts | None:
    """Return how a CLADNet's storage is as etcd has it now; None where it has none."""
    try:
        view = cluster.find(store, specification.id)
    except NotFound:
        return None
    return compose(
        view,
        osds.views(store, specification.id),
        network_hosts.views(store, specification.id),
        volumes.list_all(store, specification.id),
    )


def compose(
    view: ClusterView, every_osd: tuple[OsdView, ...], hosts: tuple[HostView, ...], every_volume: tuple[VolumeView, ...]
) -> StorageFacts:
    """Return what was read, by host."""
    state = view.state
    return StorageFacts(
        health=state.health if state else None,
        checks=tuple(words_of(health_words.explain(check)) for check in (state.checks if state else ())),
        quorum=len(state.quorum) if state else 0,
        monitors=len(view.specification.mon_hosts),
        clean=state.clean if state else None,
        used_bytes=state.used_bytes if state else 0,
        total_bytes=state.total_bytes if state else 0,
        room_bytes=state.room_bytes if state else 0,
        observed_at=state.observed_at if state else None,
        osds_up=sum(osd.up and osd.is_in for osd in (state.osds if state else ())),
        osds_off_cladnet=sum(not osd.on_cladnet for osd in (state.osds if state else ())),
        hosts=_hosts(view, every_osd, {host.host: host for host in hosts}),
        volumes=tuple(
            VolumeUse(name=one.name, used_bytes=one.used_bytes, size_bytes=one.size_bytes, status=one.status)
            for one in every_volume
        ),
    )


def _hosts(
    view: ClusterView, every_osd: tuple[OsdView, ...], known: dict[str, HostView]
) -> tuple[StorageHost, ...]:  # fmt: skip
    told: dict[str, HostDaemons] = {host.host: host for host in view.hosts}
    wanted = view.specification
    active = view.state.active_mds if view.state else ()
    servers = tuple(name for name in wanted.mds_hosts if local.mds_name(name) in active)
    names = {*told, *wanted.mon_hosts, *wanted.mgr_hosts, *wanted.mds_hosts, *(osd.host for osd in every_osd)} - {""}
    return tuple(
        StorageHost(
            host=name,
            cloud=known[name].cloud if name in known else CloudFacts(),
            address=known[name].address if name in known else None,
            monitor=_in_quorum(view, name),
            manager=_duty(name, wanted.mgr_hosts, (view.state.manager,) if view.state else ()),
            metadata_server=_duty(name, wanted.mds_hosts, servers),
            osds=tuple(OsdLine(osd=osd, words=osd.words) for osd in every_osd if osd.host == name),
            problem=told[name].problem if name in told else "",
        )
        for name in sorted(names)
    )


def _in_quorum(view: ClusterView, host: str) -> bool | None:
    state: ClusterState | None = view.state
    if host not in {*view.specification.mon_hosts, *(state.monitors if state else ())}:
        return None
    return state is not None and host in state.quorum


def _duty(host: str, wanted: tuple[str, ...], active: tuple[str, ...]) -> Duty | None:
    if host in active:
        return Duty.ACTIVE
    return Duty.STANDBY if host in wanted else None
