"""What the cluster looks like from a monitor: Ceph's own health, and our check of every OSD's addresses."""

from collections.abc import Sequence
from datetime import UTC, datetime
from ipaddress import IPv4Network

from cbstorage.ceph import capacity
from cbstorage.ceph.answers import (
    CrushTree,
    FileSystems,
    HealthReport,
    ManagerStatus,
    OsdEntry,
    OsdMap,
    PgMap,
    QuorumStatus,
    Status,
)
from cbstorage.ceph.crush import replication
from cbstorage.ceph.monitor import Monitors
from cbstorage.leading import pools
from cbstorage.leading.rates import RateKeeper
from cbstorage.model import ClusterState, Health, HealthCheck, OsdState, Rates

_HEALTH = {"HEALTH_OK": Health.OK, "HEALTH_WARN": Health.WARNING, "HEALTH_ERR": Health.ERROR}


def cluster_state(
    monitors: Monitors,
    quorum: QuorumStatus,
    cidr: IPv4Network,
    *,
    round_trip_ms: int = 0,
    rates: RateKeeper | None = None,
    more: Sequence[HealthCheck] = (),
) -> ClusterState:
    """Ask the monitors for everything that `larva storage status` shows.

    Args:
        round_trip_ms: for which their timeouts are made.
        rates: remembers what the OSDs told before.
        more: what else there is to complain of: slow paths, promises that are not kept.
    """
    health = monitors.ask("health", HealthReport)
    osd_map = monitors.ask("osd dump", OsdMap)
    tree = monitors.ask("osd tree", CrushTree)
    osds = osd_states(osd_map, tree, cidr)
    maps = monitors.ask("fs dump", FileSystems)
    manager = _manager(monitors)
    groups = monitors.ask("status", Status).pgmap
    told = rates.look(monitors, [osd.id for osd in osds if osd.up]) if rates else None
    # The manager's figures are the better ones: they count OSDs that are down. Without it they are of the past.
    counted = bool(manager) and groups.bytes_total > 0
    checks = tuple(
        HealthCheck(code=code, health=_HEALTH.get(check.severity, Health.WARNING), summary=check.summary.message)
        for code, check in sorted(health.checks.items())
        if not check.muted
    )
    own = (*own_checks(quorum, osds, manager), *more)
    worst = max((_HEALTH.get(health.status, Health.WARNING), *(check.health for check in own)), key=list(Health).index)
    return ClusterState(
        health=worst,
        checks=checks + own,
        quorum=tuple(sorted(quorum.quorum_names)),
        monitors=tuple(sorted(entry.name for entry in quorum.monmap.mons)),
        manager=manager,
        active_mds=tuple(
            sorted(
                entry.name
                for one in maps.filesystems
                for entry in one.mdsmap.info.values()
                if entry.state == "up:active"
            )
        ),
        standby_mds=tuple(sorted(entry.name for entry in maps.standbys)),
        osds=osds,
        total_bytes=groups.bytes_total if counted or told is None else told.total_bytes,
        used_bytes=groups.bytes_used if counted or told is None else told.used_bytes,
        clean=_clean(groups) if manager else None,
        observed_at=datetime.now(UTC),
        round_trip_ms=round_trip_ms,
        rates=told.rates if told else None,
        room_bytes=capacity.room_bytes(tree, replication(pools.places(tree)), osd_map.full_ratio),
    )


def osd_states(osd_map: OsdMap, tree: CrushTree, cidr: IPv4Network) -> tuple[OsdState, ...]:
    """Return every OSD with the addresses it advertises and whether they lie in the CLADNet."""
    hosts = {child: node.name for node in tree.nodes if node.type == "host" for child in node.children}
    return tuple(_osd(entry, hosts.get(entry.osd, ""), cidr) for entry in osd_map.osds)


def _osd(entry: OsdEntry, host: str, cidr: IPv4Network) -> OsdState:
    wire = (*entry.public_addrs.addrvec, *entry.cluster_addrs.addrvec)
    addresses = tuple(sorted({one.ip() for one in wire if not one.ip().is_unspecified}))
    return OsdState(
        id=entry.osd,
        host=host,
        up=bool(entry.up),
        is_in=entry.weight > 0,
        addresses=addresses,
        on_cladnet=bool(addresses) and all(address in cidr for address in addresses),
        uuid=entry.uuid,
    )


def own_checks(quorum: QuorumStatus, osds: Sequence[OsdState], manager: str) -> tuple[HealthCheck, ...]:
    """What Ceph does not complain about and we do: addresses off the CLADNet, and that no manager counts."""
    found = [
        HealthCheck(
            code="OSD_OFF_CLADNET",
            health=Health.ERROR,
            summary=f"osd.{osd.id} on {osd.host or 'no host'} advertises {', '.join(map(str, osd.addresses))}, "
            "which no other cloud can reach",
        )
        for osd in osds
        if osd.up and not osd.on_cladnet
    ]
    if not manager:
        found.append(
            HealthCheck(
                code="NO_MANAGER",
                health=Health.WARNING,
                summary="no manager is active: capacity and placement groups are not counted; volumes work without",
            )
        )
    if len(quorum.monmap.mons) > 1 and len(quorum.quorum_names) <= len(quorum.monmap.mons) // 2 + 1 < len(
        quorum.monmap.mons
    ):
        found.append(
            HealthCheck(
                code="QUORUM_BARELY",
                health=Health.WARNING,
                summary="one more monitor lost would stop the cluster",
            )
        )
    return tuple(found)


def _manager(monitors: Monitors) -> str:
    status = monitors.ask("mgr stat", ManagerStatus)
    return status.active_name if status.available else ""


def _clean(groups: PgMap) -> bool:
    return groups.num_pgs > 0 and all(
        state.state_name.split("+")[:2] == ["active", "clean"] for state in groups.pgs_by_state
    )


def same(old: ClusterState, new: ClusterState) -> bool:
    """Whether two observations differ in nothing but their time and a few bytes."""
    near = abs(old.used_bytes - new.used_bytes) <= max(1 << 20, new.total_bytes // 200)
    return near and _alike(old.rates, new.rates) and _without_figures(old) == _without_figures(new)


def _alike(old: Rates | None, new: Rates | None) -> bool:
    """Whether no rate became twice or half of what it was; a few operations are as good as none."""
    if old is None or new is None:
        return old is new
    pairs = [(old.reads_s, new.reads_s, 20), (old.writes_s, new.writes_s, 20)] + [
        (before, now, 1 << 20)
        for before, now in (
            (old.read_bytes_s, new.read_bytes_s),
            (old.written_bytes_s, new.written_bytes_s),
            (old.recovered_bytes_s, new.recovered_bytes_s),
        )
    ]
    return all(max(before, now) <= 2 * min(before, now) + few for before, now, few in pairs)


def _without_figures(state: ClusterState) -> tuple[object, ...]:
    return (
        state.health, state.checks, state.quorum, state.monitors, state.manager, state.active_mds, state.standby_mds,
        state.osds, state.total_bytes, state.room_bytes, state.clean, state.round_trip_ms,
    )  # fmt: skip
