"""Hand out addresses of a CLADNet."""

from collections.abc import Container
from ipaddress import IPv4Address, IPv4Network

from larva.errors import Conflict


def allocate(taken: Container[IPv4Address], cidr: IPv4Network, preferred: IPv4Address | None = None) -> IPv4Address:
    """Return the preferred address if it is free and a host address of `cidr`, else the lowest free one.

    Network and broadcast address are never given. No address is kept for a gateway: a mesh has none.

    Raises:
        Conflict: every address is taken.
    """
    lowest, highest = int(cidr.network_address) + 1, int(cidr.broadcast_address) - 1
    if preferred is not None and lowest <= int(preferred) <= highest and preferred not in taken:
        return preferred
    for number in range(lowest, highest + 1):
        address = IPv4Address(number)
        if address not in taken:
            return address
    raise Conflict(f"every address of {cidr} is taken", hint="create a CLADNet with a larger range")
