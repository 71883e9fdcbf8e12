"""The round-trip times between all candidates: what was measured, and a pessimistic guess for what was not."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cladnet.placement.areas import distance_km
from cladnet.placement.model import Rtt, Site

LOST_MS = 2000.0
"""Stands for a pair none of whose echoes came back: as long as a status test waits for one."""
_DIGITS = 6
"""Decimals of a millisecond that count: a nanosecond."""
GUESS_BASE_MS = 5.0
GUESS_MS_PER_KM = 0.03
"""4.5 times light in vacuum, there and back. The internet's median is about three times (Singla et al., "The Internet
at the Speed of Light", HotNets 2014)."""
GUESS_ANYWHERE_MS = 600.0
"""Where not even the distance is known: halfway round the Earth at the rate above."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """Milliseconds between every two sites, by their index; symmetric, zero on the diagonal."""

    ms: list[list[float]]
    measured: list[bytearray]
    """1 where the time was measured or given, 0 where it is a guess."""

    def is_measured(self, one: int, other: int) -> bool:
        """Whether the time of this pair is more than a guess."""
        return bool(self.measured[one][other])


def build(sites: Sequence[Site], rtts: Sequence[Rtt]) -> Matrix:
    """Return the matrix of all sites.

    A pair of hosts counts before a pair of zones, that before a pair of regions; of several values for one pair, as
    from both directions, the largest counts. What is left takes the largest time measured between the same zones, else
    the same regions, else the same areas; else a guess by distance.
    """
    given: dict[tuple[str, str], float] = {}
    for rtt in rtts:
        pair, value = _pair(*rtt.between), LOST_MS if rtt.ms is None else round(rtt.ms, _DIGITS)
        if given.get(pair, -1.0) < value:
            given[pair] = value
    zones = {site.zone: site for site in sites}
    guess = _guesses(sites, given)
    rows: dict[tuple[str, str], tuple[float, bool]] = {}
    for one in zones.values():
        for other in zones.values():
            known = given.get(_pair(one.zone, other.zone), given.get(_pair(one.region, other.region)))
            rows[one.zone, other.zone] = (guess(one, other), False) if known is None else (known, True)
    zone_of = [site.zone for site in sites]
    ms = [[rows[site.zone, zone][0] for zone in zone_of] for site in sites]
    measured = [bytearray(rows[site.zone, zone][1] for zone in zone_of) for site in sites]
    index = {site.host: number for number, site in enumerate(sites)}
    for (first, second), value in given.items():
        row, column = index.get(first, -1), index.get(second, -1)
        if row >= 0 and column >= 0:
            ms[row][column] = ms[column][row] = value
            measured[row][column] = measured[column][row] = 1
    for number in range(len(sites)):
        ms[number][number] = 0.0
        measured[number][number] = 1
    return Matrix(ms, measured)


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one <= other else (other, one)


def _guesses(sites: Sequence[Site], given: Mapping[tuple[str, str], float]) -> Callable[[Site, Site], float]:
    """Return the guess for two sites of which nothing is given."""
    zone_of = {site.host: site.zone for site in sites}
    area_of = {site.region: site.area for site in sites}
    zones = _widened({pair: ms for pair, ms in given.items() if ms < LOST_MS}, zone_of)
    region_of = {name: "/".join(name.split("/")[:2]) for pair in zones for name in pair}
    regions = _widened(zones, region_of)
    areas = _widened(regions, area_of)

    def guess(one: Site, other: Site) -> float:
        for name, known in (("zone", zones), ("region", regions), ("area", areas)):
            found = known.get(_pair(getattr(one, name), getattr(other, name)))
            if found is not None:
                return found
        if one.region == other.region or one.area == other.area:
            return GUESS_BASE_MS
        distance = distance_km(one.area, other.area)
        return GUESS_ANYWHERE_MS if distance is None else GUESS_BASE_MS + GUESS_MS_PER_KM * distance

    return guess


def _widened(times: Mapping[tuple[str, str], float], container: Mapping[str, str]) -> dict[tuple[str, str], float]:
    """The largest time between every two containers; what has none, as a region among hosts, stands for itself."""
    widened: dict[tuple[str, str], float] = {}
    for (one, other), ms in times.items():
        pair = _pair(container.get(one, one), container.get(other, other))
        if widened.get(pair, -1.0) < ms:
            widened[pair] = ms
    return widened
