"""A host of the system as it is now: the values that the doctor judges and `larva agent status` shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from cladnet.datapath.link import LinkState
from cladnet.model import DatapathKind, Encryption, HostState, Role
from cladnet.quality import Alarm


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCondition:
    """One peer as this host has it."""

    host: str
    address: IPv4Address
    address6: IPv6Address | None = None
    state: HostState
    """What the controller says of it."""
    endpoint: tuple[IPv4Address, int] | None
    """Where it was last heard; before that, where it should be."""
    last_handshake: datetime | None = None
    received_bytes: int = 0
    sent_bytes: int = 0
    in_datapath: bool = True
    rtt_ms: float | None = None
    """Mean of ten minutes, by the agent; None where it measured nothing lately."""
    loss: float | None = None
    """Lost part within ten minutes, 0 to 1."""
    has_handshakes: bool = True
    """Whether the data path has any; without them only an echo shows that the peer is there."""
    answers: bool | None = None
    """Whether it answered an echo over the CLADNet; None where none was sent, since the handshake is recent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CladnetCondition:
    """One CLADNet of this host."""

    group: str
    name: str
    interface: str
    listen_port: int
    from_cache: bool
    """etcd does not tell: this is what it told last."""
    cidr: IPv4Network | None
    address: IPv4Address | None
    """By the networking rule; None while there is none."""
    cidr6: IPv6Network | None = None
    address6: IPv6Address | None = None
    ipv6_problem: str = ""
    """Why this host has no IPv6 address in a CLADNet that has them."""
    should_be_up: bool
    asked_down: bool = False
    """Somebody asked for it: `larva net down`."""
    problem: str = ""
    """Why this host cannot be in it, as the controller judges."""
    public_address: IPv4Address | None = None
    link: LinkState | None = None
    datapath: DatapathKind | None = None
    """What carries the packets now."""
    datapath_why: str = ""
    encryption: Encryption = Encryption.ON
    datapath_problem: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    """Host → why its rule, which is in etcd, does not count."""
    peers: tuple[PeerCondition, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    """Raised by the agent; none where it has not measured lately."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCondition:
    """This host."""

    host: str
    roles: tuple[Role, ...]
    server: str
    looked_at: datetime
    etcd: Mapping[str, str]
    """Endpoint → why it does not answer; empty where it does."""
    removed: bool = False
    """etcd answers and knows no such host."""
    clock_ahead_s: float | None = None
    """None where the console does not answer."""
    console_problem: str = ""
    certificate_until: datetime | None = None
    """None where there is none to read."""
    servers_until: Mapping[str, datetime] = field(default_factory=dict)
    """On a control node: what a certificate of its servers is for → when it ends."""
    units: Mapping[str, str] = field(default_factory=dict)
    """systemd unit of this host's roles → its ActiveState; none where systemd does not run."""
    firewall_loaded: bool | None = None
    """None where the appliance's firewall is not installed."""
    cladnets: tuple[CladnetCondition, ...] = ()
