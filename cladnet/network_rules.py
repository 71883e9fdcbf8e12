"""How the hosts of a CLADNet reach each other: what an agent makes of the rules, for people who ask why."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from cladnet import keys, networks
from cladnet.etcd.store import Store
from cladnet.model import CloudFacts, Endpoint, HostState, NetworkingRule, RuleType
from cladnet.rules import Why, choose
from larva.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRule:
    """How one host reaches another."""

    host: str
    address: IPv4Address
    """In the CLADNet."""
    address6: IPv6Address | None
    state: HostState
    cloud: CloudFacts
    public_key: str
    candidates: tuple[Endpoint, ...]
    """Every endpoint at which it may be reached."""
    endpoint: Endpoint | None
    """The one that is taken; None where the peer has to speak first."""
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRules:
    """How one host reaches each other host of its CLADNet."""

    host: str
    address: IPv4Address
    rule_type: RuleType
    peers: tuple[PeerRule, ...]
    """By name."""


def of_host(store: Store, group: str, host: str) -> HostRules:
    """Return how a host reaches the others, chosen as its agent does.

    Raises:
        NotFound: no such CLADNet, or the host has no rule in it.
    """
    network = networks.find(store, group)
    found = store.children(keys.rules_of(network.id), NetworkingRule)
    rules = {name: item.value for name, item in found.items() if item.value.host == name}
    me = rules.get(host)
    if me is None:
        raise NotFound(
            f"CLADNet {group} has no rule of host {host!r}", hint=f"`larva net hosts {group}` says why it has none"
        )
    peers = [_peer(me, rules[name], network.rule_type) for name in sorted(rules) if name != host]
    return HostRules(host=host, address=me.address, rule_type=network.rule_type, peers=tuple(peers))


def _peer(me: NetworkingRule, peer: NetworkingRule, rule_type: RuleType) -> PeerRule:
    choice = choose(me, peer, rule_type)
    return PeerRule(
        host=peer.host, address=peer.address, address6=peer.address6, state=peer.state, cloud=peer.cloud,
        public_key=peer.public_key, candidates=peer.endpoints, endpoint=choice.endpoint, why=choice.why,
    )  # fmt: skip
