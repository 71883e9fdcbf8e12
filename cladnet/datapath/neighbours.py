"""The fixed neighbours of a VXLAN device: who has which overlay address, and to which endpoint its frames go."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network

from cladnet.datapath import link
from cladnet.datapath.protocol import OverlayNetwork
from cladnet.datapath.rtnetlink import BRIDGE, PERMANENT, Link, Route

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
        device = route.link(interface)
        return {} if device is None else _look(route, device)


def have(interface: str, wanted: Mapping[IPv4Address, Forwarding]) -> None:
    """Have exactly these peers; what is right is not touched."""
    families = (IPv4Network, IPv6Network) if link.has_ipv6(interface) else (IPv4Network,)
    with link.netlink(f"set the neighbours of {interface}") as route:
        device = route.link(interface)
        if device is None:
            return
        index, actual = device.index, _look(route, device)
        for address, peer in actual.items():
            for network in peer.networks - (wanted[address].networks if address in wanted else frozenset()):
                route.delete_neighbour(index, network.network_address, mac_of(address))
            if address not in wanted and peer.endpoint != NOWHERE:
                route.delete_forwarding(index, mac_of(address))
        for address, peer in wanted.items():
            there = actual.get(address)
            if there is None or there.endpoint != peer.endpoint:
                route.set_forwarding(index, mac_of(address), peer.endpoint)
            for network in peer.networks - (there.networks if there is not None else frozenset()):
                if isinstance(network, families):
                    route.set_neighbour(index, network.network_address, mac_of(address))


def _look(route: Route, device: Link) -> dict[IPv4Address, Forwarding]:
    networks: dict[IPv4Address, set[OverlayNetwork]] = {}
    for family in (socket.AF_INET, socket.AF_INET6):
        for each in route.neighbours(family, device.index):
            owner = address_of(each.mac)
            if owner is not None and each.address is not None and each.state == PERMANENT:
                networks.setdefault(owner, set()).add(ip_network(each.address))
    # The kernel leaves a peer's port out where it is the device's own.
    own_port = device.settings.get("vxlan_port", 0)
    endpoints: dict[IPv4Address, tuple[IPv4Address, int]] = {}
    for each in route.neighbours(BRIDGE, device.index):
        owner = address_of(each.mac)
        if owner is not None and isinstance(each.address, IPv4Address):
            endpoints[owner] = (each.address, each.port or own_port)
    return {
        owner: Forwarding(endpoint=endpoints.get(owner, NOWHERE), networks=frozenset(networks.get(owner, ())))
        for owner in networks.keys() | endpoints.keys()
    }
