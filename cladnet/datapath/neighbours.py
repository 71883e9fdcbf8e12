"""The fixed neighbours of a VXLAN device: who has which overlay address, and to which endpoint its frames go."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from cladnet.datapath import link
from cladnet.datapath.protocol import OverlayNetwork

PERMANENT = 0x80
"""NUD_PERMANENT (linux/neighbour.h)."""
SELF = 0x02
"""NTF_SELF: the device's own table, not a bridge's."""
NOWHERE = (IPv4Address(0), 0)
_PREFIX = "02:4c"
"""Locally administered, and an L."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """One peer as the kernel should have it."""

    endpoint: tuple[IPv4Address, int]
    networks: frozenset[OverlayNetwork]
    """Its overlay addresses."""


def mac_of(address: IPv4Address) -> str:
    """The MAC address of the host with this overlay address: one says the other, so that nobody has to ask."""
    return ":".join((_PREFIX, *(f"{byte:02x}" for byte in address.packed)))


def address_of(mac: str) -> IPv4Address | None:
    """The overlay address of a MAC address of ours; None for any other."""
    if not mac.startswith(_PREFIX):
        return None
    return IPv4Address(bytes.fromhex(mac.removeprefix(_PREFIX).replace(":", "")))


def look(interface: str) -> dict[IPv4Address, Forwarding]:
    """IPv4 overlay address → the peer, as the kernel has them; those that are only half there included."""
    with link.netlink(f"read the neighbours of {interface}") as route:
        index = link.index_of(route, interface)
        return {} if index is None else _look(route, index)


def have(interface: str, wanted: Mapping[IPv4Address, Forwarding]) -> None:
    """Have exactly these peers; what is right is not touched."""
    families = (IPv4Network, IPv6Network) if link.has_ipv6(interface) else (IPv4Network,)
    with link.netlink(f"set the neighbours of {interface}") as route:
        index = link.index_of(route, interface)
        if index is None:
            return
        actual = _look(route, index)
        for address, peer in actual.items():
            for network in peer.networks - (wanted[address].networks if address in wanted else frozenset()):
                _neighbour(route, "del", index, network, address)
            if address not in wanted and peer.endpoint != NOWHERE:
                route.fdb("del", ifindex=index, lladdr=mac_of(address), flags=SELF)
        for address, peer in wanted.items():
            there = actual.get(address)
            if there is None or there.endpoint != peer.endpoint:
                route.fdb(
                    "replace", ifindex=index, lladdr=mac_of(address), dst=str(peer.endpoint[0]), port=peer.endpoint[1],
                    state=PERMANENT, flags=SELF,
                )  # fmt: skip
            for network in peer.networks - (there.networks if there is not None else frozenset()):
                if isinstance(network, families):
                    _neighbour(route, "replace", index, network, address)


def _neighbour(route: Any, command: str, index: int, network: OverlayNetwork, owner: IPv4Address) -> None:
    route.neigh(
        command, ifindex=index, dst=str(network.network_address), lladdr=mac_of(owner), state=PERMANENT,
        family=socket.AF_INET if network.version == 4 else socket.AF_INET6,
    )  # fmt: skip


def _look(route: Any, index: int) -> dict[IPv4Address, Forwarding]:
    networks: dict[IPv4Address, set[OverlayNetwork]] = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        for item in route.get_neighbours(family=family, ifindex=index):
            owner = address_of(item.get_attr("NDA_LLADDR") or "")
            if owner is not None and item["ifindex"] == index and item["state"] == PERMANENT:
                networks.setdefault(owner, set()).add(_host(ip_address(item.get_attr("NDA_DST"))))
    # The kernel leaves a peer's port out where it is the device's own.
    own_port = link.read_settings(route, index, ("vxlan_port",)).get("vxlan_port", 0)
    endpoints: dict[IPv4Address, tuple[IPv4Address, int]] = {}
    for item in route.fdb("dump", ifindex=index):
        owner = address_of(item.get_attr("NDA_LLADDR") or "")
        if owner is not None and item["ifindex"] == index and item.get_attr("NDA_DST") is not None:
            endpoints[owner] = (IPv4Address(item.get_attr("NDA_DST")), item.get_attr("NDA_PORT") or own_port)
    return {
        owner: Forwarding(endpoint=endpoints.get(owner, NOWHERE), networks=frozenset(networks.get(owner, ())))
        for owner in networks.keys() | endpoints.keys()
    }


def _host(address: IPv4Address | IPv6Address) -> OverlayNetwork:
    return ip_network(address)
