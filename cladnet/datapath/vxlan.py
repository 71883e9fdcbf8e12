"""VXLAN in the kernel, plaintext: for CLADNets whose encryption is off, since their network is private already.

Nothing is learned and nothing is flooded: each peer's overlay addresses are fixed neighbours with a MAC address that
follows from the IPv4 one, each MAC is forwarded to that peer's endpoint, and packets are taken from there only.
"""

import hashlib
import logging
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from cladnet.datapath import link, neighbours, source_filter
from cladnet.datapath.neighbours import Forwarding
from cladnet.datapath.protocol import Peer, PeerStatus, Tunnel
from cladnet.model import DatapathKind

log = logging.getLogger(__name__)

KIND = "vxlan"
OVERHEAD = 50
"""Bytes: outer IPv4 20, UDP 8, VXLAN 8, inner Ethernet 14 (RFC 7348)."""


class Vxlan:
    """Datapath over the kernel's VXLAN device."""

    kind = DatapathKind.VXLAN

    def __init__(self, interface: str) -> None:
        self.interface = interface
        self._port: int | None = None

    def up(self, tunnel: Tunnel) -> None:
        """Create the device unless it is there as it should be, with nobody let in yet, and configure it."""
        own = next(each for each in tunnel.addresses if isinstance(each, IPv4Interface))
        settings = {"vxlan_id": network_number(tunnel.group), "vxlan_port": tunnel.listen_port, "vxlan_learning": 0}
        if link.kind_of(self.interface) != KIND or link.settings_of(self.interface, settings) != settings:
            link.delete(self.interface)  # another data path's, or another network's
            source_filter.apply(self.interface, tunnel.listen_port, {})
            link.create(self.interface, KIND, **settings)
        self._port = tunnel.listen_port
        link.set_mac(self.interface, neighbours.mac_of(own.ip))
        link.ignore_routers(self.interface)
        link.configure(self.interface, tunnel.addresses, tunnel.mtu or link.underlay_mtu() - OVERHEAD)

    def sync(self, peers: Sequence[Peer]) -> None:
        """Let in who should be and forward to them; who left is neither heard nor spoken to."""
        wanted = forwarding(peers)
        sources = {address: each.endpoint[0] for address, each in wanted.items()}
        if self._port is not None and source_filter.look(self.interface) != sources:
            source_filter.apply(self.interface, self._port, sources)
        neighbours.have(self.interface, wanted)

    def stats(self) -> tuple[PeerStatus, ...]:
        """The peers as the kernel has them: without keys, handshakes and counters, of which VXLAN has none."""
        if link.kind_of(self.interface) != KIND:
            return ()
        return tuple(
            PeerStatus(
                public_key="", endpoint=each.endpoint, allowed=tuple(sorted(each.networks, key=str)), keepalive_s=0,
                last_handshake=None, received_bytes=0, sent_bytes=0,
            )
            for _, each in sorted(neighbours.look(self.interface).items())
        )  # fmt: skip

    def down(self) -> None:
        """Remove the device, and the filter after it."""
        link.delete(self.interface)
        source_filter.remove(self.interface)
        self._port = None


def network_number(group: str) -> int:
    """The VXLAN network identifier of a CLADNet: 24 bits, never 0.

    Two CLADNets could have the same; on one host they differ by their ports as well.
    """
    return 1 + int.from_bytes(hashlib.sha256(group.encode()).digest()[:8]) % ((1 << 24) - 1)


def forwarding(peers: Sequence[Peer]) -> dict[IPv4Address, Forwarding]:
    """IPv4 overlay address → where its packets go; a peer whose endpoint nobody knows cannot be reached this way."""
    found = {}
    for peer in peers:
        own = next((each for each in peer.allowed if isinstance(each, IPv4Network)), None)
        if own is not None and peer.endpoint is not None:
            found[own.network_address] = Forwarding(endpoint=peer.endpoint, networks=frozenset(peer.allowed))
    return found
