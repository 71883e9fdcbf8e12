"""The distance between clouds: a relay that holds every frame back for half the round-trip time of its two clouds.

It takes the place of the internet's switch where the kernel has no netem. One process per uplink reads what its cloud's
gateway sends and writes it, when due, to the uplink of the cloud whose hardware address the frame carries. Frames pass
whole, with their virtio header (packet(7), linux/virtio_net.h): large segments stay large, unfinished checksums
unfinished. The delay to one cloud is constant, so that a queue in order of arrival is also in order of due times. An
uplink may have a rate: what its cloud sends then goes out one frame after another, and waits or is dropped before.
"""

import contextlib
import errno
import os
import select
import signal
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from larva import codec, files

# linux/if_packet.h, linux/if_ether.h; Python's socket module does not name them.
SOL_PACKET = 263
PACKET_VNET_HDR = 15
PACKET_IGNORE_OUTGOING = 23
ETH_P_ALL = 3
VIRTIO_HEADER = 10
"""Bytes of struct virtio_net_hdr in front of every frame."""

MAX_FRAME = VIRTIO_HEADER + 14 + 4 + 65536
MAX_QUEUED = 256 * 2**20
"""Bytes on the way to one cloud: more is dropped, as a router would. 10 Gbit/s for 0.2 s."""
MAX_WAIT_S = 0.1
"""A frame waits no longer than this for an uplink with a rate: as much as a router keeps for one."""
_HEADER = struct.Struct("<BBHHHH")
_TCP4, _TCP6, _UDP, _ECN = 1, 4, 5, 0x80
"""VIRTIO_NET_HDR_GSO_TCPV4, _TCPV6, _UDP_L4, _ECN."""
SOCKET_BUFFER = 32 * 2**20
BATCH = 64
RESTART_S = 0.2

# What comes and goes with a link that is set down and up, and with a queue that is full.
_PASSING = frozenset({errno.ENETDOWN, errno.ENXIO, errno.ENODEV, errno.ENOBUFS, errno.EAGAIN, errno.EMSGSIZE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Uplink:
    """One cloud's port in the internet."""

    interface: str
    mac: str
    """Of the gateway behind it."""
    delay_ms: dict[str, float]
    """One-way delay to every other cloud, by its interface."""
    mbit_s: float = 0.0
    """What the cloud sends at most, to all others together; 0 for no bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """All uplinks, and the file that says that every one is served."""

    uplinks: tuple[Uplink, ...]
    ready: Path


class Wire:
    """What all that one cloud sends goes through, at its rate."""

    __slots__ = ("_free_at", "_rate")

    def __init__(self, mbit_s: float) -> None:
        self._rate = mbit_s * 1e6 / 8
        self._free_at = 0.0

    def send(self, frame: bytes, now: float) -> float | None:
        """Return when a frame that comes at `now` is out, in seconds; None when too much waits before it."""
        if not self._rate:
            return now
        start = max(now, self._free_at)
        if start - now > MAX_WAIT_S:
            return None
        self._free_at = start + wire_bytes(frame) / self._rate
        return self._free_at


def wire_bytes(frame: bytes) -> int:
    """Return what a frame takes on a wire, Ethernet's header included: a large segment has its headers once for each
    part that it will be cut into (struct virtio_net_hdr of linux/virtio_net.h, little endian)."""
    values: tuple[int, ...] = _HEADER.unpack_from(frame)
    _, kind, _, part, l4, _ = values
    size = len(frame) - VIRTIO_HEADER
    if kind & ~_ECN not in (_TCP4, _TCP6, _UDP) or not part:
        return size
    l4_bytes = 8 if kind == _UDP else (frame[VIRTIO_HEADER + l4 + 12] >> 4) * 4
    headers = l4 + l4_bytes
    return size + headers * (max(1, -(-(size - headers) // part)) - 1)


class DelayLine:
    """Frames under way to one cloud, in the order in which they arrived and are due."""

    __slots__ = ("_frames", "_queued", "_wire", "delay_s", "dropped")

    def __init__(self, delay_s: float, wire: "Wire | None" = None) -> None:
        self.delay_s = delay_s
        self.dropped = 0
        self._wire = wire or Wire(0.0)
        self._frames: deque[tuple[float, bytes]] = deque()
        self._queued = 0

    def put(self, frame: bytes, now: float) -> None:
        """Send a frame on its way at the time `now`, in seconds; drop it when too much is under way."""
        sent = None if self._queued + len(frame) > MAX_QUEUED else self._wire.send(frame, now)
        if sent is None:
            self.dropped += 1
            return
        self._queued += len(frame)
        self._frames.append((sent + self.delay_s, frame))

    def take(self, now: float) -> bytes | None:
        """Return the next frame that is due at `now`; None when none is."""
        if not self._frames or self._frames[0][0] > now:
            return None
        frame = self._frames.popleft()[1]
        self._queued -= len(frame)
        return frame

    def due(self) -> float | None:
        """Return when the next frame is due, in seconds; None when nothing is under way."""
        return self._frames[0][0] if self._frames else None


def packet_socket(interface: str, *, receive: bool) -> socket.socket:
    """Return a raw socket on an interface; its frames carry a virtio header."""
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    raw.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    if receive:
        raw.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        _enlarge(raw, socket.SO_RCVBUF, 33)  # SO_RCVBUFFORCE of asm-generic/socket.h
    else:
        _enlarge(raw, socket.SO_SNDBUF, 32)  # SO_SNDBUFFORCE
    raw.bind((interface, ETH_P_ALL if receive else 0))
    raw.settimeout(0)
    return raw


def _enlarge(raw: socket.socket, polite: int, forced: int) -> None:
    try:
        raw.setsockopt(socket.SOL_SOCKET, forced, SOCKET_BUFFER)
    except PermissionError:
        raw.setsockopt(socket.SOL_SOCKET, polite, SOCKET_BUFFER)


class Relay:
    """Carries what one cloud sends to all others."""

    def __init__(self, uplink: Uplink, all_uplinks: Sequence[Uplink]) -> None:
        others = [other for other in all_uplinks if other.interface != uplink.interface]
        self._source = packet_socket(uplink.interface, receive=True)
        wire = Wire(uplink.mbit_s)
        self._lines = [DelayLine(uplink.delay_ms[other.interface] / 1000, wire) for other in others]
        self._sinks = [packet_socket(other.interface, receive=False) for other in others]
        self._by_mac = {
            bytes.fromhex(other.mac.replace(":", "")): line for other, line in zip(others, self._lines, strict=True)
        }
        self._buffer = memoryview(bytearray(MAX_FRAME))

    def run(self) -> None:
        """Carry frames until the process ends."""
        poller = select.poll()
        poller.register(self._source, select.POLLIN)
        while True:
            dues = [due for line in self._lines if (due := line.due()) is not None]
            if dues:
                # select() takes microseconds, poll() whole milliseconds.
                select.select([self._source], [], [], max(0.0, min(dues) - time.monotonic()))
            else:
                poller.poll()
            self._receive()
            self._send()

    def _receive(self) -> None:
        for _ in range(BATCH):
            try:
                size = self._source.recv_into(self._buffer)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _PASSING:
                    raise
                return
            frame = bytes(self._buffer[:size])
            now = time.monotonic()
            line = self._by_mac.get(frame[VIRTIO_HEADER : VIRTIO_HEADER + 6])
            if line is not None:
                line.put(frame, now)
            else:  # broadcast, multicast, unknown: to everybody, as a switch does
                for every in self._lines:
                    every.put(frame, now)

    def _send(self) -> None:
        now = time.monotonic()
        for line, sink in zip(self._lines, self._sinks, strict=True):
            while (frame := line.take(now)) is not None:
                try:
                    sink.send(frame)
                except OSError as error:
                    if error.errno not in _PASSING:
                        raise
                    line.dropped += 1


def supervise(spec: Spec) -> None:
    """Serve every uplink by a process of its own, and start one that ended again, until this one is killed."""
    waiting: dict[int, int] = {}
    served: dict[int, Uplink] = {}
    for uplink in spec.uplinks:
        pid, ready = _fork(uplink, spec)
        served[pid], waiting[pid] = uplink, ready
    for ready in waiting.values():
        if os.read(ready, 1) != b"1":
            sys.exit("a relay did not start")
        os.close(ready)
    files.write_whole(spec.ready, "ready\n")
    while True:
        pid, status = os.wait()
        uplink = served.pop(pid)
        sys.stderr.write(f"the relay of {uplink.interface} ended with {status}; starting it again\n")
        sys.stderr.flush()
        time.sleep(RESTART_S)  # bounds how often a relay that cannot run is tried
        again, ready = _fork(uplink, spec)
        served[again] = uplink
        os.close(ready)


def _fork(uplink: Uplink, spec: Spec) -> tuple[int, int]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    os.close(reader)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    try:
        relay = Relay(uplink, spec.uplinks)
        with contextlib.suppress(BrokenPipeError):
            os.write(writer, b"1")
        os.close(writer)
        relay.run()
    except BaseException:  # noqa: BLE001 - a forked child must end here, whatever happened
        sys.excepthook(*sys.exc_info())
    os._exit(1)


def main() -> None:
    """Serve the specification in the file that is the first argument."""
    path = Path(sys.argv[1])
    supervise(codec.decode(path.read_bytes(), Spec, source=str(path)))


if __name__ == "__main__":
    main()
