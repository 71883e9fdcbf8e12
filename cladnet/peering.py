"""From a CLADNet's rules to this host's tunnel and peers: a pure function."""

import base64
import binascii
import logging
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

from cladnet.datapath.protocol import Peer, Tunnel
from cladnet.model import CladnetState, Command, EndpointKind, HostState, NetworkingRule, RuleType
from cladnet.rule_cache import NetworkView
from cladnet.rules import choose_endpoint

log = logging.getLogger(__name__)

KEEPALIVE_S = 25
"""Keeps a NAT's mapping open; what WireGuard's documentation recommends for that."""
KEY_BYTES = 32


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
    return Wanted(
        Tunnel(
            address=IPv4Interface(f"{mine.address}/{view.specification.cidr.prefixlen}"),
            private_key=private_key,
            listen_port=listen_port,
        ),
        tuple(_peer(mine, rule, view.specification.rule_type) for rule in others if _has_key(rule)),
    )


def _peer(mine: NetworkingRule, rule: NetworkingRule, rule_type: RuleType) -> Peer:
    endpoint = choose_endpoint(mine, rule, rule_type)
    return Peer(
        public_key=rule.public_key,
        endpoint=(endpoint.address, endpoint.port) if endpoint else None,
        allowed=(IPv4Network(rule.address),),
        keepalive_s=KEEPALIVE_S if endpoint is not None and endpoint.kind == EndpointKind.PUBLIC else 0,
    )


def _has_key(rule: NetworkingRule) -> bool:
    try:
        usable = len(base64.b64decode(rule.public_key, validate=True)) == KEY_BYTES
    except (binascii.Error, ValueError):
        usable = False
    if not usable:
        log.warning("%s gave no WireGuard key; it is left out", rule.host)
    return usable
