"""The life cycle of storage clusters as desired state in etcd, and how they stand."""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cbstorage import keys
from cbstorage.host.device import SMALLEST_BYTES
from cbstorage.model import ClusterSpecification, ClusterState, Health, HostDaemons
from cbstorage.wanted import assignment, monitor_plan, sizes
from cbstorage.wanted.assignment import Candidate
from cbstorage.wanted.monitor_plan import MonitorPlan
from cladnet import network_hosts, networks, status_tests
from cladnet.etcd.store import Store
from cladnet.model import CladnetSpecification
from cladnet.network_hosts import HostView
from cladnet.placement.model import Survive
from larva.errors import Conflict, InvalidInput, NotFound, TimedOut

POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """A storage cluster, wanted and as it was last seen."""

    specification: ClusterSpecification
    state: ClusterState | None
    """None before the monitors' first quorum."""
    hosts: tuple[HostDaemons, ...]


def create(
    store: Store, cladnet: str, *, mon_hosts: Sequence[str] = (), osd_file_bytes: int | None = None,
    encrypt_osds: bool = False,
) -> ClusterSpecification:  # fmt: skip
    """Ask for a storage cluster on the storage hosts of a CLADNet.

    Args:
        cladnet: id or name.
        mon_hosts: where monitors run, an odd number; chosen over the providers without them.
        osd_file_bytes: size of sparse files that hosts name as OSD devices and that are not there yet.
        encrypt_osds: every OSD is encrypted on its device.

    Raises:
        NotFound: no such CLADNet or host.
        Conflict: it has a storage cluster.
        InvalidInput: it has no storage host, or monitors or OSDs cannot be as asked.
    """
    if osd_file_bytes is not None and not SMALLEST_BYTES <= osd_file_bytes <= sizes.LARGEST:
        raise InvalidInput(
            f"an OSD of {osd_file_bytes} bytes cannot be", hint=f"{sizes.show(SMALLEST_BYTES)} is the least"
        )
    network = networks.find(store, cladnet)
    candidates = [Candidate(host=view.host, cloud=view.cloud) for view in _storage_hosts(store, network)]
    chosen = _monitors(mon_hosts, candidates) if mon_hosts else assignment.monitors(candidates)
    specification = ClusterSpecification(
        group=network.id,
        fsid=str(uuid.uuid4()),
        cidr=network.cidr,
        mon_hosts=chosen,
        mgr_hosts=assignment.managers(chosen),
        mds_hosts=assignment.metadata_servers(candidates),
        osd_file_bytes=osd_file_bytes or _DEFAULT_FILE_BYTES,
        encrypt_osds=encrypt_osds,
        created_at=datetime.now(UTC),
    )
    try:
        store.create(keys.cluster(network.id), specification)
    except Conflict as error:
        raise Conflict(
            f"CLADNet {network.name} has a storage cluster already", hint="larva storage status shows how it is"
        ) from error
    return specification


def plan_monitors(
    store: Store,
    cladnet: str,
    *,
    mon_hosts: Sequence[str] = (),
    count: int | None = None,
    survive: Survive | None = None,
) -> MonitorPlan:
    """Say where a storage cluster's monitors should run, and what they outlive there; nothing is made.

    Args:
        cladnet: id or name.
        mon_hosts: hosts that somebody names; placement chooses without them.
        count, survive: what placement has to keep to; see monitor_plan.choose().

    Raises:
        NotFound, InvalidInput: as create(), or what is asked for cannot be.
    """
    network = networks.find(store, cladnet)
    hosts, rows = _storage_hosts(store, network), status_tests.matrix(store, network.id)
    if mon_hosts:
        candidates = [Candidate(host=view.host, cloud=view.cloud) for view in hosts]
        return monitor_plan.named(_monitors(mon_hosts, candidates), hosts, rows)
    return monitor_plan.choose(hosts, rows, count=count, survive=survive)


def _storage_hosts(store: Store, network: CladnetSpecification) -> tuple[HostView, ...]:
    hosts = monitor_plan.able(network_hosts.views(store, network.id))
    if not hosts:
        raise InvalidInput(
            f"CLADNet {network.name} has no storage host with an address yet",
            hint=f"launch VMs with the role storage; see `larva net hosts {network.name}`",
        )
    return hosts


_DEFAULT_FILE_BYTES = 8 << 30


def _monitors(wanted: Sequence[str], candidates: Sequence[Candidate]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(wanted))
    able = sorted(candidate.host for candidate in candidates)
    if missing := [name for name in names if name not in able]:
        raise NotFound(
            f"no storage host with an address is called {', '.join(missing)}", hint=f"there are: {', '.join(able)}"
        )
    if len(names) % 2 == 0:
        raise InvalidInput(
            f"{len(names)} monitors survive no more losses than {len(names) - 1}", hint="name an odd number of hosts"
        )
    return names


def find(store: Store, cladnet: str | None = None) -> ClusterView:
    """Return the storage cluster of a CLADNet, by id or name; the only one there is without it."""
    group = only_group(store) if cladnet is None else networks.find(store, cladnet).id
    specification = store.get(keys.cluster(group), ClusterSpecification)
    if specification is None:
        raise NotFound(f"CLADNet {cladnet or group} has no storage cluster", hint="larva storage init makes one")
    state = store.get(keys.cluster_state(group), ClusterState)
    hosts = store.list(keys.daemons_of(group), HostDaemons)
    return ClusterView(
        specification=specification.value,
        state=state.value if state else None,
        hosts=tuple(item.value for item in hosts.items),
    )


def only_group(store: Store) -> str:
    """Return the id of the only CLADNet with a storage cluster; an error that says what to do otherwise."""
    return the_only(list(store.children(keys.CLUSTER, ClusterSpecification)))


def the_only(groups: Sequence[str]) -> str:
    """Return the only one of the CLADNets that have a storage cluster; errors as only_group()."""
    if not groups:
        raise NotFound("there is no storage cluster yet", hint="larva storage init --group CLADNET makes one")
    if len(groups) > 1:
        raise InvalidInput("there are several storage clusters", hint=f"choose with --group: {', '.join(groups)}")
    return groups[0]


def ready(view: ClusterView, osds: int | None = None) -> str:
    """Return what is missing before volumes can be used; empty when nothing is.

    Args:
        osds: how many have to be up and in; without it, one a device that hosts report and one at least.
    """
    state = view.state
    if state is None:
        words = [f"{host.host}: {host.problem}" for host in view.hosts if host.problem]
        return "no monitor quorum yet" + "".join(f"\n{word}" for word in words)
    up = [osd for osd in state.osds if osd.up and osd.is_in and osd.on_cladnet]
    wanted = osds if osds is not None else max(1, len(state.osds))
    if len(up) < wanted:
        return f"{len(up)} of {wanted} OSDs are up and in"
    if not state.active_mds:
        return "no metadata server is active yet"
    return ""


def wait_ready(store: Store, cladnet: str | None, *, timeout_s: float, osds: int | None = None) -> ClusterView:
    """Wait until volumes can be used; TimedOut with what is missing otherwise."""
    return await_ready(lambda: find(store, cladnet), timeout_s=timeout_s, osds=osds)


def await_ready(find: Callable[[], ClusterView], *, timeout_s: float, osds: int | None = None) -> ClusterView:
    """Wait until volumes can be used in the cluster that `find` finds."""
    deadline = time.monotonic() + timeout_s
    while missing := ready(view := find(), osds):
        if time.monotonic() > deadline:
            raise TimedOut(
                f"the storage cluster is not ready after {timeout_s:g} s: {missing}",
                hint="on a storage host: journalctl -u larva-storage",
            )
        time.sleep(POLL_S)
    return view


def words(state: ClusterState | None) -> str:
    """The cluster's health in words."""
    if state is None:
        return "coming up: the monitors have no quorum yet"
    return {
        Health.OK: "healthy",
        Health.WARNING: "working, with warnings",
        Health.ERROR: "in trouble",
    }[state.health]
