"""Measure the latency to peers: ICMP echo over the overlay, many peers at once, a bounded number in flight."""

import asyncio
import contextlib
import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from cladnet.model import PairLatency
from larva.errors import HostUnfit

ECHO_REQUEST, ECHO_REPLY = 8, 0
"""RFC 792"""
PAYLOAD = 48
"""With ICMP's header 56 bytes, as ping(8) sends."""
ANSWER_S = 2.0
"""An echo that takes longer is lost; the other side of the world takes 0.3 s."""
AT_ONCE = 32
_HEADER = struct.Struct("!BBHHH")


@dataclass(frozen=True, slots=True)
class EchoReply:
    """Whose answer to which of our requests."""

    source: IPv4Address
    identifier: int
    sequence: int


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(identifier: int, sequence: int) -> bytes:
    """An ICMP echo request."""
    payload = bytes(PAYLOAD)
    bare = _HEADER.pack(ECHO_REQUEST, 0, 0, identifier, sequence)
    return _HEADER.pack(ECHO_REQUEST, 0, checksum(bare + payload), identifier, sequence) + payload


def parse_reply(packet: bytes) -> EchoReply | None:
    """Read what a raw socket received, IP header included; None if it is no whole echo reply."""
    if len(packet) < 20:
        return None
    start = (packet[0] & 0x0F) * 4
    if packet[0] >> 4 != 4 or len(packet) < start + _HEADER.size:
        return None
    kind, code, _, identifier, sequence = _HEADER.unpack_from(packet, start)
    if kind != ECHO_REPLY or code != 0 or checksum(packet[start:]) != 0:
        return None
    return EchoReply(IPv4Address(packet[12:16]), identifier, sequence)


def summarise(destination: str, address: IPv4Address, sent: int, rtts_ms: Sequence[float]) -> PairLatency:
    """One cell of the matrix from the round-trip times that came back."""
    return PairLatency(
        destination=destination,
        destination_address=address,
        sent=sent,
        received=len(rtts_ms),
        min_ms=round(min(rtts_ms), 3) if rtts_ms else None,
        avg_ms=round(sum(rtts_ms) / len(rtts_ms), 3) if rtts_ms else None,
        max_ms=round(max(rtts_ms), 3) if rtts_ms else None,
    )


def measure(
    peers: Mapping[str, IPv4Address], *, interface: str, trials: int, answer_s: float = ANSWER_S
) -> tuple[PairLatency, ...]:
    """Return the latency to every peer, by name.

    One more echo than `trials` is sent first and not counted: it sets the tunnel's session up.

    Args:
        peers: name → overlay address.
        interface: the echoes leave by this interface or not at all.
        answer_s: seconds after which an echo counts as lost.

    Raises:
        HostUnfit: no right to raw sockets, or no such interface.
    """
    return asyncio.run(_Prober(interface, answer_s).run(peers, trials)) if peers else ()


class _Prober:
    def __init__(self, interface: str, answer_s: float) -> None:
        self._interface = interface
        self._answer_s = answer_s
        self._identifier = int.from_bytes(os.urandom(2))
        self._sequence = 0
        self._waiting: dict[int, tuple[IPv4Address, asyncio.Future[float]]] = {}

    async def run(self, peers: Mapping[str, IPv4Address], trials: int) -> tuple[PairLatency, ...]:
        loop = asyncio.get_running_loop()
        slots = asyncio.Semaphore(AT_ONCE)
        with contextlib.closing(self._open()) as raw:
            loop.add_reader(raw, self._receive, raw)
            try:
                return tuple(
                    await asyncio.gather(
                        *(self._peer(raw, slots, name, address, trials) for name, address in sorted(peers.items()))
                    )
                )
            finally:
                loop.remove_reader(raw)

    def _open(self) -> socket.socket:
        try:
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode())
        except OSError as error:
            raise HostUnfit(f"cannot measure over {self._interface}: {error}", hint="it needs root") from error
        return raw

    async def _peer(
        self, raw: socket.socket, slots: asyncio.Semaphore, name: str, address: IPv4Address, trials: int
    ) -> PairLatency:
        async with slots:
            await self._echo(raw, address)
            rtts = [await self._echo(raw, address) for _ in range(trials)]
        return summarise(name, address, trials, [rtt for rtt in rtts if rtt is not None])

    async def _echo(self, raw: socket.socket, address: IPv4Address) -> float | None:
        """The round-trip time in milliseconds, None if nothing came back in time."""
        self._sequence = sequence = (self._sequence + 1) & 0xFFFF
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[sequence] = (address, answer)
        started = time.perf_counter()
        try:
            raw.sendto(echo_request(self._identifier, sequence), (str(address), 0))
            return (await asyncio.wait_for(answer, self._answer_s) - started) * 1000
        except (TimeoutError, OSError):  # lost; or refused at once: no session with the peer, no route
            return None
        finally:
            self._waiting.pop(sequence, None)

    def _receive(self, raw: socket.socket) -> None:
        while True:
            try:
                packet = raw.recv(2048)
            except OSError:  # nothing left, or a peer's complaint that some request will miss its answer to
                return
            now = time.perf_counter()
            reply = parse_reply(packet)
            if reply is None or reply.identifier != self._identifier:
                continue
            waiting = self._waiting.get(reply.sequence)
            if waiting is not None and waiting[0] == reply.source and not waiting[1].done():
                waiting[1].set_result(now)
