"""The messages of the old service (package cbnet.v1), by the names of their proto fields."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CladnetSpecification:
    """A CLADNet."""

    cladnet_id: str = ""
    name: str = ""
    ipv4_address_space: str = ""
    description: str = ""
    rule_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CladnetSpecifications:
    """Every CLADNet."""

    cladnet_specifications: tuple[CladnetSpecification, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionResult:
    """What became of a deletion."""

    is_succeeded: bool = False
    message: str = ""
    cladnet_specification: CladnetSpecification | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ipv4Cidrs:
    """Networks in use, as 10.10.5.2/16."""

    ipv4_cidrs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AvailableAddressSpaces:
    """Free private ranges, of each size one, small ones first; and the one to take."""

    recommended_ipv4_private_address_space: str = ""
    address_space10s: tuple[str, ...] = ()
    address_space172s: tuple[str, ...] = ()
    address_space192s: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudInformation:
    """Where a peer runs, in its provider's words."""

    provider_name: str = ""
    region_id: str = ""
    availability_zone_id: str = ""
    virtual_network_id: str = ""
    subnet_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A host of a CLADNet."""

    cladnet_id: str = ""
    host_id: str = ""
    host_name: str = ""
    host_private_ipv4_cidr: str = ""
    host_private_ip: str = ""
    host_public_ip: str = ""
    ipv4_cidr: str = ""
    ip: str = ""
    state: str = ""
    details: CloudInformation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Peers:
    """The hosts of a CLADNet."""

    peers: tuple[Peer, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateDetailsRequest:
    """What is known of a peer's cloud."""

    cloud_information: CloudInformation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkingRule:
    """How one host reaches the others: columns of a table, a row a peer."""

    cladnet_id: str = ""
    host_id: tuple[str, ...] = ()
    host_name: tuple[str, ...] = ()
    peer_ip: tuple[str, ...] = ()
    selected_ip: tuple[str, ...] = ()
    peer_scope: tuple[str, ...] = ()
    state: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TestRequest:
    """A test; the specification is JSON in a string."""

    __test__ = False  # not a pytest class

    test_spec: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a command or a test (ControlResponse, TestResponse)."""

    is_succeeded: bool = False
    message: str = ""
