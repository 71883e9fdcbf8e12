"""What a write is expected to cost under a layout: the way to the primary, and from there to the farther other copy.

Ceph acknowledges a write when all copies have it (RADOS replication is primary-copy). Disks and processors are left
out: this is what distance costs, whatever the machines.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from statistics import fmean

from cbstorage.ceph.crush import Domain
from cbstorage.ceph.layout import Ground, Layout, Survey

UNWISE_MS = 100.0
"""From here on people see that they wait (Nielsen, "Usability Engineering", 1993, chapter 5), and a program that syncs
after every write gets fewer than ten of them a second."""
_MOST_HOSTS = 40
"""Of more than these, evenly chosen ones stand for all: the figure is an expectation, and triples are many."""

Placement = tuple[int, tuple[int, ...]]
"""The primary's host and the others', by their index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteLatency:
    """Milliseconds."""

    expected_ms: float
    """On average over where the copies may come to lie and over the hosts that may write."""
    worst_ms: float

    @property
    def unwise(self) -> bool:
        """Whether stretching the volume so far is rather a burden than a help."""
        return self.expected_ms > UNWISE_MS


def expect(layout: Layout, there: Survey, home: str = "") -> WriteLatency:
    """Return what a write costs.

    Args:
        layout: one that this ground can keep.
        home: where the writers are; any host of the ground may write without it.
    """
    writers = [index for index, one in enumerate(there.ground) if not home or one.is_in(home)]
    ways: dict[int, tuple[float, float]] = {}
    costs = []
    for primary, others in _placements(layout, there):
        if primary not in ways:
            way = [there.ms[writer][primary] for writer in writers]
            ways[primary] = (fmean(way), max(way))
        copying = max(there.ms[primary][other] for other in others)
        costs.append((ways[primary][0] + copying, ways[primary][1] + copying))
    return WriteLatency(expected_ms=fmean(mean for mean, _ in costs), worst_ms=max(worst for _, worst in costs))


def _placements(layout: Layout, there: Survey) -> Iterator[Placement]:
    if layout.is_plain:
        chosen = _evenly(list(range(len(there.ground))))
        for three in combinations(chosen, layout.segments[0].copies):
            if len({_bucket(there.ground[index], layout.segments[0].domain) for index in three}) == len(three):
                for primary in three:
                    yield primary, tuple(index for index in three if index != primary)
        return
    parts = []
    for segment in layout.segments:
        inside = _evenly([index for index, one in enumerate(there.ground) if one.place.region == segment.bucket])
        parts.append([
            some
            for some in combinations(inside, segment.copies)
            if len({_bucket(there.ground[index], segment.domain) for index in some}) == len(some)
        ])  # fmt: skip
    for picked in product(*parts):
        for primary in picked[0]:
            yield primary, tuple(index for part in picked for index in part if index != primary)


def _bucket(one: Ground, domain: Domain) -> str:
    place = one.place
    return {
        Domain.REGION: place.provider, Domain.ZONE: place.region, Domain.DATACENTER: place.zone,
    }.get(domain, place.host)  # fmt: skip


def _evenly(indexes: list[int]) -> list[int]:
    step = -(-len(indexes) // _MOST_HOSTS)
    return indexes[:: max(1, step)]
