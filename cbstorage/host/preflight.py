"""The address preflight: no Ceph daemon starts before its address is known to lie on the CLADNet and to work."""

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from cbstorage.ceph.conf import MON_PORT
from larva import codec, process

SMALLEST_MTU = 1280
"""Below this even IPv6's minimum does not pass; Ceph's larger messages would stall."""
CONNECT_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """An interface of this host that is up, as the kernel has it."""

    name: str
    mtu: int
    addresses: tuple[IPv4Interface, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a daemon must not start yet."""

    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.found}; {self.remedy}"


def check(links: Sequence[Link], *, address: IPv4Address, cidr: IPv4Network) -> Problem | None:
    """Return what keeps this host from advertising `address`, or None.

    Args:
        links: interfaces that are up.
        address: the host's address by its networking rule.
        cidr: the CLADNet's.
    """
    if address not in cidr:
        return Problem(
            found=f"the networking rule gives {address}, which is not in the CLADNet's {cidr}",
            remedy="the CLADNet's CIDR changed after storage was set up: create the storage cluster anew",
        )
    own = [link for link in links if any(one.ip == address for one in link.addresses)]
    if not own:
        elsewhere = [f"{one.ip} on {link.name}" for link in links for one in link.addresses if one.ip in cidr]
        return Problem(
            found=f"no interface that is up has the CLADNet address {address}"
            + (f" (in {cidr} there is {', '.join(elsewhere)})" if elsewhere else ""),
            remedy="`systemctl status larva-agent` shows why cbnet0 is not up",
        )
    if own[0].mtu < SMALLEST_MTU:
        return Problem(
            found=f"{own[0].name} has an MTU of {own[0].mtu}",
            remedy=f"give it {SMALLEST_MTU} at least: the path below it must carry that",
        )
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _AddressInfo:
    family: str
    local: IPv4Address | None = None
    prefixlen: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class _LinkInfo:
    ifname: str = ""
    mtu: int = 0
    flags: tuple[str, ...] = ()
    addr_info: tuple[_AddressInfo, ...] = ()


def links() -> tuple[Link, ...]:
    """Return this host's interfaces that are up, with their IPv4 addresses."""
    shown = process.run(["ip", "-json", "-4", "address", "show", "up"], timeout=10)
    found = codec.decode(shown or "[]", tuple[_LinkInfo, ...], source="ip -json address")
    return tuple(
        Link(
            name=link.ifname,
            mtu=link.mtu,
            addresses=tuple(IPv4Interface((one.local, one.prefixlen)) for one in link.addr_info if one.local),
        )
        for link in found
        if link.ifname
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Whether something answered at a monitor's port."""

    answers: bool
    words: str
    host_answers: bool = False
    """Whether the host did, be it that nothing listens there."""


def reach(own: IPv4Address | None, peer: IPv4Address, port: int = MON_PORT, *, timeout_s: float = CONNECT_S) -> Reach:
    """Try a TCP connection from this host's CLADNet address, or whichever the kernel chooses, to a peer's."""
    source = None if own is None else (str(own), 0)
    try:
        with socket.create_connection((str(peer), port), timeout=timeout_s, source_address=source):
            return Reach(answers=True, host_answers=True, words="answers")
    except TimeoutError:
        return Reach(answers=False, words="does not answer: no way over the CLADNet, or a firewall drops it")
    except OSError as error:
        if error.errno == errno.ECONNREFUSED:
            return Reach(answers=False, host_answers=True, words="is reachable, but nothing listens there yet")
        return Reach(answers=False, words=error.strerror or str(error))
