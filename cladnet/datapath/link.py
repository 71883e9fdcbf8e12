"""The kernel's side of a tunnel interface: its link, address and MTU, by rtnetlink."""

import contextlib
import errno
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from larva.errors import HostUnfit


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """An interface as the kernel has it."""

    kind: str
    """`tun`, `wireguard`, …; empty for a plain one."""
    is_up: bool
    mtu: int
    addresses: tuple[IPv4Interface, ...]


def kind_of(interface: str) -> str | None:
    """The link kind (`tun`, `wireguard`, …) of an interface, empty for a plain one; None when there is none."""
    found = look(interface)
    return None if found is None else found.kind


def look(interface: str) -> LinkState | None:
    """An interface as it is; None when there is none."""
    with _route(f"look at {interface}") as route:
        link = _find(route, interface)
        if link is None:
            return None
        information = link.get_attr("IFLA_LINKINFO")
        return LinkState(
            kind=str(information.get_attr("IFLA_INFO_KIND") or "") if information is not None else "",
            is_up=bool(link["flags"] & 1),
            mtu=link.get_attr("IFLA_MTU"),
            addresses=_addresses(route, link["index"]),
        )


def create(interface: str, kind: str) -> None:
    """Create a link of a kind; HostUnfit when the kernel has none of that kind, no error when it is there."""
    with _route(f"create {interface}", fine=errno.EEXIST) as route:
        route.link("add", ifname=interface, kind=kind)


def supports(kind: str) -> bool:
    """Whether the kernel can make links of this kind; tried with one that is removed at once."""
    probe = f"lrv-{kind[:9]}"
    try:
        create(probe, kind)
    except HostUnfit:
        return False
    delete(probe)
    return True


def delete(interface: str) -> None:
    """Delete a link; no error when it is gone."""
    with _route(f"delete {interface}", fine=errno.ENODEV) as route:
        link = _find(route, interface)
        if link is not None:
            route.link("del", index=link["index"])


def configure(interface: str, address: IPv4Interface, mtu: int) -> None:
    """Have exactly this address on the interface, this MTU, and the link up; what is right is not touched."""
    with _route(f"configure {interface}") as route:
        link = _find(route, interface)
        if link is None:
            raise HostUnfit(f"there is no interface {interface}")
        index = link["index"]
        if link.get_attr("IFLA_MTU") != mtu:
            route.link("set", index=index, mtu=mtu)
        _set_address(route, index, address)
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


def _addresses(route: Any, index: int) -> tuple[IPv4Interface, ...]:
    return tuple(
        IPv4Interface(f"{item.get_attr('IFA_LOCAL') or item.get_attr('IFA_ADDRESS')}/{item['prefixlen']}")
        for item in route.get_addr(index=index, family=2)
    )


def _find(route: Any, interface: str) -> Any:
    try:
        return next(iter(route.get_links(ifname=interface)), None)
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


@contextlib.contextmanager
def _route(doing: str, *, fine: int | None = None) -> Iterator[Any]:
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
