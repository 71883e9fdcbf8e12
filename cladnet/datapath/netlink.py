"""Netlink: what is asked of the kernel and what it answers, as bytes (netlink(7), linux/netlink.h).

Our own, since an agent lives in tens of megabytes: pyroute2, of which it needs a dozen messages, takes ten of them.
"""

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
"""NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP"""
REPLACE, EXCL, CREATE = 0x100, 0x200, 0x400
"""NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE"""
NESTED = 0x8000
"""NLA_F_NESTED"""

_INTERRUPTED = 0x10
"""NLM_F_DUMP_INTR: what is listed changed meanwhile, and the list may lack what was there all the time."""
_TYPE_MASK = 0x3FFF
"""NLA_TYPE_MASK"""
_ERROR, _DONE = 2, 3
"""NLMSG_ERROR, NLMSG_DONE"""
_HEADER = struct.Struct("=IHHII")
"""struct nlmsghdr: length, type, flags, sequence number, port"""
_ATTRIBUTE = struct.Struct("=HH")
"""struct nlattr: length, type"""
_LARGEST = 1 << 16
"""The kernel packs a dump into messages of 32 KiB at most (NLMSG_GOODSIZE and netlink_dump())."""
_ATTEMPTS = 5
_PATIENCE_S = 10.0
"""The kernel answers at once; it may wait for a lock that another program holds."""


class KernelRefused(OSError):
    """The kernel's answer to a request is an error, or none comes (ETIMEDOUT); `errno` says which."""


@dataclass(frozen=True, slots=True)
class Message:
    """One answer: its type and flags, and what comes after the header."""

    kind: int
    flags: int
    body: bytes


def attribute(kind: int, value: bytes) -> bytes:
    """An attribute, padded as the next one needs it; ValueError when the value is too long for one."""
    length = _ATTRIBUTE.size + len(value)
    if length > 0xFFFF:
        raise ValueError(f"an attribute of netlink holds {0xFFFF - _ATTRIBUTE.size} bytes and not {len(value)}")
    return _ATTRIBUTE.pack(length, kind) + value + bytes(-length % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds others."""
    return attribute(kind | NESTED, b"".join(attributes))


def text(value: str) -> bytes:
    """A string as the kernel takes it."""
    return value.encode() + b"\0"


def read_text(value: bytes) -> str:
    """A string as the kernel gives it."""
    return value.rstrip(b"\0").decode(errors="replace")


def attributes(data: bytes) -> dict[int, bytes]:
    """Type → value; of several of one type the last."""
    return dict(listed(data))


def listed(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Types and values in their order; what is cut off is left out."""
    place = 0
    while place + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, place)
        if length < _ATTRIBUTE.size or place + length > len(data):
            return
        yield kind & _TYPE_MASK, data[place + _ATTRIBUTE.size : place + length]
        place += (length + 3) & ~3


def messages(data: bytes) -> Iterator[tuple[int, Message]]:
    """Sequence numbers and messages of one datagram."""
    place = 0
    while place + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, place)
        if length < _HEADER.size or place + length > len(data):
            return
        yield sequence, Message(kind, flags, data[place + _HEADER.size : place + length])
        place += (length + 3) & ~3


class Netlink:
    """A socket of one netlink family; one question after the other, from one thread.

    Raises:
        OSError: this kernel has no such family, or no more sockets.
    """

    def __init__(self, family: int) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self._socket.settimeout(_PATIENCE_S)
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def do(self, kind: int, body: bytes, *, flags: int = 0) -> None:
        """Have something done; KernelRefused if it was not."""
        self._ask(kind, REQUEST | ACK | flags, body)

    def get(self, kind: int, body: bytes) -> Message:
        """Return the answer about one thing; KernelRefused if there is none."""
        found = self._ask(kind, REQUEST | ACK, body)
        if not found:
            raise _refused(errno.ENOENT)
        return found[0]

    def dump(self, kind: int, body: bytes) -> list[Message]:
        """Return everything there is, as it was at one moment; KernelRefused if that cannot be had."""
        for _ in range(_ATTEMPTS):
            found = self._ask(kind, REQUEST | DUMP, body)
            if not any(message.flags & _INTERRUPTED for message in found):
                return found
        raise _refused(errno.EINTR)

    def _ask(self, kind: int, flags: int, body: bytes) -> list[Message]:
        self._sequence += 1
        self._socket.sendto(_HEADER.pack(_HEADER.size + len(body), kind, flags, self._sequence, 0) + body, (0, 0))
        found: list[Message] = []
        while True:
            try:
                data, _, cut, sender = self._socket.recvmsg(_LARGEST)
            except TimeoutError as error:
                raise _refused(errno.ETIMEDOUT) from error
            if sender[0] != 0:  # whoever else may send here is not the kernel
                continue
            if cut & socket.MSG_TRUNC:
                raise _refused(errno.EMSGSIZE)
            for sequence, message in messages(data):
                if sequence != self._sequence:
                    continue
                if message.kind in (_ERROR, _DONE):
                    code = -int.from_bytes(message.body[:4], sys.byteorder, signed=True)
                    if code > 0:
                        raise _refused(code)
                    return [*found, message] if message.flags & _INTERRUPTED else found
                found.append(message)


def _refused(code: int) -> KernelRefused:
    return KernelRefused(code, os.strerror(code))
