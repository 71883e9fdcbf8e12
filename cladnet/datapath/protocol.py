"""What every data path can do, and the values it is told."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from typing import Protocol, runtime_checkable

from cladnet.model import DatapathKind

DEFAULT_MTU = 1420
"""What WireGuard's 60 or 80 bytes leave of 1500 (wg-quick's default)."""


OverlayInterface = IPv4Interface | IPv6Interface
OverlayNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """This host's end: its interface as it should be."""

    group: str
    """The CLADNet's id, by which a data path without keys tells networks apart."""
    addresses: tuple[OverlayInterface, ...]
    """The overlay addresses with the CLADNet's prefix lengths: one of IPv4, and perhaps one of IPv6."""
    private_key: str = field(repr=False)
    """32 bytes, base64."""
    listen_port: int
    mtu: int | None = None
    """None takes what the data path's own bytes leave of the underlay's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another host as this one should reach it."""

    public_key: str
    """32 bytes, base64."""
    endpoint: tuple[IPv4Address, int] | None
    """Underlay address and UDP port; None waits for the peer to speak first."""
    allowed: tuple[OverlayNetwork, ...]
    """Overlay addresses that are its own."""
    keepalive_s: int = 0
    """0 sends none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """A peer as the data path has it now."""

    public_key: str
    """Empty where the data path knows none: its overlay address says who it is."""
    endpoint: tuple[IPv4Address, int] | None
    """Where it was last heard, which may differ from what it was told: peers roam."""
    allowed: tuple[OverlayNetwork, ...]
    keepalive_s: int
    last_handshake: datetime | None
    received_bytes: int
    sent_bytes: int


class Datapath(Protocol):
    """One interface of this host; every call may be repeated and finds the state by itself.

    Every method raises HostUnfit, or Unavailable, when the driver cannot do what was asked.
    """

    kind: DatapathKind
    interface: str

    def up(self, tunnel: Tunnel) -> None:
        """Have the interface as `tunnel` says; one that exists is adopted without losing a packet."""

    def sync(self, peers: Sequence[Peer]) -> None:
        """Have exactly these peers; those that are right already are not touched."""

    def stats(self) -> tuple[PeerStatus, ...]:
        """The peers as they are; none when the interface is not there."""
        ...

    def down(self) -> None:
        """Remove the interface and all that belongs to it; no error when it is gone already."""


@runtime_checkable
class Selective(Datapath, Protocol):
    """A data path that can change some peers without looking at the others, which costs the same among a thousand."""

    def change(self, changed: Sequence[Peer], removed: Sequence[str]) -> None:
        """Have these peers, and those of the removed keys no more; only after sync()."""
