"""What a lab looks like: clouds, the latencies between them, hosts and their disks; read from TOML and checked."""

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from importlib.resources import files as package_files
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from pathlib import Path

from images.firmware import Firmware
from larva import codec
from larva.errors import MalformedData, NotFound

DISK_DIRECTORY = Path("/var/lib/larva/disks")
"""Where a light machine finds its disks: `osd0.img` for the disk `osd0`."""
VIRTIO_DISKS = Path("/dev/disk/by-id")
"""Where a virtual machine does: `virtio-osd0`, by the serial number that the disk has."""

TRANSIT = IPv4Network("198.18.0.0/24")
"""The gateways' own addresses in the lab's internet: the range for benchmarks between networks (RFC 2544, C.2.2)."""

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
_SIZE = re.compile(r"(\d{1,6})\s?(MiB|GiB|TiB)")
_UNITS = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_MAX_DISK = 16 * _UNITS["TiB"]


class Kind(StrEnum):
    """What a host is made of."""

    LIGHT = "light"
    """Namespaces of this machine, on its kernel."""
    VM = "vm"
    """A virtual machine: the image's disk and its own kernel, in QEMU."""


class Role(StrEnum):
    """What a host does in the appliance."""

    CONTROL = "control"
    STORAGE = "storage"
    MEMBER = "member"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """One cloud: a private network behind a gateway that translates addresses one to one."""

    name: str
    provider: str
    region: str
    zone: str
    private: IPv4Network
    public: IPv4Network
    mtu: int = 1500
    uplink_mbit_s: float = 0.0
    """What it sends at most to all others together, while latencies are on; 0 for no bound."""

    @property
    def gateway(self) -> IPv4Address:
        """The gateway's address in the private network: the first one."""
        return self.private.network_address + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rtt:
    """The round-trip time between two clouds, in milliseconds."""

    between: tuple[str, str]
    ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """An empty disk of a host: a sparse file."""

    name: str
    size: str

    @property
    def size_bytes(self) -> int:
        """The size in bytes; `size` is written as `512MiB` or `4GiB`."""
        found = _SIZE.fullmatch(self.size)
        if found is None:
            raise MalformedData(f"disk {self.name}: size {self.size!r}", hint="write it as 512MiB or 4GiB")
        return int(found[1]) * _UNITS[found[2]]

    @property
    def path(self) -> Path:
        """Where a light machine finds it."""
        return DISK_DIRECTORY / f"{self.name}.img"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One machine of a cloud."""

    name: str
    cloud: str
    roles: tuple[Role, ...]
    private: IPv4Address
    public: IPv4Address
    disks: tuple[Disk, ...] = ()
    kind: Kind = Kind.LIGHT
    memory_mib: int = 1024
    """Of a virtual machine; a light one takes what it needs."""
    firmware: Firmware = Firmware.BIOS
    """What starts a virtual machine."""

    @property
    def is_vm(self) -> bool:
        """Whether it is a virtual machine."""
        return self.kind is Kind.VM

    @property
    def devices(self) -> tuple[Path, ...]:
        """Where it finds its disks, in their order."""
        if self.is_vm:
            return tuple(VIRTIO_DISKS / f"virtio-{disk.name}" for disk in self.disks)
        return tuple(disk.path for disk in self.disks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Clouds, what lies between them, and their hosts."""

    clouds: tuple[Cloud, ...]
    hosts: tuple[Host, ...]
    rtt: tuple[Rtt, ...] = ()

    def cloud(self, name: str) -> Cloud:
        """Return the cloud of that name; NotFound lists those there are."""
        for cloud in self.clouds:
            if cloud.name == name:
                return cloud
        raise NotFound(f"there is no cloud {name!r}", hint=f"clouds: {', '.join(c.name for c in self.clouds)}")

    def host(self, name: str) -> Host:
        """Return the host of that name; NotFound lists those there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise NotFound(f"there is no host {name!r}", hint=f"hosts: {', '.join(h.name for h in self.hosts)}")

    @property
    def virtual(self) -> tuple[Host, ...]:
        """The hosts that are virtual machines."""
        return tuple(host for host in self.hosts if host.is_vm)

    def hosts_of(self, cloud: str) -> tuple[Host, ...]:
        """Return the hosts of one cloud."""
        return tuple(host for host in self.hosts if host.cloud == cloud)

    def rtt_ms(self, one: str, other: str) -> float:
        """Return the configured round-trip time between two clouds in ms; 0 where none is given."""
        return next((rtt.ms for rtt in self.rtt if set(rtt.between) == {one, other}), 0.0)


def default() -> Topology:
    """The seed's demonstration: Sydney, Changhua and London at three providers."""
    return _shipped("three-clouds.toml")


def virtual() -> Topology:
    """The same clouds with one virtual machine of the image's disk in each, and a light control node beside them."""
    return _shipped("three-vms.toml")


def load(path: Path) -> Topology:
    """Read and check a topology file.

    Raises:
        MalformedData: it cannot be read, is no TOML, or describes no possible lab; every problem is named.
    """
    try:
        return parse(path.read_text(encoding="utf-8"), source=str(path))
    except OSError as error:
        raise MalformedData(f"{path}: {error.strerror}", hint="give the path of a topology file") from error
    except UnicodeDecodeError as error:
        raise MalformedData(f"{path}: not UTF-8 text") from error


def parse(text: str, *, source: str) -> Topology:
    """Like load, from text; `source` names it in errors."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MalformedData(f"{source}: {error}") from error
    strange = list(_unknown_keys(data))
    if strange:
        raise MalformedData(f"{source}: unknown {', '.join(strange)}", hint="see docs/lab.md for what a topology holds")
    return check(codec.convert(data, Topology, source=source), source=source)


def check(topology: Topology, *, source: str) -> Topology:
    """Return the topology if a lab can look like it; MalformedData names every problem otherwise."""
    found = problems(topology)
    if found:
        raise MalformedData(f"{source}: " + "; ".join(found), hint="correct the topology file")
    return topology


def problems(topology: Topology) -> tuple[str, ...]:
    """Say why no lab can look like this; empty when one can."""
    return (*_cloud_problems(topology), *_rtt_problems(topology), *_host_problems(topology))


def _shipped(name: str) -> Topology:
    return parse(package_files(__package__).joinpath(name).read_text(), source=name)


def _unknown_keys(data: dict[str, object]) -> Iterator[str]:
    known = {"clouds": Cloud, "rtt": Rtt, "hosts": Host, "disks": Disk}

    def visit(table: dict[str, object], kind: type, where: str) -> Iterator[str]:
        names = {field.name for field in fields(kind)}
        for key, value in table.items():
            if key not in names:
                yield f"{where}{key}"
            elif key in known and isinstance(value, list):
                for index, item in enumerate(value):
                    if isinstance(item, dict):
                        yield from visit(item, known[key], f"{where}{key}[{index}].")

    yield from visit(data, Topology, "")


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
        if not _SIZE.fullmatch(disk.size):
            yield f"{where}.disks[{number}].size: {disk.size!r} is not like 512MiB or 4GiB"
        elif not 0 < disk.size_bytes <= _MAX_DISK:
            yield f"{where}.disks[{number}].size: {disk.size} is not between 1MiB and 16TiB"
