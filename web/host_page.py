"""All that is known of one host of a CLADNet."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address

from cbstorage import keys as storage_keys
from cbstorage.model import Daemon, HostDaemons
from cbstorage.wanted import volumes
from cbstorage.wanted.volumes import MountView
from cladnet import keys, network_hosts, paths
from cladnet.etcd.store import Store
from cladnet.model import (
    CladnetSpecification,
    EndpointKind,
    HostNetworkInformation,
    HostState,
    NetworkingRule,
    NetworkInterface,
    RuleType,
)
from cladnet.network_hosts import HostView
from cladnet.paths import PathView
from cladnet.quality import Window
from cladnet.rules import choose_endpoint, private_is_free
from larva.errors import NotFound

MOST_PEERS = 200


class Nat(StrEnum):
    """How a host's address reaches the internet."""

    NONE = "none"
    """Its public address is on one of its interfaces."""
    TRANSLATED = "translated"
    """Its provider translates: the public address is on none of them."""
    UNKNOWN = "unknown"
    """Nobody could tell a public address."""


class Reason(StrEnum):
    """Why a peer is reached by the address that it is."""

    RULE_IS_BASIC = "rule-is-basic"
    SAME_NETWORK = "same-network"
    OTHER_NETWORK = "other-network"
    NO_PRIVATE_ADDRESS = "no-private-address"
    NO_PUBLIC_ADDRESS = "no-public-address"
    NOT_KNOWN = "not-known"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRule:
    """How this host reaches one peer."""

    peer: str
    address: IPv4Address
    state: HostState
    endpoint: str
    """Address and UDP port; empty where it waits for the peer to speak."""
    kind: EndpointKind | None
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedMount:
    """One volume on this host."""

    volume: str
    mount: MountView


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What the page shows."""

    host: HostView
    nat: Nat
    interfaces: tuple[NetworkInterface, ...]
    listen_port: int | None
    agent_version: str
    has_ipv6: bool
    rule: NetworkingRule | None
    daemons: tuple[Daemon, ...]
    storage_problem: str
    mounts: tuple[HostedMount, ...]
    peers: tuple[PeerRule, ...]
    peers_left_out: int
    paths: tuple[PathView, ...]


def read(store: Store, specification: CladnetSpecification, name: str) -> HostFacts:
    """Return what etcd has of a host; NotFound where the CLADNet has none of that name."""
    group = specification.id
    view = next((each for each in network_hosts.views(store, group) if each.host == name), None)
    if view is None:
        raise NotFound(f"CLADNet {specification.name} has no host {name[:80]!r}", hint="it left, or never came")
    found = store.get(keys.host_information(group, name), HostNetworkInformation)
    information = found.value if found else None
    rules = {host: item.value for host, item in store.children(keys.rules_of(group), NetworkingRule).items()}
    storage = store.get(storage_keys.daemons(group, name), HostDaemons)
    peers = peer_rules(name, rules, specification.rule_type)
    return HostFacts(
        host=view,
        nat=nat_of(information),
        interfaces=information.interfaces if information else (),
        listen_port=information.listen_port if information else None,
        agent_version=information.agent_version if information else "",
        has_ipv6=information.has_ipv6 if information else False,
        rule=rules.get(name),
        daemons=storage.value.daemons if storage else (),
        storage_problem=storage.value.problem if storage else "",
        mounts=tuple(
            HostedMount(volume=volume.name, mount=mount)
            for volume in volumes.list_all(store, group)
            for mount in volume.mounts
            if mount.host == name
        ),
        peers=peers[:MOST_PEERS],
        peers_left_out=max(0, len(peers) - MOST_PEERS),
        paths=tuple(path for path in paths.views(store, group, Window.TEN_MINUTES) if path.source == name),
    )


def nat_of(information: HostNetworkInformation | None) -> Nat:
    """Return what stands between the host and the internet, by what it says of its addresses."""
    if information is None or information.public_address is None:
        return Nat.UNKNOWN
    own = {address.ip for interface in information.interfaces for address in interface.addresses}
    return Nat.NONE if information.public_address in own else Nat.TRANSLATED


def peer_rules(name: str, rules: dict[str, NetworkingRule], rule_type: RuleType) -> tuple[PeerRule, ...]:
    """Return how `name` reaches each of its peers, and why so; nothing while it has no rule itself."""
    me = rules.get(name)
    if me is None:
        return ()
    return tuple(_peer_rule(me, peer, rule_type) for host, peer in sorted(rules.items()) if host != name)


def _peer_rule(me: NetworkingRule, peer: NetworkingRule, rule_type: RuleType) -> PeerRule:
    endpoint = choose_endpoint(me, peer, rule_type)
    return PeerRule(
        peer=peer.host,
        address=peer.address,
        state=peer.state,
        endpoint=f"{endpoint.address}:{endpoint.port}" if endpoint else "",
        kind=endpoint.kind if endpoint else None,
        reason=_reason(me, peer, rule_type, endpoint.kind if endpoint else None),
    )


def _reason(me: NetworkingRule, peer: NetworkingRule, rule_type: RuleType, kind: EndpointKind | None) -> Reason:
    if kind is None:
        return Reason.NOT_KNOWN
    free = private_is_free(me.cloud, peer.cloud)
    if kind is EndpointKind.PRIVATE:
        return Reason.SAME_NETWORK if free and rule_type is RuleType.COST_PRIORITIZED else Reason.NO_PUBLIC_ADDRESS
    if rule_type is RuleType.BASIC:
        return Reason.RULE_IS_BASIC
    return Reason.NO_PRIVATE_ADDRESS if free else Reason.OTHER_NETWORK
