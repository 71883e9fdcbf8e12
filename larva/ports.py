"""TCP ports for programs about to be started on loopback: free ones that nobody gets by chance meanwhile."""

import contextlib
import random
import socket
from pathlib import Path

from larva.errors import Unavailable

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_ATTEMPTS = 1000
_chance = random.SystemRandom()
_given: set[int] = set()


def free(count: int) -> list[int]:
    """Return ports on which nobody listens on 127.0.0.1; no two calls of a process return the same.

    They lie below the range from which the kernel takes ports for outgoing connections and for `bind` to port 0
    (ip(7), ip_local_port_range): one of those may be taken between this call and the program's start.

    Raises:
        Unavailable: none is found.
    """
    below = max(int(_RANGE.read_text().split()[0]), _LOWEST + 1000)
    with contextlib.ExitStack() as probes:
        found: list[int] = []
        for _ in range(_ATTEMPTS):
            if len(found) == count:
                break
            port = _chance.randrange(_LOWEST, below)
            if port in _given or port in found:
                continue
            probe = probes.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
    if len(found) < count:
        raise Unavailable("no free port is found on 127.0.0.1", hint="see who listens: ss -tln")
    _given.update(found)
    return found
