"""The kernel's side of a tunnel interface: its link, addresses and MTU, by rtnetlink."""

import contextlib
import errno
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path

from cladnet.datapath.netlink import KernelRefused
from cladnet.datapath.protocol import OverlayInterface
from cladnet.datapath.rtnetlink import IFF_LOOPBACK, Route
from larva.errors import HostUnfit

IFA_F_NODAD = 0x02
"""No duplicate address detection (linux/if_addr.h): it would delay an address that one claim in etcd makes unique."""
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
        link = route.link(interface)
        if link is None:
            return None
        return LinkState(
            kind=link.kind,
            is_up=link.is_up,
            mtu=link.mtu,
            addresses=(*_addresses(route, link.index), *_addresses6(route, link.index)),
        )


def create(interface: str, kind: str, **settings: int) -> None:
    """Create a link of a kind; HostUnfit when the kernel has none of that kind, no error when it is there.

    Args:
        settings: the kind's own, as Link.settings: `vxlan_id=7`.
    """
    with netlink(f"create {interface}", fine=errno.EEXIST) as route:
        route.add_link(interface, kind, settings)


def settings_of(interface: str, names: Iterable[str]) -> dict[str, int]:
    """Those of the kind's own settings that the link has; none when there is no such link."""
    with netlink(f"look at {interface}") as route:
        found = route.link(interface)
    return {name: found.settings[name] for name in names if name in found.settings} if found is not None else {}


def set_mac(interface: str, mac: str) -> None:
    """Have this MAC address on the link."""
    with netlink(f"configure {interface}") as route:
        found = route.link(interface)
        if found is not None and found.mac != mac:
            route.set_mac(found.index, mac)


def ignore_routers(interface: str) -> None:
    """Let no router advertisement change this host (ip-sysctl: accept_ra): a peer is no router."""
    if has_ipv6(interface):
        (_SYSCTL / interface / "accept_ra").write_text("0")


def underlay_mtu() -> int:
    """The smallest MTU of the interfaces that may lead to other hosts, and never more than the internet's 1500."""
    with netlink("read this host's interfaces") as route:
        links = route.links()
    outside = (each for each in links if each.is_up and not each.flags & IFF_LOOPBACK and each.kind not in _TUNNELS)
    return min((LARGEST_UNDERLAY_MTU, *(each.mtu for each in outside)))


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
        link = route.link(interface)
        if link is not None:
            route.delete_link(link.index)


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
        link = route.link(interface)
        if link is None:
            raise HostUnfit(f"there is no interface {interface}")
        index = link.index
        if link.mtu != mtu:
            route.set_mtu(index, mtu)
        for address in addresses:
            if isinstance(address, IPv4Interface):
                _set_address(route, index, address)
        if has_ipv6(interface):
            _set_addresses6(route, index, {each for each in addresses if isinstance(each, IPv6Interface)})
        if not link.is_up:
            route.set_up(index)


def _set_address(route: Route, index: int, wanted: IPv4Interface) -> None:
    found = _addresses(route, index)
    others = [address for address in found if address != wanted]
    # A new prefix comes before the old one goes, so that no packet finds neither. Within one subnet it cannot: the
    # kernel would hold the new address for a secondary one and take it away with the old.
    before = wanted not in found and all(address.network != wanted.network for address in others)
    if before:
        route.add_address(index, wanted)
    for address in others:
        route.delete_address(index, address)
    if not before and wanted not in found:
        route.add_address(index, wanted)


def _set_addresses6(route: Route, index: int, wanted: set[IPv6Interface]) -> None:
    found = set(_addresses6(route, index))
    for address in wanted - found:
        route.add_address(index, address, flags=IFA_F_NODAD)
    for address in found - wanted:
        route.delete_address(index, address)


def _addresses(route: Route, index: int) -> tuple[IPv4Interface, ...]:
    found = (each.interface for each in route.addresses(socket.AF_INET, index))
    return tuple(address for address in found if isinstance(address, IPv4Interface))


def _addresses6(route: Route, index: int) -> tuple[IPv6Interface, ...]:
    found = (each.interface for each in route.addresses(socket.AF_INET6, index))
    return tuple(each for each in found if isinstance(each, IPv6Interface) and not each.is_link_local)


@contextlib.contextmanager
def netlink(doing: str, *, fine: int | None = None) -> Iterator[Route]:
    """A netlink socket; what the kernel refuses becomes HostUnfit, unless it is the `fine` errno."""
    try:
        with Route() as route:
            yield route
    except KernelRefused as error:
        if error.errno != fine:
            hint = "run it as root" if error.errno in (errno.EPERM, errno.EACCES) else ""
            raise HostUnfit(f"cannot {doing}: {error.strerror}", hint=hint) from error
    except OSError as error:
        raise HostUnfit(f"cannot {doing}: no netlink socket: {error.strerror or error}") from error
