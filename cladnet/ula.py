"""IPv6 in a CLADNet: a private /64, and each host's address in it, which follows from its IPv4 one."""

import secrets
from collections.abc import Iterable, Mapping
from ipaddress import AddressValueError, IPv4Address, IPv6Address, IPv6Interface, IPv6Network, NetmaskValueError

from larva.errors import Conflict, InvalidInput

SPACE = IPv6Network("fd00::/8")
"""Unique local addresses whose global id everybody draws for himself (RFC 4193, section 3.1)."""
PREFIX = 64
AUTO, OFF = "auto", "off"
_GLOBAL_ID_BITS = 40
_EXAMPLE = "fd12:3456:789a::/64"


def parse(text: str) -> IPv6Network:
    """Return the prefix that a user wrote.

    Raises:
        InvalidInput: no IPv6 prefix, host bits set, not private, or no /64.
    """
    try:
        network = IPv6Network(text.strip())
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise InvalidInput(f"{text!r} is no IPv6 prefix: {error}", hint=f"write it as {_EXAMPLE}") from error
    if not network.subnet_of(SPACE):
        raise InvalidInput(
            f"{network} is not private address space", hint=f"take a part of {SPACE} (RFC 4193), or let one be drawn"
        )
    if network.prefixlen != PREFIX:
        raise InvalidInput(f"{network} is no /{PREFIX}", hint=f"write it as {network.network_address}/{PREFIX}")
    return network


def draw() -> IPv6Network:
    """Return a prefix with a random global id, subnet 0: it collides with nobody's (RFC 4193, section 3.2.3)."""
    number = int(SPACE.network_address) | secrets.randbits(_GLOBAL_ID_BITS) << (128 - 8 - _GLOBAL_ID_BITS)
    return IPv6Network((number, PREFIX))


def check_free(
    network: IPv6Network, *, cladnets: Mapping[str, IPv6Network], host_networks: Mapping[str, Iterable[IPv6Network]]
) -> None:
    """Raise Conflict, saying whose it is, when `network` overlaps a prefix in use; the arguments as in cidr's."""
    hint = "choose another prefix, or let one be drawn: --ipv6 auto"
    for name, taken in cladnets.items():
        if network.overlaps(taken):
            raise Conflict(f"{network} overlaps {taken} of CLADNet {name!r}", hint=hint)
    for host, networks in host_networks.items():
        for taken in networks:
            if network.overlaps(taken):
                raise Conflict(f"{network} overlaps {taken}, a network that host {host!r} sits in", hint=hint)


def address6(prefix: IPv6Network, address: IPv4Address) -> IPv6Address:
    """A host's address: the prefix, 32 zero bits, its IPv4 overlay address.

    So an IPv6 address is one host's because its IPv4 address is, which one claim in etcd says of both.
    """
    return prefix.network_address + int(address)


def interface6(prefix: IPv6Network, address: IPv4Address) -> IPv6Interface:
    """The same, with the prefix's length."""
    return IPv6Interface((address6(prefix, address), prefix.prefixlen))
