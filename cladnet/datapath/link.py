"""The kernel's side of a tunnel interface: its link, addresses and MTU, by rtnetlink."""

import contextlib
import errno
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from cladnet.datapath.protocol import OverlayInterface
from larva.errors import HostUnfit

IFA_F_NODAD = 0x02
"""No duplicate address detection (linux/if_addr.h): it would delay an address that one claim in etcd makes unique."""
IFF_UP, IFF_LOOPBACK = 0x1, 0x8
LARGEST_UNDERLAY_MTU = 1500
_TUNNELS = ("tun", "wireguard", "vxlan", "dummy")
_SYSCTL = Path("/proc/sys/net/ipv6/conf")
NEW_INTERFACES = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """An interface as the kernel has it."""

    kind: str
    """`tun`, `wireguard`, …; empty for a plain one."""
    is_up: bool
    mtu: int
    addresses: tuple[OverlayInterface, ...]
    """Without the link-local one that the kernel gives."""


def kind_of(interface: str) -> str | None:
    """The link kind (`tun`, `wireguard`, …) of an interface, empty for a plain one; None when there is none."""
    found = look(interface)
    return None if found is None else found.kind


def look(interface: str) -> LinkState | None:
    """An interface as it is; None when there is none."""
    with netlink(f"look at {interface}") as route:
        link = _find(route, interface)
        if link is None:
            return None
        information = link.get_attr("IFLA_LINKINFO")
        return LinkState(
            kind=str(information.get_attr("IFLA_INFO_KIND") or "") if information is not None else "",
            is_up=bool(link["flags"] & 1),
            mtu=link.get_attr("IFLA_MTU"),
            addresses=(*_addresses(route, link["index"]), *_addresses6(route, link["index"])),
        )


def create(interface: str, kind: str, **settings: int) -> None:
    """Create a link of a kind; HostUnfit when the kernel has none of that kind, no error when it is there.

    Args:
        settings: the kind's own, by pyroute2's names: `vxlan_id=7`.
    """
    with netlink(f"create {interface}", fine=errno.EEXIST) as route:
        route.link("add", ifname=interface, kind=kind, **settings)


def read_settings(route: Any, index: int, names: Iterable[str]) -> dict[str, int]:
    """Those of the kind's own settings that the link has, by pyroute2's names."""
    information = next(iter(route.get_links(index))).get_attr("IFLA_LINKINFO")
    data = information.get_attr("IFLA_INFO_DATA") if information is not None else None
    values = {name: data.get_attr(f"IFLA_{name.upper()}") for name in names} if data is not None else {}
    return {name: value for name, value in values.items() if value is not None}


def settings_of(interface: str, names: Iterable[str]) -> dict[str, int]:
    """The same by the link's name; none when there is no such link."""
    with netlink(f"look at {interface}") as route:
        index = index_of(route, interface)
        return {} if index is None else read_settings(route, index, names)


def set_mac(interface: str, mac: str) -> None:
    """Have this MAC address on the link."""
    with netlink(f"configure {interface}") as route:
        found = _find(route, interface)
        if found is not None and found.get_attr("IFLA_ADDRESS") != mac:
            route.link("set", index=found["index"], address=mac)


def ignore_routers(interface: str) -> None:
    """Let no router advertisement change this host (ip-sysctl: accept_ra): a peer is no router."""
    if has_ipv6(interface):
        (_SYSCTL / interface / "accept_ra").write_text("0")


def underlay_mtu() -> int:
    """The smallest MTU of the interfaces that may lead to other hosts, and never more than the internet's 1500."""
    found = [LARGEST_UNDERLAY_MTU]
    with netlink("read this host's interfaces") as route:
        for each in route.get_links():
            information = each.get_attr("IFLA_LINKINFO")
            kind = information.get_attr("IFLA_INFO_KIND") if information is not None else ""
            if each["flags"] & IFF_UP and not each["flags"] & IFF_LOOPBACK and kind not in _TUNNELS:
                found.append(each.get_attr("IFLA_MTU"))
    return min(found)


def supports(kind: str, **settings: int) -> bool:
    """Whether the kernel can make links of this kind; tried with one that is removed at once."""
    probe = f"lrv-{kind[:9]}"
    try:
        create(probe, kind, **settings)
    except HostUnfit:
        return False
    delete(probe)
    return True


def delete(interface: str) -> None:
    """Delete a link; no error when it is gone."""
    with netlink(f"delete {interface}", fine=errno.ENODEV) as route:
        link = _find(route, interface)
        if link is not None:
            route.link("del", index=link["index"])


def has_ipv6(interface: str = NEW_INTERFACES) -> bool:
    """Whether an interface may have IPv6 addresses, by this kernel and its settings (ip-sysctl: disable_ipv6)."""
    try:
        return (_SYSCTL / interface / "disable_ipv6").read_text().strip() == "0"
    except FileNotFoundError:
        return False


def configure(interface: str, addresses: Sequence[OverlayInterface], mtu: int) -> None:
    """Have exactly these addresses on the interface, this MTU, and the link up; what is right is not touched.

    Where IPv6 is switched off, its addresses are left out: that must not cost the others their traffic.
    """
    with netlink(f"configure {interface}") as route:
        link = _find(route, interface)
        if link is None:
            raise HostUnfit(f"there is no interface {interface}")
        index = link["index"]
        if link.get_attr("IFLA_MTU") != mtu:
            route.link("set", index=index, mtu=mtu)
        for address in addresses:
            if isinstance(address, IPv4Interface):
                _set_address(route, index, address)
        if has_ipv6(interface):
            _set_addresses6(route, index, {each for each in addresses if isinstance(each, IPv6Interface)})
        if not link["flags"] & 1:  # IFF_UP
            route.link("set", index=index, state="up")


def _set_address(route: Any, index: int, wanted: IPv4Interface) -> None:
    found = _addresses(route, index)
    others = [address for address in found if address != wanted]
    # A new prefix comes before the old one goes, so that no packet finds neither. Within one subnet it cannot: the
    # kernel would hold the new address for a secondary one and take it away with the old.
    before = wanted not in found and all(address.network != wanted.network for address in others)
    if before:
        route.addr("add", index=index, address=str(wanted.ip), prefixlen=wanted.network.prefixlen)
    for address in others:
        route.addr("del", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)
    if not before and wanted not in found:
        route.addr("add", index=index, address=str(wanted.ip), prefixlen=wanted.network.prefixlen)


def _set_addresses6(route: Any, index: int, wanted: set[IPv6Interface]) -> None:
    found = set(_addresses6(route, index))
    for address in wanted - found:
        route.addr(
            "add", index=index, family=socket.AF_INET6, address=str(address.ip), prefixlen=address.network.prefixlen,
            flags=IFA_F_NODAD,
        )  # fmt: skip
    for address in found - wanted:
        prefixlen = address.network.prefixlen
        route.addr("del", index=index, family=socket.AF_INET6, address=str(address.ip), prefixlen=prefixlen)


def _addresses(route: Any, index: int) -> tuple[IPv4Interface, ...]:
    return tuple(
        IPv4Interface(f"{item.get_attr('IFA_LOCAL') or item.get_attr('IFA_ADDRESS')}/{item['prefixlen']}")
        for item in route.get_addr(index=index, family=socket.AF_INET)
    )


def _addresses6(route: Any, index: int) -> tuple[IPv6Interface, ...]:
    found = (
        IPv6Interface(f"{item.get_attr('IFA_ADDRESS')}/{item['prefixlen']}")
        for item in route.get_addr(index=index, family=socket.AF_INET6)
    )
    return tuple(address for address in found if not address.is_link_local)


def index_of(route: Any, interface: str) -> int | None:
    """The number of an interface; None when there is none."""
    found = _find(route, interface)
    return None if found is None else int(found["index"])


def _find(route: Any, interface: str) -> Any:
    try:
        return next(iter(route.get_links(ifname=interface)), None)
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


@contextlib.contextmanager
def netlink(doing: str, *, fine: int | None = None) -> Iterator[Any]:
    """A netlink socket; what the kernel refuses becomes HostUnfit, unless it is the `fine` errno."""
    try:
        with IPRoute() as route:
            yield route
    except NetlinkError as error:
        if error.code != fine:
            hint = "run it as root" if error.code in (errno.EPERM, errno.EACCES) else ""
            raise HostUnfit(f"cannot {doing}: {error.args[-1]}", hint=hint) from error
    except OSError as error:
        raise HostUnfit(f"cannot {doing}: no netlink socket: {error.strerror}") from error
