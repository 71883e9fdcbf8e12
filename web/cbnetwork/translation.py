"""Between the old service's messages and our model: pure functions, both ways."""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from ipaddress import IPv4Interface, IPv4Network
from typing import Any, TypeVar

from cladnet import model
from cladnet.cidr import PRIVATE, RESERVED, SMALLEST_PREFIX, USUAL
from cladnet.model import (
    CladnetState,
    CloudFacts,
    Encryption,
    EndpointKind,
    HostNetworkInformation,
    HostState,
    RuleType,
)
from cladnet.network_hosts import HostView
from cladnet.rules import choose_endpoint
from cladnet.status_pace import MOST_TRIALS
from larva import codec
from larva.errors import InvalidInput, MalformedData
from web.cbnetwork.messages import (
    AvailableAddressSpaces,
    CladnetSpecification,
    CloudInformation,
    NetworkingRule,
    Peer,
)

Choice = TypeVar("Choice", bound=IntEnum)

MOST_CIDRS = 1000
"""Networks that a recommendation may be asked to avoid: the search for a free range looks at each again and again."""


class CommandType(IntEnum):
    """Commands, by the numbers that the proto file gives them."""

    UP = 0
    DOWN = 1
    ENABLE_ENCRYPTION = 2
    DISABLE_ENCRYPTION = 3


ENCRYPTION = {
    CommandType.ENABLE_ENCRYPTION: Encryption.ON,
    CommandType.DISABLE_ENCRYPTION: Encryption.OFF,
}
"""Commands that say whether packets are encrypted."""


class TestType(IntEnum):
    """Tests."""

    __test__ = False  # not a pytest class

    CONNECTIVITY = 0


def enumerator(text: str, kind: type[Choice], name: str) -> Choice:
    """Return what a part of a path means: a name or a number, as grpc-gateway takes both.

    Raises:
        InvalidInput: neither.
    """
    for each in kind:
        if text in (each.name, str(int(each))):
            return each
    names = ", ".join(each.name for each in kind)
    raise InvalidInput(f"{name} {text!r} is not known", hint=f"there are: {names}")


def specification(ours: model.CladnetSpecification) -> CladnetSpecification:
    """A CLADNet in their words."""
    return CladnetSpecification(
        cladnet_id=ours.id,
        name=ours.name,
        ipv4_address_space=str(ours.cidr),
        description=ours.description,
        rule_type=str(ours.rule_type),
    )


def rule_type(text: str) -> RuleType | None:
    """The rule type of that name; None for none.

    Raises:
        InvalidInput: there is no such.
    """
    if not text:
        return None
    try:
        return RuleType(text)
    except ValueError as error:
        names = ", ".join(RuleType)
        raise InvalidInput(f"ruleType {text!r} is not known", hint=f"there are: {names}") from error


def address_space(text: str) -> str | None:
    """The range that was asked for; host bits are dropped, as their service did. None where none was."""
    return str(network(text)) if text else None


def network(text: str) -> IPv4Network:
    """The network of an address with a prefix length, as 10.10.5.2/16.

    Raises:
        InvalidInput: it is no such.
    """
    try:
        if "/" in text:
            return IPv4Network(text, strict=False)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is no IPv4 network: {error}") from error
    raise InvalidInput(f"{text!r} is no IPv4 network: it has no prefix length")


def facts(theirs: CloudInformation) -> CloudFacts:
    """Where a host runs. Providers are written small, as we and their rules do."""
    told = {
        "provider": theirs.provider_name.lower(), "region": theirs.region_id, "zone": theirs.availability_zone_id,
        "network_id": theirs.virtual_network_id, "subnet_id": theirs.subnet_id,
    }  # fmt: skip
    try:
        return codec.convert(told, CloudFacts, source="cloudInformation")
    except MalformedData as error:
        raise InvalidInput(error.message) from error


def cloud_information(cloud: CloudFacts) -> CloudInformation:
    """The same in their words."""
    return CloudInformation(
        provider_name=cloud.provider,
        region_id=cloud.region,
        availability_zone_id=cloud.zone,
        virtual_network_id=cloud.network_id,
        subnet_id=cloud.subnet_id,
    )


def peer(ours: model.CladnetSpecification, view: HostView, information: HostNetworkInformation | None) -> Peer:
    """A host in their words."""
    own = _private_address(ours.cidr, information)
    return Peer(
        cladnet_id=ours.id,
        host_id=view.host,
        host_name=view.host,
        host_private_ipv4_cidr=str(own.network) if own else "",
        host_private_ip=str(own.ip) if own else "",
        host_public_ip=str(view.public_address or ""),
        ipv4_cidr=f"{view.address}/{ours.cidr.prefixlen}" if view.address else "",
        ip=str(view.address or ""),
        state=_state_of_host(ours, view),
        details=cloud_information(view.cloud),
    )


def _private_address(overlay: IPv4Network, information: HostNetworkInformation | None) -> IPv4Interface | None:
    """The first address of the host's own that is neither its public one nor the CLADNet's."""
    if information is None:
        return None
    addresses = [address for interface in information.interfaces for address in interface.addresses]
    own = [address for address in addresses if address.ip != information.public_address and address.ip not in overlay]
    return next((address for address in own if not address.is_loopback and not address.is_link_local), None)


def _state_of_host(ours: model.CladnetSpecification, view: HostView) -> str:
    if ours.state == CladnetState.DELETING:
        return "closing"
    if view.state is None:
        return "failed" if view.problem else "configuring"
    return state(view.state)


def state(ours: HostState) -> str:
    """A host's state in their words."""
    return {HostState.ACTIVE: "tunneling", HostState.UNREACHABLE: "failed", HostState.DOWN: "released"}[ours]


def networking_rule(
    ours: model.CladnetSpecification, host: str, rules: Mapping[str, model.NetworkingRule]
) -> NetworkingRule:
    """How a host reaches every other, by the choice that its agent makes; `intra` is the private way."""
    mine = rules[host]
    others = [rules[name] for name in sorted(rules) if name != host]
    chosen = [choose_endpoint(mine, other, ours.rule_type) for other in others]
    return NetworkingRule(
        cladnet_id=ours.id,
        host_id=tuple(other.host for other in others),
        host_name=tuple(other.host for other in others),
        peer_ip=tuple(str(other.address) for other in others),
        selected_ip=tuple(str(endpoint.address) if endpoint else "" for endpoint in chosen),
        peer_scope=tuple(
            "intra" if endpoint is not None and endpoint.kind == EndpointKind.PRIVATE else "inter"
            for endpoint in chosen
        ),
        state=tuple(state(other.state) for other in others),
    )


def trials(test_spec: str) -> int:
    """How many echoes a test asks for: JSON in a string, `{"trialCount": 3}`; one without it.

    Raises:
        InvalidInput: no JSON object, or a count that cannot be.
    """
    if test_spec in ("", "string"):  # what their service took for nothing: Swagger UI fills in the latter
        return 1
    try:
        found = codec.decode(test_spec, dict[str, Any], source="testSpec")
    except MalformedData as error:
        raise InvalidInput(error.message) from error
    count = found.get("trialCount", 1)
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_TRIALS:
        raise InvalidInput(f"testSpec: trialCount {str(count)[:40]} is not possible", hint=f"give 1 to {MOST_TRIALS}")
    return count


def available(recommended: IPv4Network, taken: Iterable[IPv4Network]) -> AvailableAddressSpaces:
    """The recommendation and, of each size, one range of each private space that overlaps nothing taken."""
    avoided = (*taken, *RESERVED, *USUAL)
    of_space = {str(space): tuple(map(str, _free(space, avoided))) for space in PRIVATE}
    return AvailableAddressSpaces(
        recommended_ipv4_private_address_space=str(recommended),
        address_space10s=of_space["10.0.0.0/8"],
        address_space172s=of_space["172.16.0.0/12"],
        address_space192s=of_space["192.168.0.0/16"],
    )


def _free(space: IPv4Network, avoided: Sequence[IPv4Network]) -> list[IPv4Network]:
    gaps, at = [], int(space.network_address)
    for start, stop in sorted((int(each.network_address), int(each.broadcast_address) + 1) for each in avoided):
        if start > at:
            gaps.append((at, min(start, int(space.broadcast_address) + 1)))
        at = max(at, stop)
    gaps.append((at, int(space.broadcast_address) + 1))
    found = []
    for prefix in range(SMALLEST_PREFIX, space.prefixlen, -1):
        size = 1 << (32 - prefix)
        starts = (-(-start // size) * size for start, stop in gaps if -(-start // size) * size + size <= stop)
        first = next(starts, None)
        if first is not None:
            found.append(IPv4Network((first, prefix)))
    return found
