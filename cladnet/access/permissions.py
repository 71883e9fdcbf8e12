"""Who may do what in etcd: the table of a host's rights, and how other rooms add theirs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from importlib.metadata import entry_points

from etcd3.utils import prefix_range_end

from cladnet import keys
from cladnet.etcd.store import Store
from cladnet.model import EnrolledHost, Role

ENTRY_POINTS = "larva.permissions"
"""Each entry point is a Source; so a lower room learns of a higher one's keys without importing it."""


class Access(IntEnum):
    """What is allowed; the numbers are etcd's (authpb.Permission.Type)."""

    READ = 0
    WRITE = 1
    READ_WRITE = 2


@dataclass(frozen=True, slots=True, order=True)
class Permission:
    """An access to one key, or to every key from `key` up to `range_end`, as etcd keeps it."""

    key: bytes
    range_end: bytes
    access: Access

    @classmethod
    def on(cls, path: str, access: Access) -> "Permission":
        """The access to a prefix, which ends with a slash, or to one key."""
        key = path.encode()
        return cls(key, prefix_range_end(key) if path.endswith("/") else b"", access)


EVERYTHING = Permission(b"\0", b"\0", Access.READ_WRITE)
"""Every key there is or will be: what a control node may."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: for each CLADNet of a host, or once where the path names none.

    Args:
        path: a key or, ending with a slash, a prefix; `{group}` and `{host}` stand for the CLADNet and the host.
    """

    path: str
    access: Access
    why: str

    def permission(self, *, group: str, host: str) -> Permission:
        """The right it gives one host in one CLADNet."""
        return Permission.on(self.path.format(group=group, host=host), self.access)


Rights = Callable[[EnrolledHost], Iterable[Permission]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A room's part of what hosts may do.

    Args:
        watched: prefixes on which it depends besides the enrolment records.
        read: looks at them and returns the rights of each host.
    """

    watched: tuple[str, ...] = ()
    read: Callable[[Store], Rights]


HOST_TABLE = (
    Row(keys.CONFIGURATION + "{group}", Access.READ, "range, data path and state of its CLADNet"),
    Row(keys.HOST_INFORMATION + "{group}/", Access.READ, "seal keys, roles and places of its peers"),
    Row(keys.HOST_INFORMATION + "{group}/{host}", Access.READ_WRITE, "what it says of itself"),
    Row(keys.RULE + "{group}/", Access.READ, "how to reach its peers"),
    Row(keys.COMMAND + "{group}/{host}", Access.READ, "up or down"),
    Row(keys.TEST_SPECIFICATION + "{group}", Access.READ, "a status test is wanted"),
    Row(keys.STATUS + "{group}/{host}", Access.READ_WRITE, "its row of the latency matrix"),
    Row(keys.QUALITY + "{group}/", Access.READ, "what its peers measure all the time"),
    Row(keys.QUALITY + "{group}/{host}", Access.READ_WRITE, "what it measures itself"),
    Row(keys.PRESENCE + "{group}/{host}", Access.READ_WRITE, "its sign of life"),
    Row(keys.ENROLLED_HOST + "{host}", Access.READ, "which CLADNets it is in"),
    Row(keys.REVOCATIONS, Access.READ, "whose rules are good no more"),
    Row(keys.CONTROL_PLANE, Access.READ, "where consoles and etcd are now"),
)
"""What every host may do in the network's part of etcd. Addresses, rules and enrolment are written by control nodes."""


def expand(table: Iterable[Row], host: EnrolledHost, groups: Iterable[str] | None = None) -> frozenset[Permission]:
    """Return the rights that a table gives a host in its CLADNets, or in some of them."""
    names = [name for name in (host.groups if groups is None else groups) if keys.is_segment(name)]
    return frozenset(
        row.permission(group=group, host=host.host)
        for row in table
        for group in (names if "{group}" in row.path else [""])
    )


NETWORK = Source(read=lambda _: lambda host: expand(HOST_TABLE, host))


def sources() -> tuple[Source, ...]:
    """Return the network's source and those of the rooms above it."""
    return (NETWORK, *(point.load() for point in entry_points(group=ENTRY_POINTS)))


def of_host(host: EnrolledHost, rights: Iterable[Rights]) -> frozenset[Permission]:
    """Return everything a host may do: all there is for a control node, else what the sources say, put together."""
    if Role.CONTROL in host.roles:
        return frozenset({EVERYTHING})
    together: dict[tuple[bytes, bytes], Access] = {}
    for each in rights:
        for permission in each(host):
            place = (permission.key, permission.range_end)
            together[place] = _both(together.get(place, permission.access), permission.access)
    return frozenset(Permission(*place, access) for place, access in together.items())


def _both(one: Access, other: Access) -> Access:
    return one if one == other else Access.READ_WRITE
