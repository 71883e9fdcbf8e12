"""Whether a host may be in a CLADNet by what it says of itself: its own networks, and whose its key is."""

from collections.abc import Mapping
from ipaddress import IPv4Network

from cladnet import curve25519
from cladnet.etcd.store import Versioned
from cladnet.model import CladnetSpecification, HostNetworkInformation, NetworkingRule


def own_networks(information: HostNetworkInformation) -> tuple[IPv4Network, ...]:
    """The networks that a host sits in by its own interfaces."""
    return tuple(address.network for interface in information.interfaces for address in interface.addresses)


def collision(specification: CladnetSpecification, information: HostNetworkInformation) -> IPv4Network | None:
    """The host's own network that the CLADNet's range overlaps: joining would cut the host off from it."""
    return next((network for network in own_networks(information) if network.overlaps(specification.cidr)), None)


def ipv6_problem(specification: CladnetSpecification, information: HostNetworkInformation) -> str:
    """Why the host gets no IPv6 address in a CLADNet that has them, for people; empty when it gets one, or none has."""
    if specification.cidr6 is None:
        return ""
    if not information.has_ipv6:
        return "no IPv6 address: its kernel has none (net.ipv6.conf.default.disable_ipv6)"
    overlapped = next((each for each in information.networks6 if each.overlaps(specification.cidr6)), None)
    return f"no IPv6 address: its own network {overlapped} overlaps {specification.cidr6}" if overlapped else ""


def key_holders(
    informations: Mapping[str, Versioned[HostNetworkInformation]], rules: Mapping[str, Versioned[NetworkingRule]]
) -> dict[str, str]:
    """Public key → the one host it belongs to: that whose rule has it, or has it as the next one, else that which
    announced it first.

    A data path knows a peer by its key alone: whoever could announce another's key would take that host's place.
    """
    holders: dict[str, str] = {}
    for host in sorted(rules.keys() & informations.keys(), key=lambda host: rules[host].value.address):
        holders.setdefault(rules[host].value.public_key, host)
    for host in sorted(rules.keys() & informations.keys(), key=lambda host: rules[host].value.address):
        if rules[host].value.next_public_key:
            holders.setdefault(rules[host].value.next_public_key, host)
    for host in sorted(informations, key=lambda host: informations[host].revision):
        holders.setdefault(informations[host].value.public_key, host)
    return holders


def key_problem(host: str, information: HostNetworkInformation, holders: Mapping[str, str]) -> str:
    """Why the host's key cannot be used; empty when it can."""
    if not curve25519.is_key(information.public_key):
        return "it announces no WireGuard key"
    holder = holders.get(information.public_key, host)
    return f"it has the key of {holder}: a cloned machine?" if holder != host else ""


def problem(
    host: str, specification: CladnetSpecification, information: HostNetworkInformation, holders: Mapping[str, str]
) -> str:
    """Why the host cannot join, for people; empty when it can."""
    overlapped = collision(specification, information)
    if overlapped is not None:
        return f"its own network {overlapped} overlaps {specification.cidr}"
    return key_problem(host, information, holders)
