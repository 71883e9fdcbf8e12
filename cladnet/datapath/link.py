"""The kernel's side of a tunnel interface: its link, address and MTU, by rtnetlink."""

import errno
from ipaddress import IPv4Interface
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from larva.errors import HostUnfit


def kind_of(interface: str) -> str | None:
    """The link kind (`tun`, `wireguard`, …) of an interface, empty for a plain one; None when there is none."""
    with IPRoute() as route:
        link = _find(route, interface)
        if link is None:
            return None
        information = link.get_attr("IFLA_LINKINFO")
        return str(information.get_attr("IFLA_INFO_KIND") or "") if information is not None else ""


def create(interface: str, kind: str) -> None:
    """Create a link of a kind; HostUnfit when the kernel has none of that kind, no error when it is there."""
    with IPRoute() as route:
        try:
            route.link("add", ifname=interface, kind=kind)
        except NetlinkError as error:
            if error.code == errno.EEXIST:
                return
            raise _unfit(f"create {interface}", error) from error


def supports(kind: str) -> bool:
    """Whether the kernel can make links of this kind; tried with one that is removed at once."""
    probe = f"lrv-{kind[:9]}"
    with IPRoute() as route:
        try:
            route.link("add", ifname=probe, kind=kind)
        except NetlinkError as error:
            return bool(error.code == errno.EEXIST)
        delete(probe)
    return True


def delete(interface: str) -> None:
    """Delete a link; no error when it is gone."""
    with IPRoute() as route:
        link = _find(route, interface)
        if link is None:
            return
        try:
            route.link("del", index=link["index"])
        except NetlinkError as error:
            if error.code != errno.ENODEV:
                raise _unfit(f"delete {interface}", error) from error


def configure(interface: str, address: IPv4Interface, mtu: int) -> None:
    """Have exactly this address on the interface, this MTU, and the link up; what is right is not touched."""
    with IPRoute() as route:
        link = _find(route, interface)
        if link is None:
            raise HostUnfit(f"there is no interface {interface}")
        index = link["index"]
        try:
            if link.get_attr("IFLA_MTU") != mtu:
                route.link("set", index=index, mtu=mtu)
            _set_address(route, index, address)
            if not link["flags"] & 1:  # IFF_UP
                route.link("set", index=index, state="up")
        except NetlinkError as error:
            raise _unfit(f"configure {interface}", error) from error


def _set_address(route: Any, index: int, wanted: IPv4Interface) -> None:
    present = False
    for item in route.get_addr(index=index, family=2):
        found = IPv4Interface(f"{item.get_attr('IFA_LOCAL') or item.get_attr('IFA_ADDRESS')}/{item['prefixlen']}")
        if found == wanted:
            present = True
        else:
            route.addr("del", index=index, address=str(found.ip), prefixlen=found.network.prefixlen)
    if not present:
        route.addr("add", index=index, address=str(wanted.ip), prefixlen=wanted.network.prefixlen)


def _find(route: Any, interface: str) -> Any:
    try:
        return next(iter(route.get_links(ifname=interface)), None)
    except NetlinkError as error:
        if error.code == errno.ENODEV:
            return None
        raise


def _unfit(doing: str, error: NetlinkError) -> HostUnfit:
    hint = "run it as root" if error.code in (errno.EPERM, errno.EACCES) else ""
    return HostUnfit(f"cannot {doing}: {error.args[-1]}", hint=hint)
