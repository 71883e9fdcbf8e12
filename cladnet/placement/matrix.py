"""The round-trip times between all candidates: what was measured, and a pessimistic guess for what was not."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cladnet.placement.areas import distance_km
from cladnet.placement.model import Rtt, Site

LOST_MS = 2000.0
"""Stands for a pair none of whose echoes came back: as long as a status test waits for one."""
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
    given = _largest({}, ((rtt.between, LOST_MS if rtt.ms is None else rtt.ms) for rtt in rtts))
    answered = _largest({}, ((rtt.between, rtt.ms) for rtt in rtts if rtt.ms is not None))
    zones = {site.zone: site for site in sites}
    guesses = _guesses(sites, answered)
    rows: dict[tuple[str, str], tuple[float, bool]] = {}
    for one in zones.values():
        for other in zones.values():
            known = given.get(_pair(one.zone, other.zone), given.get(_pair(one.region, other.region)))
            rows[one.zone, other.zone] = (guesses(one, other), False) if known is None else (known, True)
    zone_of = [site.zone for site in sites]
    ms, measured = [], []
    for site in sites:
        cells = [rows[site.zone, zone] for zone in zone_of]
        ms.append([cell[0] for cell in cells])
        measured.append(bytearray(cell[1] for cell in cells))
    index = {site.host: number for number, site in enumerate(sites)}
    for (first, second), value in given.items():
        if first in index and second in index:
            row, column = index[first], index[second]
            ms[row][column] = ms[column][row] = value
            measured[row][column] = measured[column][row] = 1
    for number in range(len(sites)):
        ms[number][number] = 0.0
        measured[number][number] = 1
    return Matrix(ms, measured)


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one <= other else (other, one)


def _largest(
    into: dict[tuple[str, str], float], values: Iterable[tuple[tuple[str, str], float]]
) -> dict[tuple[str, str], float]:
    for between, ms in values:
        pair = _pair(*between)
        if ms >= into.get(pair, ms):
            into[pair] = ms
    return into


def _guesses(sites: Sequence[Site], answered: dict[tuple[str, str], float]) -> Callable[[Site, Site], float]:
    """Return the guess for two sites of which nothing is given."""
    by_host = {site.host: site for site in sites}
    by_zone = {site.zone: site for site in sites}
    by_region = {site.region: site for site in sites}
    zones = _largest(
        {},
        (
            ((by_host[one].zone, by_host[other].zone) if one in by_host and other in by_host else (one, other), ms)
            for (one, other), ms in answered.items()
        ),
    )
    regions = _largest(
        {},
        (
            ((by_zone[one].region, by_zone[other].region) if one in by_zone and other in by_zone else (one, other), ms)
            for (one, other), ms in zones.items()
        ),
    )
    areas = _largest(
        {},
        (
            ((by_region[one].area, by_region[other].area), ms)
            for (one, other), ms in regions.items()
            if one in by_region and other in by_region
        ),
    )

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
