"""What one host does for the whole cluster: the leading monitor's, so that another takes over when it is lost.

Every step can be repeated and two leaders for a moment do no harm: monitor commands are idempotent, writes guarded.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from cbstorage import ground, keys, records, view
from cbstorage.ceph import cephx, sealed_keys, timing
from cbstorage.ceph.answers import HealthReport, QuorumStatus
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import services
from cbstorage.leading import (
    leavers,
    locations,
    mirror_checks,
    monitor_moves,
    observe,
    osd_keeper,
    pools,
    promise_pools,
    room,
    storage_paths,
    tuning,
)
from cbstorage.leading.rates import RateKeeper
from cbstorage.model import ClusterState, SealedKeys
from cbstorage.view import View
from cladnet.etcd.store import Store
from larva.errors import Conflict, LarvaError, MalformedData, Unavailable

log = logging.getLogger(__name__)

FRESH = timedelta(seconds=60)
"""A state that did not change is written again after this long, so that a reader sees somebody looks."""

_NO_MODULES = "MGR_MODULE_DEPENDENCY"


def lead(
    store: Store,
    monitors: Monitors,
    seen: View,
    quorum: QuorumStatus,
    identities: Mapping[str, cephx.Identity],
    *,
    rates: RateKeeper | None = None,
) -> None:
    """Give other storage hosts their keys, keep pools and file system right, publish how the cluster is.

    Args:
        rates: what this host remembers of the OSDs' counters.
    """
    storage_hosts = view.storage_hosts(store, seen)
    for host in storage_hosts:
        try:
            _give_keys(store, monitors, seen, host, identities)
        except Unavailable:
            raise
        except LarvaError as error:  # one host's odd seal key keeps nobody else waiting
            log.warning("storage host %s has no keys: %s", host, error.message)
    locations.ensure(monitors, seen)
    pools.ensure(monitors, storage_hosts)
    _keep_room(monitors)
    volumes = [item.value for item in records.volumes(store, seen.group).values()]
    promised = promise_pools.keep(monitors, seen, volumes, ground.measured(store, seen.group))
    _mute(monitors)
    osd_keeper.tend(store, monitors, seen.group)
    leavers.tend(store, monitors, seen.group)
    _retire_monitor(store, monitors, quorum, seen)
    paths = storage_paths.between(storage_paths.read(store, seen.group, storage_hosts), storage_hosts)
    current = _published(store, seen.group)
    round_trip_ms = timing.step(
        current.round_trip_ms if current else 0,
        lately_ms=storage_paths.worst_ms(path.lately for path in paths),
        long_ms=storage_paths.worst_ms(path.long for path in paths),
    )
    try:
        tuning.ensure(monitors, round_trip_ms)
    except Unavailable:
        raise
    except LarvaError as error:  # the cluster works with other settings too, and how it is must be told
        log.warning("timeouts are not as they should be: %s", error.message)
    state = observe.cluster_state(
        monitors, quorum, seen.specification.cidr, round_trip_ms=round_trip_ms, rates=rates,
        more=(*storage_paths.checks(paths), *promised, *mirror_checks.read(store, seen.group)),
    )  # fmt: skip
    _publish(store, seen.group, current, state)


def _keep_room(monitors: Monitors) -> None:
    try:
        room.ensure(monitors)
    except LarvaError as error:  # an OSD that does not answer keeps nothing else waiting
        log.warning("the room to keep free is not set yet: %s", error.message)


def _mute(monitors: Monitors) -> None:
    """Silence what is no trouble here: on Debian 13 the manager loads no Python module, and none is needed.

    They fail on `import bcrypt` (PyO3 refuses subinterpreters); a manager without them has been the stabler one.
    """
    check = monitors.ask("health", HealthReport).checks.get(_NO_MODULES)
    if check is not None and not check.muted:
        monitors.run("health mute", code=_NO_MODULES, sticky=True)


def _retire_monitor(store: Store, monitors: Monitors, quorum: QuorumStatus, seen: View) -> None:
    """Take out of the map the next monitor that is wanted no more, or whose host left."""
    wanted = [host for host in seen.specification.mon_hosts if not leavers.has_left(store, seen.group, host)]
    gone = monitor_moves.next_to_go(
        in_map=[one.name for one in quorum.monmap.mons],
        quorum=quorum.quorum_names,
        wanted=wanted,
    )
    if gone is not None:
        monitors.run("mon remove", name=gone)
        log.info("monitor %s is out of the map", gone)


def _give_keys(
    store: Store, monitors: Monitors, seen: View, host: str, identities: Mapping[str, cephx.Identity]
) -> None:
    """Seal a host's keys to it, anew when it came back with another seal key or got a monitor."""
    seal_key = seen.hosts[host].seal_key
    key = keys.keyring(seen.group, host)
    current = store.get(key, SealedKeys)
    is_monitor = host in seen.specification.mon_hosts
    wanted = {cephx.MON, cephx.ADMIN} if is_monitor else {cephx.storage_host(host)}
    has = {one.entity for one in current.value.keys} if current and current.value.seal_key == seal_key else set()
    if wanted <= has:
        return
    if is_monitor:
        given = [identities[cephx.MON], identities[cephx.ADMIN]]
    else:
        given = [services.get_or_create(monitors, cephx.storage_host(host), cephx.STORAGE_HOST_CAPS)]
    sealed = sealed_keys.seal_keys(seal_key, given)
    try:
        if current is None:
            store.create(key, sealed)
        else:
            store.replace(current, sealed)
        log.info("gave storage host %s its keys", host)
    except Conflict:
        log.debug("another host gave %s its keys", host)


def _published(store: Store, group: str) -> ClusterState | None:
    try:
        current = store.get(keys.cluster_state(group), ClusterState)
    except MalformedData:  # written over
        return None
    return current.value if current else None


def _publish(store: Store, group: str, current: ClusterState | None, state: ClusterState) -> None:
    stale = current is None or datetime.now(UTC) - current.observed_at > FRESH
    if stale or current is None or not observe.same(current, state):
        store.put(keys.cluster_state(group), state)
