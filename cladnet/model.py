"""The values that travel through etcd: CLADNets, hosts, rules, status."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Network
from typing import Annotated

from msgspec import Meta

from cladnet.trust.kinds import signed_by_ca, signed_by_host

Port = Annotated[int, Meta(ge=1, le=65535)]
"""A UDP port."""
Moment = Annotated[datetime, Meta(tz=True)]
"""A point in time with its zone; one without could not be compared."""

LONGEST_FACT = 1024
Fact = Annotated[str, Meta(max_length=LONGEST_FACT)]
"""A provider's name for something; Azure's run to some 250 characters. It goes into a rule that every host reads."""


ADDRESS_QUARANTINE_S = 3600.0
"""Long enough for caches of addresses outside the network, and for a host that was cut off to come back."""


class RuleType(StrEnum):
    """How a host chooses the endpoint by which it reaches a peer."""

    BASIC = "basic"
    """Always the peer's public address."""
    COST_PRIORITIZED = "cost-prioritized"
    """The private address when both are in one network of one provider, as the provider bills; else the public one."""


class DatapathKind(StrEnum):
    """Which driver carries the packets."""

    AUTO = "auto"
    """The first that this host's kernel and programs offer, in the order below, of those that encryption allows."""
    WIREGUARD = "wireguard"
    """WireGuard in the kernel."""
    WIREGUARD_GO = "wireguard-go"
    """WireGuard in a supervised user-space program, for kernels without the module."""
    VXLAN = "vxlan"
    """VXLAN in the kernel: plaintext, and only where encryption is off."""


class Encryption(StrEnum):
    """Whether the packets of a CLADNet are encrypted between its hosts."""

    ON = "on"
    OFF = "off"
    """For hosts that share a private network already; see cladnet/encryption.py."""


class Role(StrEnum):
    """What a VM of the appliance does; user-data chooses, one VM may have several."""

    CONTROL = "control"
    """etcd, controller, console and enrolment."""
    STORAGE = "storage"
    """Gives disks to the storage cluster and runs its daemons."""
    MEMBER = "member"
    """Is in the CLADNet and mounts volumes."""
    GATEWAY = "gateway"
    """Shares volumes with Windows and others by SMB."""


class CladnetState(StrEnum):
    """Whether a CLADNet is in use or being emptied."""

    ACTIVE = "active"
    DELETING = "deleting"


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class CladnetSpecification:
    """A CLADNet as its creator wants it: `configuration-information/{group}`."""

    id: str
    name: str
    cidr: IPv4Network
    cidr6: IPv6Network | None = None
    """A private /64 in which every host has a second address; None without IPv6. The underlay is IPv4 in any case."""
    description: str = ""
    rule_type: RuleType = RuleType.COST_PRIORITIZED
    datapath: DatapathKind = DatapathKind.AUTO
    encryption: Encryption = Encryption.ON
    address_quarantine_s: float = ADDRESS_QUARANTINE_S
    """How long a released address is kept from other hosts than the one that had it."""
    withheld_to: IPv4Address | None = None
    """Since the system was restored from a backup: no newcomer gets an address up to this one. Hosts that joined after
    the backup was taken may still use them; `larva control release` ends it."""
    state: CladnetState = CladnetState.ACTIVE
    created_at: Moment
    version: Annotated[int, Meta(ge=0, le=2**53)] = 0
    """Grows with every change: agents take up no earlier one again, whoever writes it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudFacts:
    """Where a VM runs, in its provider's own words; empty where nobody told."""

    provider: Fact = ""
    region: Fact = ""
    zone: Fact = ""
    network_id: Fact = ""
    """The VPC, VNet or virtual network."""
    subnet_id: Fact = ""


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class CloudOverride:
    """Where a host is, by a platform that knows better than the host: `cloud-override/{group}/{host}`."""

    cloud: CloudFacts


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkInterface:
    """One interface of the host and its IPv4 addresses."""

    name: str
    mtu: int
    addresses: tuple[IPv4Interface, ...] = ()


@signed_by_host
@dataclass(frozen=True, slots=True, kw_only=True)
class HostNetworkInformation:
    """What a host knows of itself: `host-network-information/{group}/{host}`, written by that host only."""

    host: str
    public_address: IPv4Address | None
    """The address the internet sees; None while nobody could tell."""
    interfaces: tuple[NetworkInterface, ...]
    listen_port: Port
    """UDP port of the tunnel, the same inside and outside."""
    public_key: str
    """WireGuard public key: 32 bytes, base64."""
    seal_key: str
    """Curve25519 public key to which secrets for this host are sealed: 32 bytes, base64."""
    cloud: CloudFacts = field(default_factory=CloudFacts)
    roles: tuple[Role, ...] = (Role.MEMBER,)
    agent_version: str = ""
    has_ipv6: bool = False
    """Whether its kernel gives interfaces IPv6 addresses."""
    networks6: tuple[IPv6Network, ...] = ()
    """The IPv6 networks that it sits in by its own interfaces."""
    next_public_key: str = ""
    """The WireGuard public key that it is going to have; empty while it keeps the present one."""
    certificate: str = ""
    """Its client certificate (DER, base64), with whose key this is signed."""


class EndpointKind(StrEnum):
    """What kind of address a candidate endpoint is."""

    PRIVATE = "private"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An address and UDP port at which a host may be reached, and the network it holds in."""

    kind: EndpointKind
    address: IPv4Address
    port: Port
    network: IPv4Network | None = None
    """For a private endpoint: the subnet the address lies in."""


class HostState(StrEnum):
    """What the controller says of a host."""

    ACTIVE = "active"
    UNREACHABLE = "unreachable"
    """Its presence has vanished; peers keep it."""
    DOWN = "down"
    """Somebody asked it to leave the data path for now."""


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkingRule:
    """How to reach one host: `networking-rule/{group}/{host}`, written by the controller."""

    host: str
    address: IPv4Address
    """Its address in the CLADNet."""
    address6: IPv6Address | None = None
    """Its IPv6 address there, which follows from the other; None where the CLADNet or the host has no IPv6."""
    public_key: str
    endpoints: tuple[Endpoint, ...]
    cloud: CloudFacts
    state: HostState = HostState.ACTIVE
    next_public_key: str = ""
    """The WireGuard public key that it is going to have; empty while it keeps the present one."""
    certificate: str = field(default="", compare=False)
    """Serial number (hexadecimal) of the host's certificate: once it is revoked, so is this rule."""
    valid_until: Moment | None = field(default=None, compare=False)
    """Nobody believes it anew after that; the controller renews it at half-time. Each renewal's is later."""


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedAddress:
    """What is left of an address's claim, so that it rests: `released-address/{group}/{ip}`."""

    host: str
    """Who had it, and gets it back."""
    released_at: Moment


class Command(StrEnum):
    """What a host's agent should do with its interface."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlCommand:
    """`control-command/{group}/{host}`."""

    command: Command


@dataclass(frozen=True, slots=True, kw_only=True)
class TestSpecification:
    """A status test that every agent of the CLADNet should run once: `status/test-specification/{group}`."""

    __test__ = False  # not a pytest class

    id: str
    trials: int
    """Echo requests per peer."""
    asked_at: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLatency:
    """One cell of the matrix: from the writing host to `destination`. Milliseconds; None when nothing came back."""

    destination: str
    destination_address: IPv4Address
    sent: int
    received: int
    min_ms: float | None = None
    avg_ms: float | None = None
    max_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostStatus:
    """One host's row of the latency matrix: `status/information/{group}/{host}`."""

    host: str
    test_id: str
    measured_at: Moment
    interface: str
    datapath: str
    latencies: tuple[PairLatency, ...]


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledHost:
    """Who holds a client certificate: `larva/host/{host}`."""

    host: str
    groups: tuple[str, ...]
    """The CLADNets it is in; its agent watches this and serves each."""
    roles: tuple[Role, ...]
    certificate_serial: str
    """Hexadecimal."""
    enrolled_at: Moment
    key_digest: str = ""
    """SHA-256 of its public key (DER, hexadecimal): who holds that key may have the certificate issued anew."""
    token_digest: str = ""
    """SHA-256 of the token's secret that it was enrolled with; empty for the node that founded the system."""
    earlier_serials: tuple[str, ...] = ()
    """Of certificates that were issued before for the same key, and are good until they end."""
    user: str = ""
    """Its name in etcd, which is the common name of its certificate; the host's own where this is empty."""


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedCertificate:
    """A certificate that etcd should not accept any more: `larva/revoked/{serial}`."""

    host: str
    revoked_at: Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlNode:
    """One control node and how it is reached."""

    host: str
    server: str
    """Its console's URL."""
    etcd_endpoint: str
    peer_url: str
    """Where the other members of etcd reach it."""
    ready: bool = True
    """Whether its etcd is a full member; until then nobody is sent there."""
    cloud: CloudFacts = field(default_factory=CloudFacts)


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationList:
    """Every certificate that is good no more and would not have ended by itself yet: `larva/revocations`."""

    number: int
    """Grows with every change: who knows a higher one believes no lower one."""
    serials: dict[str, Moment]
    """Serial number (hexadecimal) → when it was revoked."""


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlane:
    """How hosts reach the control plane: `larva/control-plane`, written by the control nodes."""

    server: str
    """The console's URL, reachable from every cloud."""
    ca: str
    """Fingerprint of the system's CA: `sha256:` and the digest of its DER in hexadecimal."""
    etcd_endpoints: tuple[str, ...]
    """Of the control nodes that are ready: where clients go."""
    nodes: tuple[ControlNode, ...] = ()
    """Every control node, in the order of its coming; those that only join too."""

    @property
    def servers(self) -> tuple[str, ...]:
        """Every console that answers for the system, `server` first."""
        return tuple(dict.fromkeys((self.server, *(node.server for node in self.nodes if node.ready))))


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentToken:
    """Buys client certificates for new hosts: `larva/token/{sha256}`. The secret itself is kept nowhere."""

    group: str
    """The CLADNet that its bearers join; empty where they join none, as a control node may."""
    roles: tuple[Role, ...]
    """Roles a bearer may take at most."""
    expires_at: Moment
    uses_left: int
    host: str = ""
    """The only host that may use it; empty leaves the name to the bearer."""
