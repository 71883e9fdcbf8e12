"""WireGuard in the kernel, by generic netlink."""

import contextlib
import errno
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from cladnet.datapath import link
from cladnet.datapath.netlink import KernelRefused
from cladnet.datapath.peers import Changes, differences, endpoints, told_anew
from cladnet.datapath.protocol import DEFAULT_MTU, Peer, PeerStatus, Tunnel
from cladnet.datapath.wireguard_genl import WireguardDevices
from cladnet.model import DatapathKind
from larva.errors import HostUnfit

KIND = "wireguard"


class KernelWireguard:
    """Datapath over the kernel's module."""

    kind = DatapathKind.WIREGUARD

    def __init__(self, interface: str) -> None:
        self.interface = interface
        self._told: dict[str, Peer] = {}

    def up(self, tunnel: Tunnel) -> None:
        """Create the interface unless it is there, and configure it."""
        found = link.kind_of(self.interface)
        if found is not None and found != KIND:  # another data path's
            link.delete(self.interface)
        link.create(self.interface, KIND)
        with _driver(f"configure {self.interface}") as devices:
            devices.configure(self.interface, tunnel.private_key, tunnel.listen_port)
        link.configure(self.interface, tunnel.addresses, tunnel.mtu or DEFAULT_MTU)

    def sync(self, peers: Sequence[Peer]) -> None:
        """Tell the kernel what differs."""
        self._carry_out(differences(peers, self.stats(), endpoints(self._told), datetime.now(UTC)))
        self._told = {peer.public_key: peer for peer in peers}

    def change(self, changed: Sequence[Peer], removed: Sequence[str]) -> None:
        """Tell the kernel of these peers only."""
        self._carry_out(told_anew(changed, removed, self._told))
        for key in removed:
            self._told.pop(key, None)
        self._told.update((peer.public_key, peer) for peer in changed)

    def _carry_out(self, changes: Changes) -> None:
        if changes.changed or changes.removed:
            with _driver(f"configure {self.interface}") as devices:
                devices.change(self.interface, changes)

    def stats(self) -> tuple[PeerStatus, ...]:
        """The peers as the kernel has them."""
        if link.kind_of(self.interface) != KIND:
            return ()
        with _driver(f"read {self.interface}") as devices:
            return devices.peers(self.interface)

    def down(self) -> None:
        """Remove the interface."""
        link.delete(self.interface)
        self._told = {}


@contextlib.contextmanager
def _driver(doing: str) -> Iterator[WireguardDevices]:
    """A connection with the kernel's module; what it refuses becomes HostUnfit."""
    try:
        with WireguardDevices() as devices:
            yield devices
    except KernelRefused as error:
        hint = "another program uses the port" if error.errno == errno.EADDRINUSE else ""
        raise HostUnfit(f"cannot {doing}: {error.strerror}", hint=hint) from error
    except OSError as error:
        raise HostUnfit(f"cannot {doing}: no netlink socket: {error.strerror or error}") from error
