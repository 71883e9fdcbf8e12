"""A data path that carries nothing, but costs its process what the kernel's WireGuard costs."""

from collections.abc import Sequence

from cladnet.datapath import wireguard_genl
from cladnet.datapath.peers import Changes, told_anew
from cladnet.datapath.protocol import Peer, PeerStatus, Tunnel
from cladnet.model import DatapathKind


class Nowhere:
    """Requests are written and thrown away, and every peer has been heard of by nobody."""

    kind = DatapathKind.WIREGUARD

    def __init__(self, interface: str) -> None:
        self.interface = interface
        self._told: dict[str, Peer] = {}

    def up(self, tunnel: Tunnel) -> None:
        """Nothing is there to be configured."""

    def sync(self, peers: Sequence[Peer]) -> None:
        """Have exactly these."""
        names = {peer.public_key for peer in peers}
        self.change(peers, [key for key in self._told if key not in names])

    def change(self, changed: Sequence[Peer], removed: Sequence[str]) -> None:
        """Have these, and those no more."""
        self._write(told_anew(changed, removed, self._told))
        for key in removed:
            self._told.pop(key, None)
        self._told.update((peer.public_key, peer) for peer in changed)

    def _write(self, changes: Changes) -> None:
        for _ in wireguard_genl.peer_requests(self.interface, changes):
            pass

    def stats(self) -> tuple[PeerStatus, ...]:
        """The peers as they were told."""
        return tuple(
            PeerStatus(
                public_key=peer.public_key, endpoint=peer.endpoint, allowed=peer.allowed, keepalive_s=peer.keepalive_s,
                last_handshake=None, received_bytes=0, sent_bytes=0,
            )
            for peer in self._told.values()
        )  # fmt: skip

    def down(self) -> None:
        """Have none."""
        self._told = {}
