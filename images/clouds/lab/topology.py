"""What a lab looks like: clouds, the latencies between them, hosts and their disks."""

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from images.firmware import Firmware
from larva.errors import MalformedData, NotFound

DISK_DIRECTORY = Path("/var/lib/larva/disks")
"""Where a light machine finds its disks: `osd0.img` for the disk `osd0`."""
VIRTIO_DISKS = Path("/dev/disk/by-id")
"""Where a virtual machine does: `virtio-osd0`, by the serial number that the disk has."""

TRANSIT = IPv4Network("198.18.0.0/24")
"""The gateways' own addresses in the lab's internet: the range for benchmarks between networks (RFC 2544, C.2.2)."""

SIZE = re.compile(r"(\d{1,6})\s?(MiB|GiB|TiB)")
_UNITS = {"MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


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
        found = SIZE.fullmatch(self.size)
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
