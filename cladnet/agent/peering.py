"""From a CLADNet's rules to this host's tunnel and peers: pure functions. `kept_peering` does it a rule at a time."""

import logging
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Network

from cladnet import curve25519, ula
from cladnet.agent.rule_cache import NetworkView
from cladnet.datapath.protocol import Peer, PeerStatus, Tunnel
from cladnet.model import CladnetSpecification, CladnetState, Command, EndpointKind, HostState, NetworkingRule
from cladnet.rules import choose_endpoint

log = logging.getLogger(__name__)

KEEPALIVE_S = 25
"""Keeps a NAT's mapping open; what WireGuard's documentation recommends for that."""


_NEVER = datetime.min.replace(tzinfo=UTC)


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
    cidr, cidr6 = view.specification.cidr, view.specification.cidr6
    second = (ula.interface6(cidr6, mine.address),) if cidr6 is not None and _has_ipv6(mine, cidr6) else ()
    return Wanted(
        Tunnel(
            group=view.specification.id,
            addresses=(IPv4Interface(f"{mine.address}/{cidr.prefixlen}"), *second),
            private_key=private_key,
            listen_port=listen_port,
        ),
        tuple(peer_of(mine, rule, view.specification) for rule in _sound(mine, others, cidr)),
    )


def doors(peers: Mapping[str, Peer], rules: Iterable[NetworkingRule]) -> Iterator[Peer]:
    """Yield a peer without any address for each next key: it can shake hands and nothing else.

    Args:
        peers: by public key.
    """
    taken = set(peers)
    for rule in rules:
        peer = peers.get(rule.public_key)
        if peer is not None and curve25519.is_key(rule.next_public_key) and rule.next_public_key not in taken:
            taken.add(rule.next_public_key)
            yield Peer(public_key=rule.next_public_key, endpoint=peer.endpoint, allowed=())


def moved(rules: Iterable[NetworkingRule], stats: Iterable[PeerStatus]) -> tuple[NetworkingRule, ...]:
    """Return the rules of the hosts that have begun to use their next key, with that key: the later handshake tells.

    For a host that is cut off from the control plane, which would tell it.
    """
    shaken = {status.public_key: status.last_handshake for status in stats if status.last_handshake is not None}
    return tuple(
        replace(rule, public_key=rule.next_public_key, next_public_key="")
        for rule in rules
        if rule.next_public_key
        and (late := shaken.get(rule.next_public_key)) is not None
        and late > shaken.get(rule.public_key, _NEVER)
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


def peer_of(mine: NetworkingRule, rule: NetworkingRule, specification: CladnetSpecification) -> Peer:
    """Return another host as the one of `mine` should reach it."""
    endpoint, cidr6 = choose_endpoint(mine, rule, specification.rule_type), specification.cidr6
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
    seen, sound = set(marks(mine)), []
    for rule in others:
        trouble = fault(rule, cidr)
        if not trouble and not seen.isdisjoint(marks(rule)):
            trouble = "it has the key or address of another host"
        if trouble:
            log.warning("%s is left out: %s", rule.host, trouble)
            continue
        seen.update(marks(rule))
        sound.append(rule)
    return tuple(sound)


def fault(rule: NetworkingRule, cidr: IPv4Network) -> str:
    """Why a rule can be nobody's, whatever the others say; empty when it can."""
    if not curve25519.is_key(rule.public_key):
        return "it gave no WireGuard key"
    return "" if rule.address in cidr else "its address is none of the CLADNet"


def marks(rule: NetworkingRule) -> tuple[Hashable, ...]:
    """What only one host may have."""
    return rule.public_key, rule.address
