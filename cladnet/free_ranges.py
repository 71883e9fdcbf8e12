"""Which address ranges are taken, by whom, and the range that a new CLADNet should have, with the reasons."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network

from cladnet import cidr, keys
from cladnet.etcd.store import Store
from cladnet.fitness import own_networks
from cladnet.model import CladnetSpecification, HostNetworkInformation
from larva.errors import InvalidInput

MOST_HOSTS = (1 << 24) - 2
"""What a /8, the largest private range, holds."""
_NAMED = 3
"""Hosts that a reason names; the others are counted."""


class Reason(StrEnum):
    """Why a range is kept away from."""

    CLADNET = "cladnet"
    HOST_NETWORK = "host-network"
    RESERVED = "reserved"
    """A provider or common software keeps it for itself on a VM."""
    USUAL = "usual"
    """Providers give it to a virtual network by default: a host that joins tomorrow may sit there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Avoided:
    """One range that a recommendation keeps away from."""

    network: IPv4Network
    reason: Reason
    detail: str
    """For people: whose it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """A range that a new CLADNet can have."""

    cidr: IPv4Network
    hosts: int
    """How many it holds."""
    avoided: tuple[Avoided, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RangesInUse:
    """CLADNets by name, and the networks that hosts sit in by host."""

    cladnets: Mapping[str, IPv4Network]
    host_networks: Mapping[str, tuple[IPv4Network, ...]]
    cladnets6: Mapping[str, IPv6Network] = field(default_factory=dict)
    host_networks6: Mapping[str, tuple[IPv6Network, ...]] = field(default_factory=dict)

    def all(self) -> tuple[IPv4Network, ...]:
        """Every IPv4 range, in no order."""
        return (*self.cladnets.values(), *(network for each in self.host_networks.values() for network in each))


def read_ranges(store: Store, cladnets: Iterable[CladnetSpecification]) -> RangesInUse:
    """Read the networks of every host that is in any CLADNet."""
    networks: dict[str, tuple[IPv4Network, ...]] = {}
    networks6: dict[str, tuple[IPv6Network, ...]] = {}
    for item in store.list(keys.HOST_INFORMATION, HostNetworkInformation).items:
        host = keys.last_segment(item.key)  # a host in several CLADNets tells of its networks in each
        networks[host] = tuple(dict.fromkeys((*networks.get(host, ()), *own_networks(item.value))))
        networks6[host] = tuple(dict.fromkeys((*networks6.get(host, ()), *item.value.networks6)))
    existing = tuple(cladnets)
    return RangesInUse(
        cladnets={each.name: each.cidr for each in existing},
        host_networks=networks,
        cladnets6={each.name: each.cidr6 for each in existing if each.cidr6 is not None},
        host_networks6=networks6,
    )


def recommendation(in_use: RangesInUse, *, hosts: int | None = None) -> Recommendation:
    """Return a free range that holds `hosts` hosts; see networks.recommend()."""
    found = cidr.recommend(in_use.all(), prefix=prefix_for(hosts) if hosts is not None else cidr.RECOMMENDED_PREFIX)
    avoided = tuple(each for each in avoidable(in_use) if not each.network.overlaps(found))
    return Recommendation(cidr=found, hosts=found.num_addresses - 2, avoided=avoided)


def prefix_for(hosts: int) -> int:
    """The prefix length of a range for that many hosts: never longer than a /24's, so that there is room to grow.

    Raises:
        InvalidInput: none at all, or more than any private range holds.
    """
    if not 1 <= hosts <= MOST_HOSTS:
        raise InvalidInput(f"no CLADNet can hold {hosts} hosts", hint=f"give 1 to {MOST_HOSTS}")
    return min(cidr.RECOMMENDED_PREFIX, 32 - (hosts + 1).bit_length())


def avoidable(in_use: RangesInUse) -> tuple[Avoided, ...]:
    """Every range that a recommendation keeps away from, each once for a reason."""
    by_network: dict[IPv4Network, list[str]] = {}
    for host, networks in in_use.host_networks.items():
        for network in networks:
            by_network.setdefault(network, []).append(host)
    return (
        *(
            Avoided(network=network, reason=Reason.CLADNET, detail=f"CLADNet {name}")
            for name, network in sorted(in_use.cladnets.items(), key=lambda item: item[1])
        ),
        *(
            Avoided(network=network, reason=Reason.HOST_NETWORK, detail=f"own network of {_names(hosts)}")
            for network, hosts in sorted(by_network.items())
        ),
        *(Avoided(network=network, reason=Reason.RESERVED, detail=why) for network, why in cidr.RESERVED.items()),
        *(
            Avoided(network=network, reason=Reason.USUAL, detail="what providers give a network by default")
            for network in cidr.USUAL
            if network not in cidr.RESERVED
        ),
    )


def _names(hosts: list[str]) -> str:
    named = ", ".join(sorted(hosts)[:_NAMED])
    return named if len(hosts) <= _NAMED else f"{named} and {len(hosts) - _NAMED} more"
