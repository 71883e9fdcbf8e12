"""Whether one failure takes a volume and its mirror: pure."""

from collections.abc import Callable, Sequence
from functools import partial

from cbstorage.ceph.crush import Domain, Place, replication
from cbstorage.ceph.layout import NEEDED, ROOT, Ground, Layout, Segment, Survey, lay, shortage
from cbstorage.promise import Promise

Hit = Callable[[Ground], bool]
_BUCKET: dict[Domain, Callable[[Place], str]] = {
    Domain.OSD: lambda place: place.host,
    Domain.HOST: lambda place: place.host,
    Domain.DATACENTER: lambda place: place.zone,
    Domain.ZONE: lambda place: place.region,
    Domain.REGION: lambda place: place.provider,
}


def shared_fate(source: Promise | None, mirror: Promise, there: Survey) -> str:
    """Name the first failure after which neither a volume nor its mirror could be used; empty if there is none.

    Args:
        source: what the volume's data outlives; None for as much as the OSDs allow.
        mirror: what the mirror's does; this ground must be able to keep it.
        there: the hosts with OSDs.
    """
    one, needed = _layout(source, there)
    other = lay(mirror, there)
    for name, hit in _failures(there.ground):
        if _left(one, there.ground, hit) < needed and _left(other, there.ground, hit) < NEEDED:
            return name
    return ""


def _layout(promise: Promise | None, there: Survey) -> tuple[Layout, int]:
    """How a volume's copies lie, and how many of them have to be there; as well as can be known from outside."""
    if promise is not None and not shortage(promise, there):
        return lay(promise, there), NEEDED
    spread = replication(one.place for one in there.ground)
    return Layout(segments=(Segment(bucket=ROOT, domain=spread.domain, copies=spread.copies),)), spread.needed


def _failures(ground: Sequence[Ground]) -> list[tuple[str, Hit]]:
    """What may fail at once, the narrowest first, and whether it takes a host."""
    kinds: tuple[tuple[str, str, Callable[[Ground], str]], ...] = (
        ("zone", "dc.", lambda one: one.place.zone),
        ("area", "", lambda one: one.area),
        ("CSP", "csp.", lambda one: one.place.provider),
    )
    return [
        (f"{noun} {name.removeprefix(prefix)}", partial(_is, of, name))
        for noun, prefix, of in kinds
        for name in sorted({of(one) for one in ground})
    ]


def _is(of: Callable[[Ground], str], name: str, one: Ground) -> bool:
    return of(one) == name


def _left(layout: Layout, ground: Sequence[Ground], hit: Hit) -> int:
    """Copies that are left after a failure at worst."""
    left = 0
    for segment in layout.segments:
        inside = [one for one in ground if segment.bucket in (ROOT, one.place.region)]
        lost = {_BUCKET[segment.domain](one.place) for one in inside if hit(one)}
        left += segment.copies - min(segment.copies, len(lost))
    return left
