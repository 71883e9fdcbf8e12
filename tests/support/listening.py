"""What a machine of the appliance may listen at, by its roles, and what it does: read from ss(8)."""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

from images.clouds.lab.topology import Role

ALWAYS = ("tcp 22",)
OF_ROLE = {
    Role.CONTROL: ("tcp 2379", "tcp 2380", "tcp 8443"),
    Role.STORAGE: ("tcp 3300", "tcp 6800-7568"),
    Role.MEMBER: ("udp 51820-51899",),
}
"""The table of docs/security.md: ports at addresses that are not loopback."""
OVERLAY_ONLY = ("tcp 3300", "tcp 6800-7568")
"""Ceph's: at the address in the CLADNet, and at no other."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that waits for others."""

    protocol: str
    address: IPv4Address | IPv6Address
    port: int

    def is_one_of(self, ranges: Iterable[str]) -> bool:
        """Whether it is in one of `tcp 22`, `udp 51820-51899` …"""
        for text in ranges:
            protocol, _, ports = text.partition(" ")
            first, _, last = ports.partition("-")
            if self.protocol == protocol and int(first) <= self.port <= int(last or first):
                return True
        return False


def listeners(told: str) -> list[Listener]:
    """Those of `ss -H --listening --numeric --tcp --udp` that are not on loopback."""
    found = []
    for line in told.splitlines():
        words = line.split()
        at, _, port = words[4].rpartition(":")
        at = at.strip("[]").partition("%")[0].strip("[]")
        address = ip_address("::" if at == "*" else at)
        if not address.is_loopback:
            found.append(Listener(words[0], address, int(port)))
    return found


def unexpected(told: str, roles: Iterable[Role], overlay: IPv4Network) -> list[Listener]:
    """Those that a machine of these roles must not have."""
    allowed = [*ALWAYS, *(ports for role in roles for ports in OF_ROLE[role])]
    found = listeners(told)
    loose = [one for one in found if one.is_one_of(OVERLAY_ONLY) and one.address not in overlay]
    return loose + [one for one in found if not one.is_one_of(allowed)]
