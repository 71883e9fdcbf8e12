"""Have WireGuard shake hands with peers now, not when traffic comes: an empty datagram to each does."""

import contextlib
import errno
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address

DISCARD = 9
"""UDP port of the discard protocol (RFC 863): nobody answers there."""
_NOT_NOW = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EAGAIN, errno.ENOBUFS, errno.EPERM, errno.EDESTADDRREQ)


def greet(addresses: Iterable[IPv4Address]) -> None:
    """Send each overlay address a datagram; one that cannot be sent now is left to the next real packet."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
        sender.settimeout(0)
        for address in addresses:
            try:
                sender.sendto(b"", (str(address), DISCARD))
            except OSError as error:
                if error.errno not in _NOT_NOW:
                    raise
