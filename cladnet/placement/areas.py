"""Which regions are logically one: a table of the providers' regions, and measured nearness for those it lacks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cladnet.placement.model import Candidate, Rtt, Site
from larva import codec

NEAR_MS = 5.0
"""Regions within this round-trip time are logically one.

Two providers of one city are 1 to 4 ms apart (2.78 within Sydney, 3.55 within London); neighbouring ones, as Tokyo and
Osaka, 8 and more (CB-Tumblebug, assets/cloudlatencymap.csv).
"""
UNKNOWN = "?"
EARTH_RADIUS_KM = 6371.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """A metropolitan area: where it is, in degrees, and which regions (`csp/region`) lie in it."""

    latitude: float
    longitude: float
    regions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Table:
    areas: dict[str, Area]


@cache
def table() -> Mapping[str, Area]:
    """The areas by name, from areas.toml beside this file."""
    return codec.read_toml(Path(__file__).with_name("areas.toml"), _Table).areas


@cache
def _area_of_region() -> Mapping[str, str]:
    return {region: name for name, area in table().items() for region in area.regions}


def distance_km(one: str, other: str) -> float | None:
    """Great-circle distance between the centres of two areas (haversine); None where one is not in the table."""
    first, second = table().get(one), table().get(other)
    if first is None or second is None:
        return None
    latitude, other_latitude = math.radians(first.latitude), math.radians(second.latitude)
    across = math.sin((other_latitude - latitude) / 2) ** 2
    along = math.sin(math.radians(second.longitude - first.longitude) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * math.asin(math.sqrt(across + math.cos(latitude) * math.cos(other_latitude) * along))


def locate(candidates: Sequence[Candidate], rtts: Sequence[Rtt]) -> tuple[Site, ...]:
    """Return the failure domains of every candidate, in their order.

    A candidate's own area counts first, then the table. A region that neither knows is in the area of the nearest
    region if that is within NEAR_MS by any measurement, and in one of its own, named as the region, otherwise.
    """
    located = {region: _area_of_region().get(region, "") for region in map(region_of, candidates)}
    strangers = {region for region, area in located.items() if not area and not region.endswith(f"/{UNKNOWN}")}
    if strangers:
        _locate_strangers(strangers, _near_regions(candidates, rtts), located)
    return tuple(
        Site(
            host=candidate.host,
            csp=candidate.cloud.provider or UNKNOWN,
            region=region_of(candidate),
            zone=zone_of(candidate),
            area=candidate.area or located[region_of(candidate)] or region_of(candidate),
        )
        for candidate in candidates
    )


def region_of(candidate: Candidate) -> str:
    """`csp/region`, a question mark for what nobody told."""
    return f"{candidate.cloud.provider or UNKNOWN}/{candidate.cloud.region or UNKNOWN}"


def zone_of(candidate: Candidate) -> str:
    """`csp/region/zone`, a question mark for what nobody told."""
    return f"{region_of(candidate)}/{candidate.cloud.zone or UNKNOWN}"


def _near_regions(candidates: Sequence[Candidate], rtts: Sequence[Rtt]) -> list[tuple[float, str, str]]:
    """Pairs of regions that are logically one, with the smallest time measured between them, nearest first."""
    region = {candidate.host: region_of(candidate) for candidate in candidates}
    region |= {zone_of(candidate): region_of(candidate) for candidate in candidates}
    nearest: dict[tuple[str, str], float] = {}
    for rtt in rtts:
        one, other = sorted(region.get(end, end) for end in rtt.between)
        if one != other and rtt.ms is not None and rtt.ms <= NEAR_MS:
            nearest[one, other] = min(rtt.ms, nearest.get((one, other), math.inf))
    return sorted((ms, one, other) for (one, other), ms in nearest.items())


def _locate_strangers(strangers: set[str], near: Sequence[tuple[float, str, str]], located: dict[str, str]) -> None:
    """Give every region that the table lacks the area of those it is near, by a chain of near ones if need be."""
    pending = sorted(strangers)
    while pending:
        link = next(
            ((one, other) for _, one, other in near if bool(located.get(one)) != bool(located.get(other))), None
        )
        if link is None:
            located[pending[0]] = pending[0]
        else:
            one, other = link
            located[one] = located[other] = located.get(one) or located[other]  # one may be nobody's we know
        pending = [region for region in pending if not located[region]]
