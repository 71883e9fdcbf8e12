"""Hand out addresses of a CLADNet."""

import logging
from collections.abc import Container, Mapping
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network

from cladnet.model import ReleasedAddress
from larva.errors import Conflict

log = logging.getLogger(__name__)


def rests(released: ReleasedAddress, *, now: datetime, quarantine_s: float) -> bool:
    """Whether an address is still kept from other hosts: a packet or a cached rule may yet mean the one that had it.

    Both times are wall clocks, perhaps of two control nodes: a jump makes the rest longer or shorter, nothing else,
    since the claim alone says whose an address is.
    """
    return (now - released.released_at).total_seconds() < quarantine_s


def allocate(
    host: str,
    cidr: IPv4Network,
    taken: Container[IPv4Address],
    resting: Mapping[IPv4Address, ReleasedAddress],
    withheld_to: IPv4Address | None = None,
) -> IPv4Address:
    """Return a free host address of `cidr`: the one this host had last, else the lowest that does not rest.

    When every free address rests, the one that has rested longest is given, with a warning: a host without a network
    is worse. Network and broadcast address are never given. No address is kept for a gateway: a mesh has none.

    Args:
        resting: addresses for which rests() holds.
        withheld_to: nothing up to here is given, whatever else is free: `CladnetSpecification.withheld_to`.

    Raises:
        Conflict: every address is taken or withheld.
    """
    lowest, highest = int(cidr.network_address) + 1, int(cidr.broadcast_address) - 1
    if withheld_to is not None:
        lowest = max(lowest, int(withheld_to) + 1)
    free = {ip: each for ip, each in resting.items() if lowest <= int(ip) <= highest and ip not in taken}
    own = [ip for ip, each in free.items() if each.host == host]
    if own:
        return max(own, key=lambda ip: (free[ip].released_at, ip))
    for number in range(lowest, highest + 1):
        address = IPv4Address(number)
        if address not in taken and address not in free:
            return address
    if free:
        oldest = min(free, key=lambda ip: (free[ip].released_at, ip))
        log.warning(
            "%s gets %s, which %s had until %s and which should still rest: nothing else of %s is free",
            host, oldest, free[oldest].host, free[oldest].released_at.isoformat(timespec="seconds"), cidr,
        )  # fmt: skip
        return oldest
    if withheld_to is not None:
        raise Conflict(
            f"every address of {cidr} is taken, or withheld up to {withheld_to} since a restore",
            hint="when no host that joined after the backup uses them any more: larva control release CLADNET",
        )
    raise Conflict(f"every address of {cidr} is taken", hint="let it grow: larva net update CLADNET --cidr RANGE")
