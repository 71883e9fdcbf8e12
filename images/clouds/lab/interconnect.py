"""A private interconnect between the clouds: an address for every host that all clouds route, and nobody translates.

What providers sell for this: the ground on which a clustered service works without an overlay, to be compared with.
It takes the same gateways and uplinks, so that distances, rates and cuts apply to it too.
"""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv4Network

from images.clouds.lab import network
from images.clouds.lab.network import HOST_INTERFACE, LAN, WAN, Names
from images.clouds.lab.topology import Host, Topology

RANGE = IPv4Network("198.19.0.0/24")
"""The other half of the range for benchmarks between networks (RFC 2544, C.2.2)."""


def addresses(topology: Topology) -> Mapping[str, IPv4Address]:
    """Return each host's address in the interconnect."""
    return {host.name: RANGE.network_address + 1 + number for number, host in enumerate(topology.hosts)}


def build(names: Names, topology: Topology) -> Mapping[str, IPv4Address]:
    """Give every host that is on its address, until it is switched off; return the addresses."""
    for cloud in topology.clouds:
        network.batch(names.gateway(cloud.name), gateway_routes(topology, cloud.name))
    for host in topology.hosts:
        network.batch(names.host(host.name), host_routes(topology, host))
    return addresses(topology)


def gateway_routes(topology: Topology, cloud: str) -> Iterator[str]:
    """Return the commands of `ip -batch` with which a cloud's gateway knows every host's address."""
    for host in topology.hosts:
        address = addresses(topology)[host.name]
        if host.cloud == cloud:
            yield f"route replace {address}/32 via {host.private} dev {LAN}"
        else:
            number = next(number for number, one in enumerate(topology.clouds) if one.name == host.cloud)
            yield f"route replace {address}/32 via {network.transit_address(number)} dev {WAN}"


def host_routes(topology: Topology, host: Host) -> Iterator[str]:
    """Return the commands of `ip -batch` with which a host has its address and speaks to others by it."""
    address = addresses(topology)[host.name]
    yield f"address replace {address}/32 dev {HOST_INTERFACE}"
    yield f"route replace {RANGE} via {topology.cloud(host.cloud).gateway} dev {HOST_INTERFACE} src {address}"
