"""Have WireGuard shake hands with peers now, not when traffic comes: an empty datagram to each does."""

import contextlib
import logging
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address

DISCARD = 9
"""UDP port of the discard protocol (RFC 863): nobody answers there."""

log = logging.getLogger(__name__)


def greet(addresses: Iterable[IPv4Address]) -> None:
    """Send each overlay address a datagram; one that cannot be sent now is left to the next real packet.

    No failure matters enough to hold anything up: the kernel's WireGuard says ENOKEY of a host that is no peer now.
    """
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
        sender.settimeout(0)
        for address in addresses:
            try:
                sender.sendto(b"", (str(address), DISCARD))
            except OSError as error:
                log.debug("%s is not greeted: %s", address, error.strerror)
