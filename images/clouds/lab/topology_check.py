"""Whether a lab can look like a topology, and every reason why not. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations

from images.clouds.lab.topology import SIZE, TRANSIT, Host, Role, Topology
from larva.errors import MalformedData

MAX_CLOUDS = 200
MAX_RTT_MS = 10_000.0
MIN_MTU, MAX_MTU = 1280, 9216
MIN_MEMORY_MIB, MAX_MEMORY_MIB = 256, 1 << 20
MAX_SERIAL = 20
"""Letters of a virtio disk's serial number (VIRTIO_BLK_ID_BYTES of linux/virtio_blk.h)."""
MIN_MBIT_S, MAX_MBIT_S = 1.0, 100_000.0

# `up-` and the cloud's name make an interface name, 15 characters at most (IFNAMSIZ of linux/if.h, less the end).
_CLOUD_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?")
_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
_DISK_NAME = re.compile(r"[a-z0-9]([a-z0-9_-]{0,30}[a-z0-9])?")
_MAX_DISK = 16 << 40


def check(topology: Topology, *, source: str) -> Topology:
    """Return the topology if a lab can look like it; MalformedData names every problem otherwise."""
    found = problems(topology)
    if found:
        raise MalformedData(f"{source}: " + "; ".join(found), hint="correct the topology file")
    return topology


def problems(topology: Topology) -> tuple[str, ...]:
    """Say why no lab can look like this; empty when one can."""
    return (*_cloud_problems(topology), *_rtt_problems(topology), *_host_problems(topology))


def _repeated(values: Iterable[object]) -> list[object]:
    return [value for value, times in Counter(values).items() if times > 1]


def _cloud_problems(topology: Topology) -> Iterator[str]:
    if not topology.clouds:
        yield "clouds: at least one is needed"
    if len(topology.clouds) > MAX_CLOUDS:
        yield f"clouds: {len(topology.clouds)} are more than {MAX_CLOUDS}"
    for name in _repeated(cloud.name for cloud in topology.clouds):
        yield f"clouds: the name {name!r} is used twice"
    for index, cloud in enumerate(topology.clouds):
        where = f"clouds[{index}]"
        if not _CLOUD_NAME.fullmatch(cloud.name):
            yield f"{where}.name: {cloud.name!r} is not 1 to 12 of a-z, 0-9 and -"
        for word in ("provider", "region", "zone"):
            if not getattr(cloud, word).strip():
                yield f"{where}.{word}: empty"
        if cloud.private.prefixlen > 29:
            yield f"{where}.private: {cloud.private} is too small, /29 is the least"
        if not MIN_MTU <= cloud.mtu <= MAX_MTU:
            yield f"{where}.mtu: {cloud.mtu} is not between {MIN_MTU} and {MAX_MTU}"
        if cloud.uplink_mbit_s and not MIN_MBIT_S <= cloud.uplink_mbit_s <= MAX_MBIT_S:
            yield f"{where}.uplink_mbit_s: {cloud.uplink_mbit_s:g} is not between {MIN_MBIT_S:g} and {MAX_MBIT_S:g}"
        for word, network in (("private", cloud.private), ("public", cloud.public)):
            if network.overlaps(TRANSIT) or network.is_loopback or network.is_multicast or network.is_link_local:
                yield f"{where}.{word}: {network} is not for hosts ({TRANSIT} joins the gateways)"
        for other in topology.clouds:
            if cloud.public.overlaps(other.private):
                yield f"{where}.public: {cloud.public} overlaps the private {other.private} of {other.name}"
    for one, other in combinations(topology.clouds, 2):
        if one.public.overlaps(other.public):
            yield f"clouds: the public prefixes of {one.name} and {other.name} overlap: {one.public}, {other.public}"


def _rtt_problems(topology: Topology) -> Iterator[str]:
    names = {cloud.name for cloud in topology.clouds}
    for index, rtt in enumerate(topology.rtt):
        for name in rtt.between:
            if name not in names:
                yield f"rtt[{index}].between: there is no cloud {name!r}"
        if rtt.between[0] == rtt.between[1]:
            yield f"rtt[{index}].between: {rtt.between[0]!r} twice"
        if not 0 <= rtt.ms <= MAX_RTT_MS:
            yield f"rtt[{index}].ms: {rtt.ms:g} is not between 0 and {MAX_RTT_MS:g}"
    for pair in _repeated(" and ".join(sorted(rtt.between)) for rtt in topology.rtt):
        yield f"rtt: {pair} are given twice"


def _host_problems(topology: Topology) -> Iterator[str]:
    clouds = {cloud.name: cloud for cloud in topology.clouds}
    if not topology.hosts:
        yield "hosts: at least one is needed"
    for name in _repeated(host.name for host in topology.hosts):
        yield f"hosts: the name {name!r} is used twice"
    for address in _repeated(host.public for host in topology.hosts):
        yield f"hosts: the public address {address} is used twice"
    for place in _repeated(f"{host.private} is used twice in {host.cloud}" for host in topology.hosts):
        yield f"hosts: the private address {place}"
    for index, host in enumerate(topology.hosts):
        where = f"hosts[{index}]"
        if not _HOST_NAME.fullmatch(host.name):
            yield f"{where}.name: {host.name!r} is not 1 to 40 of a-z, 0-9 and -"
        if not host.roles:
            yield f"{where}.roles: at least one of {', '.join(Role)}"
        for role in _repeated(host.roles):
            yield f"{where}.roles: {role} twice"
        if not MIN_MEMORY_MIB <= host.memory_mib <= MAX_MEMORY_MIB:
            yield f"{where}.memory_mib: {host.memory_mib} is not between {MIN_MEMORY_MIB} and {MAX_MEMORY_MIB}"
        yield from _disk_problems(host, where)
        cloud = clouds.get(host.cloud)
        if cloud is None:
            yield f"{where}.cloud: there is no cloud {host.cloud!r}"
            continue
        if host.private not in cloud.private:
            yield f"{where}.private: {host.private} is outside of {cloud.name}'s {cloud.private}"
        elif host.private in (cloud.private.network_address, cloud.gateway, cloud.private.broadcast_address):
            yield f"{where}.private: {host.private} is the network's, the gateway's or the broadcast address"
        if host.public not in cloud.public:
            yield f"{where}.public: {host.public} is outside of {cloud.name}'s {cloud.public}"


def _disk_problems(host: Host, where: str) -> Iterator[str]:
    for name in _repeated(disk.name for disk in host.disks):
        yield f"{where}.disks: the name {name!r} is used twice"
    for number, disk in enumerate(host.disks):
        if not _DISK_NAME.fullmatch(disk.name):
            yield f"{where}.disks[{number}].name: {disk.name!r} is not made of a-z, 0-9, _ and -"
        if host.is_vm and len(disk.name) > MAX_SERIAL:
            yield f"{where}.disks[{number}].name: {disk.name!r} is longer than {MAX_SERIAL}, a serial number's letters"
        if not SIZE.fullmatch(disk.size):
            yield f"{where}.disks[{number}].size: {disk.size!r} is not like 512MiB or 4GiB"
        elif not 0 < disk.size_bytes <= _MAX_DISK:
            yield f"{where}.disks[{number}].size: {disk.size} is not between 1MiB and 16TiB"
