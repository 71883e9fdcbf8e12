"""The language of the kernel's WireGuard: generic netlink (linux/genetlink.h, linux/wireguard.h)."""

import base64
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Network

from cladnet import curve25519
from cladnet.datapath.netlink import Message, Netlink, attribute, attributes, listed, nested, text
from cladnet.datapath.peers import Changes, EndpointAddress, PeerChange
from cladnet.datapath.protocol import OverlayNetwork, PeerStatus

FAMILY = "wireguard"
_GENERIC = 16
"""NETLINK_GENERIC"""
_CONTROL, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 0x10, 3, 1, 2
"""GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME"""
_HEAD = struct.Struct("=BBH")
"""struct genlmsghdr: command, version, reserved"""
_GET_DEVICE, _SET_DEVICE, _VERSION = 0, 1, 1
_DEVICE_NAME, _DEVICE_PRIVATE_KEY, _DEVICE_LISTEN_PORT, _DEVICE_PEERS = 2, 3, 6, 8
_PEER_PUBLIC_KEY, _PEER_FLAGS, _PEER_ENDPOINT, _PEER_KEEPALIVE = 1, 3, 4, 5
_PEER_HANDSHAKE, _PEER_RECEIVED, _PEER_SENT, _PEER_ALLOWED = 6, 7, 8, 9
_REMOVE, _REPLACE_ALLOWED = 0x1, 0x2
"""WGPEER_F_REMOVE_ME, WGPEER_F_REPLACE_ALLOWEDIPS"""
_ALLOWED_FAMILY, _ALLOWED_ADDRESS, _ALLOWED_LENGTH = 1, 2, 3
_ENDPOINT4 = struct.Struct("=H2s4s8x")
"""struct sockaddr_in: family, port in network order, address"""
_PORT = struct.Struct("!H")
_MOST_BYTES = 16_384
"""Of peers in one request; an attribute, and all peers are in one, holds 65,531."""


class WireguardDevices(Netlink):
    """The kernel's WireGuard interfaces; KernelRefused, with its errno, where it refuses: ENOENT without the module."""

    def __init__(self) -> None:
        super().__init__(_GENERIC)
        self._family = 0

    def _kind(self) -> int:
        """The number that this kernel gave to the family."""
        if not self._family:
            asked = _HEAD.pack(_GET_FAMILY, 1, 0) + attribute(_FAMILY_NAME, text(FAMILY))
            found = attributes(self.get(_CONTROL, asked).body[_HEAD.size :])
            (self._family,) = struct.unpack("=H", found[_FAMILY_ID])
        return self._family

    def configure(self, interface: str, private_key: str, listen_port: int) -> None:
        """Have this key (32 bytes, base64) and this UDP port."""
        self.do(self._kind(), device_request(interface, private_key, listen_port))

    def change(self, interface: str, changes: Changes) -> None:
        """Change and remove peers; the others are not touched.

        Removals come last: an address moves from a host's old key to its next one in one step, and always has a peer.
        """
        for request in peer_requests(interface, changes):
            self.do(self._kind(), request)

    def peers(self, interface: str) -> tuple[PeerStatus, ...]:
        """Every peer as it is now."""
        asked = _HEAD.pack(_GET_DEVICE, _VERSION, 0) + attribute(_DEVICE_NAME, text(interface))
        return merged(self.dump(self._kind(), asked))


def device_request(interface: str, private_key: str, listen_port: int) -> bytes:
    """Say what the device itself should be like."""
    return (
        _HEAD.pack(_SET_DEVICE, _VERSION, 0)
        + attribute(_DEVICE_NAME, text(interface))
        + attribute(_DEVICE_PRIVATE_KEY, curve25519.raw(private_key))
        + attribute(_DEVICE_LISTEN_PORT, struct.pack("=H", listen_port))
    )


def peer_requests(interface: str, changes: Changes) -> Iterator[bytes]:
    """Say what changes of the peers, in as few requests as hold it."""
    head = _HEAD.pack(_SET_DEVICE, _VERSION, 0) + attribute(_DEVICE_NAME, text(interface))
    batch: list[bytes] = []
    for peer in (*map(_peer, changes.changed), *map(_removal, changes.removed)):
        if batch and sum(map(len, batch)) + len(peer) > _MOST_BYTES:
            yield head + nested(_DEVICE_PEERS, *batch)
            batch = []
        batch.append(peer)
    if batch:
        yield head + nested(_DEVICE_PEERS, *batch)


def _peer(change: PeerChange) -> bytes:
    told = [
        attribute(_PEER_PUBLIC_KEY, curve25519.raw(change.peer.public_key)),
        attribute(_PEER_FLAGS, struct.pack("=I", 0 if change.only_adds else _REPLACE_ALLOWED)),
        attribute(_PEER_KEEPALIVE, struct.pack("=H", change.peer.keepalive_s)),
    ]
    if change.endpoint is not None:
        address, port = change.endpoint
        told.append(attribute(_PEER_ENDPOINT, _ENDPOINT4.pack(socket.AF_INET, _PORT.pack(port), address.packed)))
    return nested(0, *told, nested(_PEER_ALLOWED, *map(_allowed, change.peer.allowed)))


def _removal(public_key: str) -> bytes:
    key = attribute(_PEER_PUBLIC_KEY, curve25519.raw(public_key))
    return nested(0, key, attribute(_PEER_FLAGS, struct.pack("=I", _REMOVE)))


def _allowed(network: OverlayNetwork) -> bytes:
    return nested(
        0,
        attribute(_ALLOWED_FAMILY, struct.pack("=H", socket.AF_INET if network.version == 4 else socket.AF_INET6)),
        attribute(_ALLOWED_ADDRESS, network.network_address.packed),
        attribute(_ALLOWED_LENGTH, struct.pack("=B", network.prefixlen)),
    )


def merged(messages: Iterable[Message]) -> tuple[PeerStatus, ...]:
    """The peers of a dump. The kernel splits it into messages of some 20 to 90 peers, and a peer with many allowed
    addresses over several of them: all are read and put together by key.
    """
    peers: dict[str, PeerStatus] = {}
    for message in messages:
        device = attributes(message.body[_HEAD.size :])
        for _, data in listed(device.get(_DEVICE_PEERS, b"")):
            found = _read_peer(attributes(data))
            known = peers.get(found.public_key)
            peers[found.public_key] = found if known is None else _continued(known, found.allowed)
    return tuple(peers.values())


def _continued(known: PeerStatus, allowed: tuple[OverlayNetwork, ...]) -> PeerStatus:
    """The rest of a peer carries its key and its further addresses only."""
    return PeerStatus(
        public_key=known.public_key, endpoint=known.endpoint, allowed=(*known.allowed, *allowed),
        keepalive_s=known.keepalive_s, last_handshake=known.last_handshake, received_bytes=known.received_bytes,
        sent_bytes=known.sent_bytes,
    )  # fmt: skip


def _read_peer(found: dict[int, bytes]) -> PeerStatus:
    return PeerStatus(
        public_key=base64.b64encode(found[_PEER_PUBLIC_KEY]).decode(),
        endpoint=_endpoint(found.get(_PEER_ENDPOINT, b"")),
        allowed=tuple(_read_allowed(data) for _, data in listed(found.get(_PEER_ALLOWED, b""))),
        keepalive_s=_number(found.get(_PEER_KEEPALIVE, b"")),
        last_handshake=_handshake(found.get(_PEER_HANDSHAKE, b"")),
        received_bytes=_number(found.get(_PEER_RECEIVED, b"")),
        sent_bytes=_number(found.get(_PEER_SENT, b"")),
    )


def _read_allowed(data: bytes) -> OverlayNetwork:
    found = attributes(data)
    address, length = found[_ALLOWED_ADDRESS], found[_ALLOWED_LENGTH][0]
    return IPv4Network((address, length)) if len(address) == 4 else IPv6Network((address, length))


def _endpoint(value: bytes) -> EndpointAddress | None:
    if len(value) != _ENDPOINT4.size:  # of IPv6, or not known yet
        return None
    _, port, address = _ENDPOINT4.unpack(value)
    return IPv4Address(address), _PORT.unpack(port)[0]


def _handshake(value: bytes) -> datetime | None:
    """struct __kernel_timespec: seconds and nanoseconds, 64 bits each."""
    seconds = _number(value[:8])
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def _number(value: bytes) -> int:
    return int.from_bytes(value, sys.byteorder)
