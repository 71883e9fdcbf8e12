"""The kernel's links, addresses and neighbours (rtnetlink(7), linux/if_link.h, if_addr.h, neighbour.h)."""

import errno
import socket
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address

from cladnet.datapath.netlink import (
    CREATE,
    EXCL,
    REPLACE,
    KernelRefused,
    Message,
    Netlink,
    attribute,
    attributes,
    nested,
    read_text,
    text,
)

IFF_UP, IFF_LOOPBACK = 0x1, 0x8
PERMANENT = 0x80
"""NUD_PERMANENT"""
SELF = 0x02
"""NTF_SELF: the device's own table, not a bridge's."""
BRIDGE = 7
"""AF_BRIDGE: the family of forwarding entries."""

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _DELADDR, _GETADDR = 20, 21, 22
_NEWNEIGH, _DELNEIGH, _GETNEIGH = 28, 29, 30
_LINK = struct.Struct("=BxHiII")
"""struct ifinfomsg: family, type, index, flags, which of them"""
_ADDRESS = struct.Struct("=BBBBI")
"""struct ifaddrmsg: family, prefix length, flags, scope, index"""
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
"""struct ndmsg: family, index, state, flags, type"""
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINKINFO = 1, 3, 4, 18
_INFO_KIND, _INFO_DATA = 1, 2
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_NDA_DST, _NDA_LLADDR, _NDA_PORT = 1, 2, 6
_PORT = struct.Struct("!H")

_SETTINGS: Mapping[str, tuple[int, struct.Struct]] = {
    "vxlan_id": (1, struct.Struct("=I")),
    "vxlan_learning": (7, struct.Struct("=B")),
    "vxlan_port": (15, _PORT),
}
"""A kind's own settings that are used here: attribute in IFLA_INFO_DATA, and its form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An interface."""

    index: int
    name: str
    kind: str
    """`tun`, `wireguard`, …; empty for a plain one."""
    flags: int
    mtu: int
    mac: str
    settings: Mapping[str, int] = field(default_factory=dict)
    """The kind's own, as far as they are used here."""

    @property
    def is_up(self) -> bool:
        """Whether somebody switched it on."""
        return bool(self.flags & IFF_UP)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An address of an interface, with the length of its network's prefix."""

    index: int
    interface: IPv4Interface | IPv6Interface


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Somebody on an interface's link; for a forwarding entry `address` is where its frames go."""

    index: int
    state: int
    mac: str
    address: IPv4Address | IPv6Address | None
    port: int
    """0 where it is the device's own."""


class Route(Netlink):
    """What the kernel knows of interfaces; KernelRefused, with its errno, where it refuses."""

    def __init__(self) -> None:
        super().__init__(socket.NETLINK_ROUTE)

    def links(self) -> tuple[Link, ...]:
        """Every interface."""
        return tuple(_read_link(each) for each in self.dump(_GETLINK, _LINK.pack(0, 0, 0, 0, 0)))

    def link(self, name: str) -> Link | None:
        """The interface of this name."""
        try:
            found = self.get(_GETLINK, _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFLA_IFNAME, text(name)))
        except KernelRefused as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return _read_link(found)

    def add_link(self, name: str, kind: str, settings: Mapping[str, int]) -> None:
        """Create an interface of a kind; EEXIST when there is one of this name."""
        data = (attribute(_SETTINGS[each][0], _SETTINGS[each][1].pack(value)) for each, value in settings.items())
        information = (attribute(_INFO_KIND, text(kind)), nested(_INFO_DATA, *data))
        body = attribute(_IFLA_IFNAME, text(name)) + nested(_IFLA_LINKINFO, *information)
        self.do(_NEWLINK, _LINK.pack(0, 0, 0, 0, 0) + body, flags=CREATE | EXCL)

    def set_mtu(self, index: int, mtu: int) -> None:
        """Have packets of this size at most, in bytes."""
        self.do(_NEWLINK, _LINK.pack(0, 0, index, 0, 0) + attribute(_IFLA_MTU, struct.pack("=I", mtu)))

    def set_mac(self, index: int, mac: str) -> None:
        """Have this MAC address."""
        self.do(_NEWLINK, _LINK.pack(0, 0, index, 0, 0) + attribute(_IFLA_ADDRESS, _mac_bytes(mac)))

    def set_up(self, index: int) -> None:
        """Switch it on."""
        self.do(_NEWLINK, _LINK.pack(0, 0, index, IFF_UP, IFF_UP))

    def delete_link(self, index: int) -> None:
        """Remove an interface."""
        self.do(_DELLINK, _LINK.pack(0, 0, index, 0, 0))

    def addresses(self, family: int, index: int | None = None) -> tuple[Address, ...]:
        """The addresses of a family: of every interface, or of one."""
        found = (_read_address(each) for each in self.dump(_GETADDR, _ADDRESS.pack(family, 0, 0, 0, 0)))
        return tuple(each for each in found if each is not None and index in (None, each.index))

    def add_address(self, index: int, address: IPv4Interface | IPv6Interface, *, flags: int = 0) -> None:
        """Give an interface an address; EEXIST when it has it.

        Args:
            flags: IFA_F_… of linux/if_addr.h.
        """
        told = attribute(_IFA_FLAGS, struct.pack("=I", flags)) if flags else b""
        self.do(_NEWADDR, _address_message(index, address) + told, flags=CREATE | EXCL)

    def delete_address(self, index: int, address: IPv4Interface | IPv6Interface) -> None:
        """Take an address away."""
        self.do(_DELADDR, _address_message(index, address))

    def neighbours(self, family: int, index: int) -> tuple[Neighbour, ...]:
        """The neighbours of an interface, or with BRIDGE its forwarding entries."""
        found = (_read_neighbour(each) for each in self.dump(_GETNEIGH, _NEIGHBOUR.pack(family, 0, 0, 0, 0)))
        return tuple(each for each in found if each.index == index)

    def set_neighbour(self, index: int, address: IPv4Address | IPv6Address, mac: str) -> None:
        """Have a neighbour for good, in place of one with the same address."""
        self._neighbour(_NEWNEIGH, index, _family(address), mac, address=address, flags=CREATE | REPLACE)

    def delete_neighbour(self, index: int, address: IPv4Address | IPv6Address, mac: str) -> None:
        """Have that neighbour no more."""
        self._neighbour(_DELNEIGH, index, _family(address), mac, address=address)

    def set_forwarding(self, index: int, mac: str, to: tuple[IPv4Address, int]) -> None:
        """Send the frames for a MAC address there for good, and nowhere else."""
        address, port = to
        self._neighbour(_NEWNEIGH, index, BRIDGE, mac, address=address, port=port, flags=CREATE | REPLACE)

    def delete_forwarding(self, index: int, mac: str) -> None:
        """Send the frames for a MAC address nowhere."""
        self._neighbour(_DELNEIGH, index, BRIDGE, mac)

    def _neighbour(
        self, kind: int, index: int, family: int, mac: str, *, address: IPv4Address | IPv6Address | None = None,
        port: int | None = None, flags: int = 0,
    ) -> None:  # fmt: skip
        told = [attribute(_NDA_LLADDR, _mac_bytes(mac))]
        if address is not None:
            told.append(attribute(_NDA_DST, address.packed))
        if port is not None:
            told.append(attribute(_NDA_PORT, _PORT.pack(port)))
        head = _NEIGHBOUR.pack(family, index, PERMANENT, SELF if family == BRIDGE else 0, 0)
        self.do(kind, head + b"".join(told), flags=flags)


def _read_link(message: Message) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(message.body)
    found = attributes(message.body[_LINK.size :])
    information = attributes(found.get(_IFLA_LINKINFO, b""))
    return Link(
        index=index,
        name=read_text(found.get(_IFLA_IFNAME, b"")),
        kind=read_text(information.get(_INFO_KIND, b"")),
        flags=flags,
        mtu=int(struct.unpack("=I", found[_IFLA_MTU])[0]),
        mac=_mac_text(found.get(_IFLA_ADDRESS, b"")),
        settings=dict(_read_settings(attributes(information.get(_INFO_DATA, b"")))),
    )


def _read_settings(data: Mapping[int, bytes]) -> Iterable[tuple[str, int]]:
    for name, (kind, form) in _SETTINGS.items():
        value = data.get(kind)
        if value is not None and len(value) == form.size:
            yield name, int(form.unpack(value)[0])


def _read_address(message: Message) -> Address | None:
    _, length, _, _, index = _ADDRESS.unpack_from(message.body)
    found = attributes(message.body[_ADDRESS.size :])
    packed = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)  # of a point-to-point link the latter is the peer's
    if packed is None:
        return None
    form = IPv4Interface if len(packed) == 4 else IPv6Interface
    return Address(index=index, interface=form((packed, length)))


def _address_message(index: int, address: IPv4Interface | IPv6Interface) -> bytes:
    head = _ADDRESS.pack(_family(address.ip), address.network.prefixlen, 0, 0, index)
    return head + attribute(_IFA_LOCAL, address.ip.packed) + attribute(_IFA_ADDRESS, address.ip.packed)


def _read_neighbour(message: Message) -> Neighbour:
    _, index, state, _, _ = _NEIGHBOUR.unpack_from(message.body)
    found = attributes(message.body[_NEIGHBOUR.size :])
    packed, port = found.get(_NDA_DST), found.get(_NDA_PORT)
    return Neighbour(
        index=index,
        state=state,
        mac=_mac_text(found.get(_NDA_LLADDR, b"")),
        address=ip_address(packed) if packed is not None else None,
        port=int(_PORT.unpack(port)[0]) if port is not None else 0,
    )


def _family(address: IPv4Address | IPv6Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def _mac_text(packed: bytes) -> str:
    return packed.hex(":") if packed else ""
