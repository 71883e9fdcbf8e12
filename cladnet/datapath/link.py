"""The kernel's side of a tunnel interface: its link, address and MTU, by rtnetlink."""

import contextlib
import errno
from collections.abc import Iterator
from ipaddress import IPv4Interface
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from larva.errors import HostUnfit


def kind_of(interface: str) -> str | None:
    """The link kind (`tun`, `wireguard`, …) of an interface, empty for a plain one; None when there is none."""
    with _route(f"look at {interface}") as route:
        link = _find(route, interface)
        if link is None:
            return None
        information = link.get_attr("IFLA_LINKINFO")
        return str(information.get_attr("IFLA_INFO_KIND") or "") if information is not None else ""


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
