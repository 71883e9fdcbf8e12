"""`ceph.conf`, rendered whole: the only addresses a daemon ever advertises are of the CLADNet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from cbstorage.ceph import timing
from cbstorage.ceph.crush import Place
from cbstorage.model import Monitor

MON_PORT = 3300
"""msgr2; msgr1's 6789 is never opened."""

DIRECTORY = Path("/etc/ceph")
DATA = Path("/var/lib/ceph")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """What every host's file says."""

    fsid: str
    cidr: IPv4Network
    monitors: tuple[Monitor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What one storage host's file says besides."""

    address: IPv4Address
    place: Place


# How often signs of life are sent: more often than by Ceph's defaults, which are meant for one room. How long anybody
# waits for them is derived from measured round trips and stands in the monitors' database (`cbstorage.leading.tuning`):
# a file would have precedence, so none of that may stand here. All of it is global: monitors and the others must agree.
# The grace for managers is long, since they are restarted often.
_FAILURE: Mapping[str, object] = {
    "mds_beacon_interval": timing.BEACON_S,
    "mds_tick_interval": timing.TICK_S,
    "mon_client_ping_interval": timing.PING_S,
    "mon_lease_ack_timeout_factor": timing.LEASE_ACK_FACTOR,
    "mon_mgr_beacon_grace": 15,
    "mon_osd_adjust_heartbeat_grace": "false",
    "mon_osd_reporter_subtree_level": "region",
    "mon_tick_interval": timing.TICK_S,
    "ms_max_backoff": 3,
    "osd_heartbeat_interval": timing.HEARTBEAT_S,
    # An OSD tells the monitors so often who answers it no more: by default up to 5 s later than it noticed.
    "osd_mon_report_interval": timing.HEARTBEAT_S,
    # By default a second lies between two changes, and a metadata server's takeover is five of them.
    "paxos_propose_interval": 0.25,
}

_CLUSTER: Mapping[str, object] = {
    "auth_client_required": "cephx",
    "auth_cluster_required": "cephx",
    "auth_service_required": "cephx",
    "ms_bind_ipv6": "false",
    "ms_bind_msgr1": "false",
}

CLIENT: Mapping[str, object] = {
    "client_mount_timeout": 15,
    # A client would first ask by a write whether it may use the pool (Client::check_pool_perm). While the pool is full
    # that write waits, and a fresh mount could not even be read. Our keys always fit their volume.
    "client_check_pool_perm": "false",
    "fuse_disable_pagecache": "false",
    # POSIX ACLs: the client judges by them, so FUSE must not judge by the mode alone (Ceph's client config reference).
    "client_acl_type": "posix_acl",
    "fuse_default_permissions": "false",
}
"""How a host mounts."""

_DAEMONS: Mapping[str, Mapping[str, object]] = {
    "global": {
        # The pools' real figures are set by us; these hold for a pool that somebody makes by hand.
        "osd_pool_default_min_size": 2,
        "osd_pool_default_pg_autoscale_mode": "off",
        "osd_pool_default_size": 3,
    },
    "mon": {
        "auth_allow_insecure_global_id_reclaim": "false",
        "mon_allow_pool_size_one": "true",
        "mon_data_avail_warn": 5,
    },
    # On Debian 13 modules written against PyO3 bring the manager down; nothing of ours needs one.
    "mgr": {"mgr_initial_modules": ""},
    "mds": {"mds_cache_memory_limit": 128 << 20},
    "osd": {
        "bluestore_block_size": 8 << 30,
        "osd_mclock_skip_benchmark": "true",
        "osd_memory_target": 896 << 20,
        "osd_objectstore": "bluestore",
    },
}


def render(cluster: Cluster, host: Host) -> str:
    """Return the `ceph.conf` of a storage host."""
    sections: dict[str, dict[str, object]] = {name: {} for name in ("global", "mon", "mgr", "mds", "osd")}
    sections["global"] = {
        **_common(cluster),
        "public_network": cluster.cidr,
        "cluster_network": cluster.cidr,
        "public_addr": host.address,
        "cluster_addr": host.address,
    }
    sections["global"].update(_FAILURE)
    for name, settings in _DAEMONS.items():
        sections[name].update(settings)
    # A monitor that is not in the first map names its own address: msgr2 only.
    sections["mon"]["public_addrv"] = address_vector(host.address)
    sections["osd"]["crush_location"] = host.place.location()
    return _text(sections)


def render_client(cluster: Cluster, place: Place | None = None) -> str:
    """Return the configuration file of a host that only mounts volumes.

    Args:
        place: where it is, so that it reads the nearest copy; the primary is read where nobody knows.
    """
    settings = {**_common(cluster), **{key: value for key, value in _FAILURE.items() if key.startswith("mon_client")}}
    located = {} if place is None else {"crush_location": place.location()}
    return _text({"global": settings, "client": {**CLIENT, **located}})


def address_vector(address: IPv4Address) -> str:
    """A monitor's address as Ceph writes it."""
    return f"[v2:{address}:{MON_PORT}/0]"


def mon_host(monitors: Sequence[Monitor]) -> str:
    """The addresses at which clients look for monitors."""
    return ",".join(f"[v2:{monitor.address}:{MON_PORT}]" for monitor in sorted(monitors, key=lambda one: one.host))


def _common(cluster: Cluster) -> dict[str, object]:
    return {**_CLUSTER, "fsid": cluster.fsid, "mon_host": mon_host(cluster.monitors)}


def _text(sections: Mapping[str, Mapping[str, object]]) -> str:
    lines = ["# Written by larva, which replaces it whole; settings of your own belong into `ceph config set`."]
    for name, settings in sections.items():
        lines += ["", f"[{name}]", *(f"{key} = {value}" for key, value in sorted(settings.items()))]
    return "\n".join(lines) + "\n"
