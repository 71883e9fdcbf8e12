"""What monitors answer, as far as it is used here."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address

from larva.errors import MalformedData


@dataclass(frozen=True, slots=True, kw_only=True)
class QuorumStatus:
    """`quorum_status`."""

    quorum_names: tuple[str, ...]
    quorum_leader_name: str
    monmap: "MonitorMap"


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorMap:
    """The monitors that exist, in quorum or not."""

    mons: tuple["MonitorEntry", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorDump:
    """`mon dump`."""

    mons: tuple["MonitorEntry", ...]
    election_strategy: int = 0
    """1 classic, 2 disallow, 3 connectivity (MonMap::election_strategy)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSetting:
    """One line of `config dump`: a setting in the monitors' database."""

    section: str
    name: str
    value: str
    mask: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorEntry:
    """One monitor of the map."""

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WireAddress:
    """One address of a daemon, `10.0.0.4:6800`."""

    type: str
    addr: str

    def ip(self) -> IPv4Address:
        """Without the port; MalformedData if it is no such address."""
        try:
            return IPv4Address(self.addr.rsplit(":", 1)[0])
        except AddressValueError as error:
            raise MalformedData(f"{self.addr[:60]!r} is no address of a daemon") from error

    def port(self) -> int:
        """The port; MalformedData if there is none."""
        digits = self.addr.rsplit(":", 1)[-1]
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 6):
            raise MalformedData(f"{self.addr[:60]!r} has no port")
        return int(digits)


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressVector:
    """Every address at which one end listens."""

    addrvec: tuple[WireAddress, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdEntry:
    """One OSD of the OSD map."""

    osd: int
    uuid: str
    up: int
    weight: float = 0.0
    """Zero when it is out."""
    public_addrs: AddressVector = field(default_factory=AddressVector)
    cluster_addrs: AddressVector = field(default_factory=AddressVector)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolEntry:
    """One pool of the OSD map."""

    pool: int
    pool_name: str
    size: int
    min_size: int
    crush_rule: int
    pg_num: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PgOsds:
    """OSDs that a placement group stands on for now, other than CRUSH says."""

    pgid: str
    osds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdMap:
    """`osd dump`."""

    osds: tuple[OsdEntry, ...]
    pools: tuple[PoolEntry, ...]
    epoch: int = 0
    crush_version: int = 0
    pg_temp: tuple[PgOsds, ...] = ()
    pg_upmap: tuple[PgOsds, ...] = ()
    nearfull_ratio: float = 0.0
    backfillfull_ratio: float = 0.0
    full_ratio: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdStat:
    """`osd stat`."""

    num_osds: int
    num_up_osds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeNode:
    """One bucket or OSD of `osd tree`."""

    id: int
    name: str
    type: str
    children: tuple[int, ...] = ()
    crush_weight: float = 0.0
    """Of an OSD: how much of the data it should hold, in TiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrushTree:
    """`osd tree`."""

    nodes: tuple[TreeNode, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleStep:
    """One step of a CRUSH rule."""

    op: str
    item_name: str = ""
    num: int = 0
    type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrushRule:
    """One rule of `osd crush rule dump`."""

    rule_id: int
    rule_name: str
    steps: tuple[RuleStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MdsEntry:
    """One metadata server of the file system map."""

    name: str
    state: str
    gid: int = 0
    """Of this start of it: another one has another."""
    rank: int = -1
    """-1 for one that stands by."""
    addrs: AddressVector = field(default_factory=AddressVector)


@dataclass(frozen=True, slots=True, kw_only=True)
class MdsMap:
    """The map of one file system."""

    fs_name: str
    session_timeout: int = 0
    """Seconds."""
    session_autoclose: int = 0
    """Seconds."""
    data_pools: tuple[int, ...] = ()
    info: Mapping[str, MdsEntry]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """One file system of `fs dump`."""

    mdsmap: MdsMap


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystems:
    """`fs dump`."""

    standbys: tuple[MdsEntry, ...]
    filesystems: tuple[FileSystem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The words of a health check."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One health check."""

    severity: str
    summary: Summary
    muted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """`health`."""

    status: str
    checks: Mapping[str, Check]


@dataclass(frozen=True, slots=True, kw_only=True)
class PgState:
    """How many placement groups are in one state."""

    state_name: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PgMap:
    """Placement groups and capacity, as the manager last told."""

    pgs_by_state: tuple[PgState, ...] = ()
    num_pgs: int = 0
    bytes_used: int = 0
    bytes_total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """`status`, as far as it is used."""

    pgmap: PgMap


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagerStatus:
    """`mgr stat`."""

    active_name: str
    available: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthEntry:
    """One identity of `auth get`."""

    entity: str
    key: str = field(repr=False)
    pending_key: str = field(default="", repr=False)
    """The one that follows: as good as the other until it is first used, then the only one."""
    caps: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthDump:
    """`auth ls`; it leaves pending keys out."""

    auth_dump: tuple[AuthEntry, ...]
