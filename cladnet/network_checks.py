"""What a CLADNet may be called and which ranges it may have, beside those that are there."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from cladnet import cidr as ranges
from cladnet import keys, ula
from cladnet.free_ranges import RangesInUse
from cladnet.model import CladnetSpecification
from larva.errors import Conflict, InvalidInput

_LONGEST_DESCRIPTION = 1000
LONGEST_QUARANTINE_S = 30 * 86400.0


def words(name: str, description: str) -> None:
    """Raise InvalidInput for a name that is none, and for a description that is too long."""
    keys.segment(name, what="name")
    if len(description) > _LONGEST_DESCRIPTION:
        raise InvalidInput(f"the description has {len(description)} characters", hint=f"{_LONGEST_DESCRIPTION} at most")


def quarantine(quarantine_s: float) -> None:
    """Raise InvalidInput for a time that no address can rest."""
    if not 0 <= quarantine_s <= LONGEST_QUARANTINE_S:
        raise InvalidInput(f"an address cannot rest for {quarantine_s:g} s", hint="from 0 seconds to 30 days")


def name_free(name: str, existing: Iterable[CladnetSpecification]) -> None:
    """Raise Conflict when one of these has the name, or has it as its id."""
    if any(name in (specification.name, specification.id) for specification in existing):
        raise Conflict(f"a CLADNet {name!r} exists already", hint="choose another name, or delete that one first")


def network(in_use: RangesInUse, wanted: IPv4Network | None) -> IPv4Network:
    """Return the range that is wanted, or a free one where none is; Conflict when it is not free."""
    if wanted is None:
        return ranges.recommend(in_use.all())
    try:
        hint = f"{ranges.recommend(in_use.all())} is free"
    except Conflict:  # the range that was asked for may be free all the same
        hint = "choose another range"
    ranges.check_free(wanted, cladnets=in_use.cladnets, host_networks=in_use.host_networks, hint=hint)
    return wanted


def prefix6(in_use: RangesInUse, wanted: str | None, present: IPv6Network | None) -> IPv6Network | None:
    """Return the IPv6 prefix that is wanted if it is free; `present` when nothing is said of it.

    Args:
        wanted: a prefix, "auto" for one that is drawn, "off" for none.
    """
    if wanted is None or (wanted == ula.AUTO and present is not None):
        return present
    if wanted == ula.OFF:
        return None
    prefix = ula.draw() if wanted == ula.AUTO else ula.parse(wanted)
    if prefix == present:
        return present
    if present is not None:
        raise InvalidInput(f"the IPv6 prefix is {present}", hint="turn it off first: larva net update --ipv6 off")
    ula.check_free(prefix, cladnets=in_use.cladnets6, host_networks=in_use.host_networks6)
    return prefix
