"""The values of storage that travel through etcd: cluster, daemons, volumes, mounts."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated

from msgspec import Meta

from cbstorage.promise import Promise
from cladnet.trust.kinds import signed_by_ca

# Monitors' hosts write some of these, and etcd's disk is not theirs alone: these bounds keep what becomes a path, a
# unit's name, a capability or a line of ceph.conf from being anything else. They hold where a value is read.
Name = Annotated[str, Meta(pattern=r"\A[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")]
"""A host, a CLADNet's id or a volume, as in the keys (`cladnet.keys.segment`)."""
Fsid = Annotated[str, Meta(pattern=r"\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")]
VolumeId = Annotated[str, Meta(pattern=r"\A[0-9a-f]{8}\Z")]
Size = Annotated[int, Meta(ge=1, le=1 << 60)]
"""Bytes. CephFS keeps a quota in 63 bits."""

Fingerprint = Annotated[str, Meta(pattern=r"\A([0-9a-f]{32})?\Z")]
"""Of a cephx key; empty where there is none."""

KeepS = Annotated[int, Meta(ge=0, le=10 * 366 * 86400)]
"""Seconds that something is kept."""

TRASH = "/trash"
"""The file system's directory of deleted volumes."""
FILE_SYSTEM = "cladfs"
"""The one CephFS of a cluster; tenants and volumes are directories of it."""


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSpecification:
    """A storage cluster as its creator wants it: `cb-storage/cluster/{group}`. One CLADNet has at most one."""

    group: Name
    fsid: Fsid
    """UUID of the Ceph cluster."""
    cidr: IPv4Network
    """The CLADNet's: the only network a daemon may have an address in."""
    mon_hosts: tuple[Name, ...]
    mgr_hosts: tuple[Name, ...]
    mds_hosts: tuple[Name, ...]
    leaving_mon_hosts: tuple[Name, ...] = ()
    """Where monitors were before they were placed anew: looked for until the others are there."""
    osd_file_bytes: Size = 8 << 30
    """Size of a sparse file that a host names as an OSD device and that does not exist yet."""
    encrypt_osds: bool = False
    """Whether every OSD that is made is encrypted on its device, whatever its host says of that."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """A monitor's name, which is its host's, and its address in the CLADNet."""

    host: Name
    address: IPv4Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """The first monitor map: `cb-storage/founding/{group}`. Who creates it founds the cluster."""

    founder: Name
    fsid: Fsid
    monitors: tuple[Monitor, ...]
    founded_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKey:
    """One cephx key, readable only by the host it is sealed to."""

    entity: str
    """As `mon.`, `client.admin`."""
    box: str
    """The sealed key, base64."""
    fingerprint: Fingerprint = ""
    """Of the key, for whoever cannot open the box (`cephx.fingerprint`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedKeys:
    """The keys of one host, or of one mount on it, and the seal key they were sealed to."""

    seal_key: str
    keys: Annotated[tuple[SealedKey, ...], Meta(min_length=1)]
    next: tuple[SealedKey, ...] = ()
    """Those that follow: good beside the present ones until they are first used."""
    next_seal_key: str = ""
    """What those are sealed to, where that is another: machines outside forget theirs once they have seen a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldKey:
    """A key that a host has on its disk."""

    entity: str
    fingerprint: Fingerprint
    used: bool = False
    """Whether what runs by this identity was started with it."""


class DaemonKind(StrEnum):
    """What a Ceph daemon is; the value is the word in its systemd unit's name."""

    MON = "mon"
    MGR = "mgr"
    MDS = "mds"
    OSD = "osd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """One daemon on a host."""

    kind: DaemonKind
    id: str
    running: bool
    device: str = ""
    """For an OSD: the file or block device behind it."""
    uuid: str = ""
    """For an OSD: its UUID."""
    encrypted: bool = False
    """For an OSD: whether its device is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceProblem:
    """Why a host has no OSD on a device, and will not have one before somebody does something."""

    device: str
    asked: str
    """The addition that this answers; empty for a device of the join file."""
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HostDaemons:
    """What runs on one storage host: `cb-storage/daemons/{group}/{host}`."""

    host: Name
    address: IPv4Address | None
    """Its address in the CLADNet, once known."""
    daemons: tuple[Daemon, ...] = ()
    devices: tuple[DeviceProblem, ...] = ()
    keys: tuple[HeldKey, ...] = ()
    """What of its daemons' and its own keys lies on its disk."""
    problem: str = ""
    """Why the host is not where the specification wants it, with the remedy; empty when it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdState:
    """One OSD as the monitors register it."""

    id: int
    host: str
    """From its place in the CRUSH map; empty before it has one."""
    up: bool
    is_in: bool
    addresses: tuple[IPv4Address, ...]
    """Every address it advertises, to clients and to other OSDs."""
    on_cladnet: bool
    """Whether each of them lies in the CLADNet's CIDR."""
    uuid: str = ""
    """Of this OSD; its id may be another's after it."""


class Health(StrEnum):
    """How the cluster is, in Ceph's three steps."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """One complaint of Ceph's, or of our own check."""

    code: str
    health: Health
    summary: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What the OSDs do, all together, a second."""

    reads_s: int
    """Operations of clients."""
    writes_s: int
    read_bytes_s: int
    written_bytes_s: int
    """By clients; each copy is written by another OSD, and not counted again."""
    recovered_bytes_s: int
    """Copies that are put in place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """What the leading monitor's host last saw: `cb-storage/cluster-state/{group}`."""

    health: Health
    checks: tuple[HealthCheck, ...]
    quorum: tuple[str, ...]
    monitors: tuple[str, ...]
    manager: str
    """The active manager's name; empty without one (volumes need none)."""
    active_mds: tuple[str, ...]
    standby_mds: tuple[str, ...]
    osds: tuple[OsdState, ...]
    total_bytes: int
    used_bytes: int
    clean: bool | None
    """Whether every placement group is active and clean; None when no manager tells."""
    observed_at: datetime
    round_trip_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    """The round trip up to which Ceph's timeouts are made (`cbstorage.ceph.timing`); 0 before they were."""
    rates: Rates | None = None
    """None while they were looked at once only."""
    room_bytes: Annotated[int, Meta(ge=0)] = 0
    """What volumes can hold together until nobody can write, each counted once; 0 before somebody told."""


def data_pool(promise: Promise | None) -> str:
    """The pool that keeps a promise; the first one without any."""
    return f"{FILE_SYSTEM}.data.{promise.label}" if promise else f"{FILE_SYSTEM}.data"


class VolumePhase(StrEnum):
    """Whether a volume is wanted."""

    ACTIVE = "active"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpecification:
    """A volume as its creator wants it: `cb-storage/volume/{group}/{name}`."""

    group: Name
    name: Name
    id: VolumeId
    """Eight hexadecimal digits; keeps a volume apart from an earlier one of the same name."""
    size_bytes: Size
    """Quota."""
    phase: VolumePhase = VolumePhase.ACTIVE
    promise: Promise | None = None
    """What the data outlives, for good; None: as much as its OSDs allow."""
    created_at: datetime
    origin: Name | None = None
    """The name it was made under, where that is another: its directory and what lies in its namespace keep it."""
    keep_s: KeepS = 0
    """How long it stays in the trash once it is deleted, in seconds."""

    @property
    def path(self) -> str:
        """Its directory in the file system."""
        return f"/volumes/{self.group}/{self.origin or self.name}.{self.id}"

    @property
    def trash_path(self) -> str:
        """Where its directory lies while it is in the trash."""
        return f"{TRASH}/{self.origin or self.name}.{self.id}"

    @property
    def namespace(self) -> str:
        """Its RADOS namespace, unique over the whole file system: it holds the group, so no two tenants share one."""
        return f"volume.{self.group}.{self.origin or self.name}.{self.id}"

    @property
    def data_pool(self) -> str:
        """The pool its data lies in: one for each promise, shared by the volumes that have it."""
        return data_pool(self.promise)

    def entity(self, host: str, *, read_only: bool = False) -> str:
        """The cephx identity by which one host mounts this volume and nothing else; another one for reading only."""
        return f"client.{self.name}.{self.id}.{host}{'.ro' if read_only else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeState:
    """What has been made of a volume: `cb-storage/volume-state/{group}/{name}`."""

    id: str
    ready: bool
    size_bytes: int = 0
    """The quota in force."""
    used_bytes: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountSpecification:
    """This host should have this volume mounted: `cb-storage/mount/{group}/{host}/{volume}`; unmounting deletes it."""

    volume: Name
    volume_id: VolumeId
    host: Name
    path: str
    """Absolute path on the host."""
    read_only: bool = False


class MountPhase(StrEnum):
    """How a mount stands on its host."""

    PENDING = "pending"
    MOUNTED = "mounted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class MountState:
    """How a mount stands: `cb-storage/mount-state/{group}/{host}/{volume}`, written by that host only."""

    volume: Name
    volume_id: VolumeId
    host: Name
    path: str
    phase: MountPhase
    client: str = ""
    """The driver that mounted it: ceph-fuse or kernel."""
    key: Fingerprint = ""
    """Of the key on the host's disk, by which it is mounted the next time."""
    used: Fingerprint = ""
    """Of the key by which it is mounted."""
    in_use: bool = False
    """It should be mounted anew for that key, and somebody uses it."""
    problem: str = ""
