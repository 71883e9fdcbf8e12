"""The networking rules as pure functions: at which addresses a host may be reached, and which of them a peer takes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network

from cladnet.model import CloudFacts, Endpoint, EndpointKind, HostNetworkInformation, NetworkingRule, RuleType

FREE_WITHIN: Mapping[str, str] = {"aws": "subnet_id", "azure": "zone", "gcp": "zone", "alibaba": ""}
"""Provider → the fact that two hosts of one virtual network must share for private traffic between them to be free.

Empty: the network is enough, as it is for providers that are not listed. After cb-larva's cost-prioritized rule
(cb-network.go, SelectDestinationByRuleType)."""


MOST_PRIVATE = 16
"""Private endpoints of a host that are kept: more would only make its rule large, which every other host reads."""


def candidates(information: HostNetworkInformation, overlay: IPv4Network) -> tuple[Endpoint, ...]:
    """The endpoints at which the host may be reached: the public one first, then its own interfaces' addresses.

    Args:
        overlay: the CLADNet's range, in which no endpoint can be: a tunnel does not lead to its own entrance.
    """
    found = []
    if information.public_address is not None and _leads_to_a_host(information.public_address, overlay):
        found.append(
            Endpoint(kind=EndpointKind.PUBLIC, address=information.public_address, port=information.listen_port)
        )
    for interface in information.interfaces:
        for address in interface.addresses:
            if address.ip == information.public_address or not _leads_to_a_host(address.ip, overlay):
                continue
            found.append(
                Endpoint(
                    kind=EndpointKind.PRIVATE, address=address.ip, port=information.listen_port, network=address.network
                )
            )
    return tuple(found[: MOST_PRIVATE + 1])


def _leads_to_a_host(address: IPv4Address, overlay: IPv4Network) -> bool:
    """Not this very host (whoever reads the rule), not many hosts, not nobody, not the tunnel itself."""
    nobody = address.is_unspecified or address.is_reserved or address.is_link_local
    return not (nobody or address.is_loopback or address.is_multicast or address in overlay)


class Why(StrEnum):
    """Why an endpoint is taken."""

    FREE = "free"
    """Both are in one network of one provider, which bills nothing between them (cost-prioritized)."""
    PUBLIC = "public"
    """The public address: the rule is basic, or private traffic between them is not known to be free."""
    ONLY_PRIVATE = "only-private"
    """Nobody knows its public address, but a private one is in a subnet of the other."""
    NONE = "none"
    """Nothing leads there that is known of: the peer has to speak first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The endpoint by which one host reaches another, None where there is none, and why that one."""

    endpoint: Endpoint | None
    why: Why


def choose_endpoint(me: NetworkingRule, peer: NetworkingRule, rule_type: RuleType) -> Endpoint | None:
    """Return the endpoint by which `me` reaches `peer`; None when none is known and the peer has to speak first."""
    return choose(me, peer, rule_type).endpoint


def choose(me: NetworkingRule, peer: NetworkingRule, rule_type: RuleType) -> Choice:
    """Return the endpoint by which `me` reaches `peer`, and why.

    A peer whose public address nobody could tell is reached by a private one in a subnet of mine, whatever the rule.
    """
    public = next((endpoint for endpoint in peer.endpoints if endpoint.kind == EndpointKind.PUBLIC), None)
    if rule_type == RuleType.COST_PRIORITIZED and private_is_free(me.cloud, peer.cloud):
        private, why = _private(me, peer, must_share_subnet=False), Why.FREE
    else:
        private = None if public is not None else _private(me, peer, must_share_subnet=True)
        why = Why.ONLY_PRIVATE
    if private is not None:
        return Choice(endpoint=private, why=why)
    return Choice(endpoint=public, why=Why.PUBLIC if public is not None else Why.NONE)


def private_is_free(one: CloudFacts, other: CloudFacts) -> bool:
    """Whether both are in one virtual network of one provider and it bills nothing for traffic between them."""
    if not one.provider or not one.network_id:
        return False
    if (one.provider, one.network_id) != (other.provider, other.network_id):
        return False
    needed = FREE_WITHIN.get(one.provider, "")
    return not needed or bool(getattr(one, needed) and getattr(one, needed) == getattr(other, needed))


def _private(me: NetworkingRule, peer: NetworkingRule, *, must_share_subnet: bool) -> Endpoint | None:
    mine = [endpoint.address for endpoint in me.endpoints]
    private = [endpoint for endpoint in peer.endpoints if endpoint.kind == EndpointKind.PRIVATE]
    for endpoint in private:
        if endpoint.network is not None and _any_in(mine, endpoint):
            return endpoint
    return private[0] if private and not must_share_subnet else None


def _any_in(addresses: Iterable[object], endpoint: Endpoint) -> bool:
    return endpoint.network is not None and any(address in endpoint.network for address in addresses)
