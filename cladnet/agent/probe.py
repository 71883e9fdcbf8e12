"""Measure the latency to peers: ICMP echo over the overlay, many peers at once, a bounded number in flight."""

import asyncio
import contextlib
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Self

from cladnet.model import PairLatency
from cladnet.status_pace import ANSWER_S, AT_ONCE, HOST_ECHOES_S, LOST_GAP_S
from larva.errors import HostUnfit

ECHO_REQUEST, ECHO_REPLY = 8, 0
"""RFC 792"""
PAYLOAD = 48
"""With ICMP's header 56 bytes, as ping(8) sends."""
_LOOK_S = 0.1
"""How often a measurement looks whether it should be given up."""
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


class GivenUp(Exception):
    """A measurement that nobody wants any more."""


def measure(
    peers: Mapping[str, IPv4Address],
    *,
    interface: str,
    trials: int,
    answer_s: float = ANSWER_S,
    unwanted: Callable[[], bool] = lambda: False,
) -> tuple[PairLatency, ...]:
    """Return the latency to every peer, by name.

    One more echo than `trials` is sent first and not counted: it sets the tunnel's session up. A peer that answers is
    asked once at a time; from the first loss on the rest is sent side by side, so that a silent one costs
    2 · answer_s + trials · LOST_GAP_S at most.

    Args:
        peers: name → overlay address.
        interface: the echoes leave by this interface or not at all.
        answer_s: seconds after which an echo counts as lost.
        unwanted: looked at meanwhile; the measurement is given up when it says so.

    Raises:
        HostUnfit: no right to raw sockets, or no such interface.
        GivenUp: it became unwanted.
    """
    return asyncio.run(_measure(peers, interface, trials, answer_s, unwanted)) if peers else ()


async def _measure(
    peers: Mapping[str, IPv4Address], interface: str, trials: int, answer_s: float, unwanted: Callable[[], bool]
) -> tuple[PairLatency, ...]:
    slots = asyncio.Semaphore(AT_ONCE)
    with Echoes(interface, answer_s) as echoes:
        pace = Pace(HOST_ECHOES_S)

        async def measured() -> list[PairLatency]:
            return await asyncio.gather(
                *(_peer(echoes, pace, slots, name, address, trials) for name, address in sorted(peers.items()))
            )

        everything = asyncio.create_task(measured())
        while not everything.done():
            await asyncio.wait([everything], timeout=_LOOK_S)
            if not everything.done() and unwanted():
                everything.cancel()
                await asyncio.wait([everything])
                raise GivenUp
        return tuple(everything.result())


async def _peer(
    echoes: "Echoes", pace: "Pace", slots: asyncio.Semaphore, name: str, address: IPv4Address, trials: int
) -> PairLatency:
    async with slots:
        await pace.turn()
        rtts: list[float | None] = []
        answers = await echoes.send(address) is not None
        while answers and len(rtts) < trials:
            await pace.turn()
            rtts.append(await echoes.send(address))
            answers = rtts[-1] is not None
        rtts += await _side_by_side(echoes, pace, address, trials - len(rtts))
    return summarise(name, address, trials, [rtt for rtt in rtts if rtt is not None])


async def _side_by_side(echoes: "Echoes", pace: "Pace", address: IPv4Address, count: int) -> list[float | None]:
    async with asyncio.TaskGroup() as group:
        sent = []
        for _ in range(count):
            await pace.turn()
            sent.append(group.create_task(echoes.send(address)))
            await asyncio.sleep(LOST_GAP_S)
    return [task.result() for task in sent]


class Pace:
    """Lets through so many a second, one after the other."""

    def __init__(self, per_s: float) -> None:
        self._gap = 1 / per_s
        self._next = 0.0

    async def turn(self) -> None:
        """Return when it is the caller's turn."""
        now = asyncio.get_running_loop().time()
        self._next = max(now, self._next) + self._gap
        await asyncio.sleep(self._next - self._gap - now)


class Echoes:
    """Sends echo requests over one interface and tells what came back; inside a running event loop.

    Raises:
        HostUnfit: on entering: no right to raw sockets, or no such interface.
    """

    def __init__(self, interface: str, answer_s: float = ANSWER_S) -> None:
        self._interface = interface
        self._answer_s = answer_s
        self._identifier = int.from_bytes(os.urandom(2))
        self._sequence = 0
        self._waiting: dict[int, tuple[IPv4Address, asyncio.Future[float]]] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._raw = self._stack.enter_context(contextlib.closing(self._open()))
        loop = asyncio.get_running_loop()
        loop.add_reader(self._raw, self._receive)
        self._stack.callback(loop.remove_reader, self._raw)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self) -> socket.socket:
        try:
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
        except OSError as error:
            raise HostUnfit(f"cannot measure over {self._interface}: {error}", hint="it needs root") from error
        try:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._interface.encode())
        except OSError as error:
            raw.close()
            raise HostUnfit(f"cannot measure over {self._interface}: {error}", hint="it needs root") from error
        return raw

    async def send(self, address: IPv4Address) -> float | None:
        """The round-trip time in milliseconds, None if nothing came back in time."""
        self._sequence = sequence = (self._sequence + 1) & 0xFFFF
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[sequence] = (address, answer)
        started = time.perf_counter()
        try:
            self._raw.sendto(echo_request(self._identifier, sequence), (str(address), 0))
            return (await asyncio.wait_for(answer, self._answer_s) - started) * 1000
        except (TimeoutError, OSError):  # lost; or refused at once: no session with the peer, no route
            return None
        finally:
            self._waiting.pop(sequence, None)

    def _receive(self) -> None:
        while True:
            try:
                packet = self._raw.recv(2048)
            except OSError:  # nothing left, or a peer's complaint that some request will miss its answer to
                return
            now = time.perf_counter()
            reply = parse_reply(packet)
            if reply is None or reply.identifier != self._identifier:
                continue
            waiting = self._waiting.get(reply.sequence)
            if waiting is not None and waiting[0] == reply.source and not waiting[1].done():
                waiting[1].set_result(now)
