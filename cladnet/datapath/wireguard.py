"""WireGuard in the kernel, by generic netlink."""

import base64
import contextlib
import errno
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from ipaddress import AddressValueError, IPv4Address, ip_network
from typing import Any

from pyroute2 import WireGuard
from pyroute2.netlink.exceptions import NetlinkError

from cladnet.datapath import link
from cladnet.datapath.peers import Changes, EndpointAddress, PeerChange, differences, endpoints, told_anew
from cladnet.datapath.protocol import DEFAULT_MTU, OverlayNetwork, Peer, PeerStatus, Tunnel
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
        self._set(private_key=tunnel.private_key, listen_port=tunnel.listen_port)
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
        """One request for each peer: a request is all that pyroute2 can say of one peer.

        Removals come last: an address moves from a host's old key to its next one in one step, and always has a peer.
        """
        for change in changes.changed:
            self._set(peer=_request(change))
        for key in changes.removed:
            self._set(peer={"public_key": key, "remove": True})

    def stats(self) -> tuple[PeerStatus, ...]:
        """The peers as the kernel has them."""
        if link.kind_of(self.interface) != KIND:
            return ()
        with _driver(f"read {self.interface}") as wireguard:
            return merged(wireguard.info(self.interface))

    def down(self) -> None:
        """Remove the interface."""
        link.delete(self.interface)
        self._told = {}

    def _set(self, **settings: Any) -> None:
        with _driver(f"configure {self.interface}") as wireguard:
            wireguard.set(self.interface, **settings)


@contextlib.contextmanager
def _driver(doing: str) -> Iterator[Any]:
    """A connection with the kernel's module; what it refuses becomes HostUnfit."""
    try:
        with WireGuard() as wireguard:
            yield wireguard
    except NetlinkError as error:
        hint = "another program uses the port" if error.code == errno.EADDRINUSE else ""
        raise HostUnfit(f"cannot {doing}: {error.args[-1]}", hint=hint) from error


def _request(change: PeerChange) -> dict[str, Any]:
    peer = change.peer
    request: dict[str, Any] = {
        "public_key": peer.public_key,
        "persistent_keepalive": peer.keepalive_s,
        "replace_allowed_ips": not change.only_adds,
        "allowed_ips": [str(network) for network in peer.allowed],
    }
    if change.endpoint is not None:
        request["endpoint_addr"], request["endpoint_port"] = str(change.endpoint[0]), change.endpoint[1]
    return request


def merged(messages: Iterable[Any]) -> tuple[PeerStatus, ...]:
    """The peers of a dump. The kernel splits it into messages of some 20 to 90 peers, and a peer with many allowed
    addresses over several of them (pyroute2 issue 1212): all are read and put together by key.
    """
    peers: dict[str, PeerStatus] = {}
    for message in messages:
        for item in message.get_attr("WGDEVICE_A_PEERS") or ():
            key = _key(item.get_attr("WGPEER_A_PUBLIC_KEY"))
            allowed = _allowed(item.get_attr("WGPEER_A_ALLOWEDIPS") or ())
            if key in peers:  # the rest of a peer carries its key and its further addresses only
                known = peers[key]
                allowed = (*known.allowed, *allowed)
                peers[key] = PeerStatus(
                    public_key=key, endpoint=known.endpoint, allowed=allowed, keepalive_s=known.keepalive_s,
                    last_handshake=known.last_handshake, received_bytes=known.received_bytes,
                    sent_bytes=known.sent_bytes,
                )  # fmt: skip
                continue
            peers[key] = PeerStatus(
                public_key=key,
                endpoint=_endpoint(item.get_attr("WGPEER_A_ENDPOINT")),
                allowed=allowed,
                keepalive_s=item.get_attr("WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL") or 0,
                last_handshake=_handshake(item.get_attr("WGPEER_A_LAST_HANDSHAKE_TIME")),
                received_bytes=item.get_attr("WGPEER_A_RX_BYTES") or 0,
                sent_bytes=item.get_attr("WGPEER_A_TX_BYTES") or 0,
            )
    return tuple(peers.values())


def _key(value: bytes | str) -> str:
    """pyroute2 gives the key in base64, as bytes; some versions raw."""
    raw = value.encode() if isinstance(value, str) else bytes(value)
    return base64.b64encode(raw).decode() if len(raw) == 32 else raw.decode()


def _allowed(items: Iterable[Any]) -> tuple[OverlayNetwork, ...]:
    return tuple(ip_network(item["addr"]) for item in items)


def _endpoint(value: Any) -> EndpointAddress | None:
    if value is None:
        return None
    try:
        return IPv4Address(value["addr"]), int(value["port"])
    except (AddressValueError, KeyError):
        return None


def _handshake(value: Any) -> datetime | None:
    seconds = value["tv_sec"] if value is not None else 0
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
