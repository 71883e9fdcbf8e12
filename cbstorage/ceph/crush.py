"""Where copies go: the failure domain, and a host's place in the CRUSH map, from the clouds that are there."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from cladnet.model import CloudFacts

MOST_COPIES = 3
_UNTOLD = "none"


class Domain(StrEnum):
    """A failure domain; the value is the CRUSH bucket type that stands for it, the widest last."""

    OSD = "osd"
    HOST = "host"
    DATACENTER = "datacenter"
    """A provider's zone."""
    ZONE = "zone"
    """A provider's region: CRUSH's `zone` lies inside its `region`."""
    REGION = "region"
    """A provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an OSD is: names of its buckets. Providers, their regions, their zones and hosts never share a name."""

    provider: str
    region: str
    zone: str
    host: str

    def location(self) -> str:
        """The `crush_location` of this place."""
        return f"root=default region={self.provider} zone={self.region} datacenter={self.zone} host={self.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """How many copies a pool keeps, how many it needs to go on, and what no two of them may share."""

    domain: Domain
    copies: int
    needed: int

    @property
    def rule(self) -> str:
        """The CRUSH rule's name."""
        return f"spread-{self.domain}"


def place(host: str, cloud: CloudFacts) -> Place:
    """Return a host's place; a cloud that nobody named counts as one of its own, `none`."""
    provider, region = word(cloud.provider), word(cloud.region)
    return Place(
        provider=f"csp.{provider}",
        region=f"zone.{provider}.{region}",
        zone=f"dc.{provider}.{region}.{word(cloud.zone)}",
        host=host,
    )


def facts(stands: Place) -> CloudFacts:
    """Return what the CRUSH map knows of where a host is: the reverse of place(), but for letters CRUSH cannot bear."""
    region, zone = (*stands.region.split(".", 2), "", "")[2], (*stands.zone.split(".", 3), "", "", "")[3]
    names = (stands.provider.removeprefix("csp."), region, zone)
    provider, region, zone = ("" if name == _UNTOLD else name for name in names)
    return CloudFacts(provider=provider, region=region, zone=zone)


def known(told: CloudFacts | None, stands: Place) -> CloudFacts:
    """Return what a host says of where it is, unless it says less than the CRUSH map knows.

    A cloud's metadata that does not answer for a while moves no data.
    """
    before = facts(stands)
    if told is None or (before.provider and not told.provider):
        return before
    same_region = place("", told).region == stands.region
    if before.region and not told.region and word(told.provider) == word(before.provider):
        return before
    return before if same_region and before.zone and not told.zone else told


def replication(places: Iterable[Place]) -> Replication:
    """Return the widest domain that can hold three copies, or as many as there are.

    Args:
        places: one for each OSD.
    """
    osds = list(places)
    hosts = {place.host for place in osds}
    counts = {
        Domain.REGION: len({place.provider for place in osds}),
        Domain.ZONE: len({place.region for place in osds}),
        Domain.DATACENTER: len({place.zone for place in osds}),
        Domain.HOST: len(hosts),
        Domain.OSD: len(osds),
    }
    for domain, count in counts.items():
        if count >= MOST_COPIES:
            return Replication(domain=domain, copies=MOST_COPIES, needed=MOST_COPIES - 1)
    # Too few OSDs for three copies: two on two hosts go on with one, since a pause would protect nothing.
    domain = Domain.HOST if len(hosts) > 1 else Domain.OSD
    return Replication(domain=domain, copies=max(1, min(counts[domain], 2)), needed=1)


def widen(current: Replication | None, wanted: Replication) -> Replication:
    """Return what to change to: copies never become fewer and domains never narrower because an OSD is away."""
    if current is None:
        return wanted
    order = list(Domain)
    keep = order.index(current.domain) > order.index(wanted.domain) or current.copies > wanted.copies
    return current if keep else wanted


def word(text: str) -> str:
    """Return a name as CRUSH can bear it: letters, digits, underscore and hyphen; the full stop is left to us.

    CrushWrapper::is_valid_crush_name allows no more than these.
    """
    return re.sub(r"[^A-Za-z0-9_-]", "-", text) or _UNTOLD
