"""Commands to the monitors through librados: typed answers, bounded in time.

`rados` is imported when a connection is made: only the appliance has it.
"""

import errno
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from larva import codec
from larva.errors import (
    Conflict,
    HostUnfit,
    InvalidInput,
    LarvaError,
    MalformedData,
    NotFound,
    ProgramFailed,
    Refused,
    Unavailable,
)

T = TypeVar("T")

CONNECT_S = 10
COMMAND_S = 20
TELL_S = 4
"""For an OSD's own answer: one that is gone must not hold up what is asked of the others."""


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


class Monitors:
    """A connection to the monitors; use it in a `with`.

    Args:
        configuration: a ceph.conf.
        entity: whom to speak as, `client.admin`.
        keyring: the file with its key.

    Raises:
        Unavailable: no quorum answers.
        Refused: they do not know the key.
        HostUnfit: this machine has no librados.
    """

    def __init__(self, configuration: Path, *, entity: str, keyring: Path) -> None:
        try:
            import rados
        except ImportError as error:
            raise HostUnfit(
                "Ceph's Python module rados is not here", hint="run this on a storage host of the appliance"
            ) from error
        self._rados: Any = rados
        try:
            self._cluster: Any = rados.Rados(
                conffile=str(configuration),
                name=entity,
                conf={
                    "keyring": str(keyring),
                    "client_mount_timeout": str(CONNECT_S),
                    "rados_mon_op_timeout": str(COMMAND_S),
                    "log_to_stderr": "false",
                    "log_file": "",
                },
            )
        except rados.Error as error:
            raise Unavailable(
                f"{configuration} cannot be used: {error}", hint="it is written once the host joined"
            ) from error
        try:
            self._cluster.connect(timeout=CONNECT_S)
        except rados.Error as error:
            self._cluster.shutdown()
            raise _connect_error(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._cluster.shutdown()

    def ask(self, prefix: str, wanted: type[T], *, stdin: bytes = b"", **arguments: object) -> T:
        """Run a command and return its JSON answer as a `wanted`; MalformedData if it is none."""
        answer = self.run(prefix, stdin=stdin, format="json", **arguments)
        return codec.decode(answer, wanted, source=f"ceph {prefix}")

    def run(self, prefix: str, *, stdin: bytes = b"", **arguments: object) -> bytes:
        """Run a command and return its answer as it comes.

        Args:
            prefix: the command's words, as `osd pool create`.
            stdin: what the command line would read from its input (`-i`).
            arguments: its parameters by Ceph's own names (`ceph --show-commands`, MonCommands.h).

        Raises:
            NotFound, Conflict, Refused, InvalidInput: ENOENT, EEXIST, EACCES and EPERM, EINVAL.
            Unavailable: no answer in time.
            ProgramFailed: anything else; the message has Ceph's own words.
        """
        command = json.dumps({"prefix": prefix, **arguments})
        try:
            code, answer, words = self._cluster.mon_command(command, stdin, timeout=COMMAND_S)
        except self._rados.Error as error:
            raise Unavailable(f"ceph {prefix}: {error}", hint="is a majority of the monitors reachable?") from error
        if code != 0:
            raise _command_error(prefix, -code, words)
        return bytes(answer)

    def ask_osd(self, osd: int, prefix: str, wanted: type[T], **arguments: object) -> T:
        """Run a command of an OSD's own, as `perf dump`; errors as run(), Unavailable above all when it is down."""
        return self._tell(f"osd.{osd}", prefix, self._cluster.osd_command, osd, wanted, arguments)

    def ask_group(self, group: str, prefix: str, wanted: type[T], **arguments: object) -> T:
        """Run a command of a placement group's own, as `query` of `2.1f`; its primary answers."""
        return self._tell(f"pg {group}", prefix, self._cluster.pg_command, group, wanted, arguments)

    def _tell(
        self, whom: str, prefix: str, command: Any, target: object, wanted: type[T], arguments: Mapping[str, object]
    ) -> T:
        words = json.dumps({"prefix": prefix, "format": "json", **arguments})
        try:
            code, answer, told = command(target, words, b"", timeout=TELL_S)
        except self._rados.Error as error:
            raise Unavailable(f"{whom} does not answer: {error}", hint="is it up?") from error
        if code != 0:
            raise _command_error(f"tell {whom} {prefix}", -code, told)
        return codec.decode(bytes(answer), wanted, source=f"ceph tell {whom} {prefix}")


def _connect_error(error: Exception) -> LarvaError:
    number = getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM):
        return Refused("the monitors refuse this host's key", hint="it may belong to an earlier cluster")
    return Unavailable(
        f"no monitor quorum answers within {CONNECT_S} s ({error})",
        hint="`larva storage status` names the monitors; a majority must run and be reachable over the CLADNet",
    )


_ERRORS: Mapping[int, type[LarvaError]] = {
    errno.ENOENT: NotFound,
    errno.EEXIST: Conflict,
    errno.EACCES: Refused,
    errno.EPERM: Refused,
    errno.EINVAL: InvalidInput,
    errno.ETIMEDOUT: Unavailable,
    errno.EINTR: Unavailable,
    errno.ENXIO: Unavailable,
}


def _command_error(prefix: str, number: int, words: str) -> LarvaError:
    name = errno.errorcode.get(number, str(number))
    return _ERRORS.get(number, ProgramFailed)(f"ceph {prefix}: {words or 'no words'} ({name})")
