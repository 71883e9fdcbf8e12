"""From a CLADNet's rules to this host's tunnel and peers: a pure function."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Network

from cladnet import curve25519, ula
from cladnet.agent.rule_cache import NetworkView
from cladnet.datapath.protocol import Peer, Tunnel
from cladnet.model import CladnetState, Command, EndpointKind, HostState, NetworkingRule, RuleType
from cladnet.rules import choose_endpoint

log = logging.getLogger(__name__)

KEEPALIVE_S = 25
"""Keeps a NAT's mapping open; what WireGuard's documentation recommends for that."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The data path as it should be."""

    tunnel: Tunnel
    peers: tuple[Peer, ...]


def wanted(view: NetworkView | None, host: str, *, private_key: str, listen_port: int) -> Wanted | None:
    """Return what this host's data path should be; None when it should have none.

    A peer that is unreachable for the control plane stays: losing the control plane must not cost traffic.
    """
    if view is None or view.specification.state != CladnetState.ACTIVE or view.command == Command.DOWN:
        return None
    mine = next((rule for rule in view.rules if rule.host == host), None)
    if mine is None or mine.state == HostState.DOWN:
        return None
    others = [rule for rule in view.rules if rule.host != host and rule.state != HostState.DOWN]
    cidr, cidr6, rule_type = view.specification.cidr, view.specification.cidr6, view.specification.rule_type
    second = (ula.interface6(cidr6, mine.address),) if cidr6 is not None and _has_ipv6(mine, cidr6) else ()
    return Wanted(
        Tunnel(
            addresses=(IPv4Interface(f"{mine.address}/{cidr.prefixlen}"), *second),
            private_key=private_key,
            listen_port=listen_port,
        ),
        tuple(_peer(mine, rule, rule_type, cidr6) for rule in _sound(mine, others, cidr)),
    )


def measurable(view: NetworkView | None, host: str) -> dict[str, IPv4Address]:
    """Return the peers that should answer this host over the CLADNet, by name; none while it is not in it."""
    if view is None or view.specification.state != CladnetState.ACTIVE or view.command == Command.DOWN:
        return {}
    up = {rule.host: rule.address for rule in view.rules if rule.state != HostState.DOWN}
    return {name: address for name, address in up.items() if name != host} if host in up else {}


def _has_ipv6(rule: NetworkingRule, cidr6: IPv6Network | None) -> bool:
    """Whether the rule says so, and as it must: an address that does not follow from the other might be anybody's."""
    return cidr6 is not None and rule.address6 == ula.address6(cidr6, rule.address)


def _peer(mine: NetworkingRule, rule: NetworkingRule, rule_type: RuleType, cidr6: IPv6Network | None) -> Peer:
    endpoint = choose_endpoint(mine, rule, rule_type)
    second = (IPv6Network(rule.address6),) if rule.address6 is not None and _has_ipv6(rule, cidr6) else ()
    return Peer(
        public_key=rule.public_key,
        endpoint=(endpoint.address, endpoint.port) if endpoint else None,
        allowed=(IPv4Network(rule.address), *second),
        keepalive_s=KEEPALIVE_S if endpoint is not None and endpoint.kind == EndpointKind.PUBLIC else 0,
    )


def _sound(mine: NetworkingRule, others: Sequence[NetworkingRule], cidr: IPv4Network) -> tuple[NetworkingRule, ...]:
    """The rules whose key and address are each of one host only.

    The controller sees to that. Were it otherwise, two peers would take each other's traffic in turns, and a key that
    is none would make the driver refuse all the others.
    """
    seen_keys, seen_addresses, sound = {mine.public_key}, {mine.address}, []
    for rule in others:
        if not curve25519.is_key(rule.public_key):
            log.warning("%s is left out: it gave no WireGuard key", rule.host)
        elif rule.public_key in seen_keys or rule.address in seen_addresses or rule.address not in cidr:
            log.warning("%s is left out: it has the key or address of another host, or none of the CLADNet", rule.host)
        else:
            seen_keys.add(rule.public_key)
            seen_addresses.add(rule.address)
            sound.append(rule)
    return tuple(sound)
