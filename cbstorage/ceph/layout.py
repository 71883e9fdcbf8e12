"""How copies lie to keep a promise: three, no two in one of what may fail, the first at home; or what is missing.

With three copies of which two suffice, data outlives whatever holds one of them, and writes go on.
A region that fails is an area, as in placement: it takes every provider's regions in it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from cbstorage.ceph.crush import MOST_COPIES, Domain, Place, place, word
from cbstorage.promise import Promise
from cladnet.model import CloudFacts
from cladnet.placement.areas import locate
from cladnet.placement.assess import estimated
from cladnet.placement.matrix import build
from cladnet.placement.model import Candidate, Rtt, Survive
from larva.errors import InvalidInput

NEEDED = 2
ROOT = "default"

_NOUNS: Mapping[Survive, tuple[str, ...]] = {
    Survive.HOST: ("hosts",),
    Survive.ZONE: ("zones",),
    Survive.REGION: ("regions in different areas",),
    Survive.CSP: ("CSPs",),
    Survive.CSP_REGION: ("CSPs", "regions in different areas"),
}
_ANYWHERE: Mapping[Survive, Domain] = {
    Survive.HOST: Domain.HOST,
    Survive.ZONE: Domain.DATACENTER,
    Survive.REGION: Domain.ZONE,
    Survive.CSP: Domain.REGION,
    Survive.CSP_REGION: Domain.REGION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A host on whose OSDs copies can lie."""

    place: Place
    cloud: CloudFacts
    area: str

    def labels(self, survive: Survive) -> tuple[str, ...]:
        """What no other copy may share with one on this host; empty if the host does not say what it fails with."""
        told = {
            Survive.HOST: True,
            Survive.ZONE: bool(self.cloud.zone),
            Survive.REGION: bool(self.cloud.region),
            Survive.CSP: bool(self.cloud.provider),
            Survive.CSP_REGION: bool(self.cloud.provider and self.cloud.region),
        }
        labels = {
            Survive.HOST: (self.place.host,),
            Survive.ZONE: (self.place.zone,),
            Survive.REGION: (self.area,),
            Survive.CSP: (self.place.provider,),
            Survive.CSP_REGION: (self.place.provider, self.area),
        }
        return labels[survive] if told[survive] else ()

    @property
    def homes(self) -> tuple[str, ...]:
        """What a home may be called that this host is in: its provider, and the region of it."""
        if not self.cloud.provider:
            return ()
        provider = word(self.cloud.provider)
        return provider, f"{provider}/{word(self.cloud.region)}"

    def is_in(self, home: str) -> bool:
        """Whether this host is at home."""
        return home in self.homes


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """The ground there is, and the milliseconds between every two hosts of it, by their index."""

    ground: tuple[Ground, ...]
    ms: Sequence[Sequence[float]]
    guessed: tuple[tuple[str, str], ...] = ()
    """Pairs of hosts whose distance nobody measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Part of a CRUSH rule: so many copies below a bucket, no two in one domain."""

    bucket: str
    domain: Domain
    copies: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A CRUSH rule: its segments in order, the first copy of the first one being the primary."""

    segments: tuple[Segment, ...]

    @property
    def rule(self) -> str:
        """The rule's name, which says all of it: two rules of one name are the same."""
        if self.is_plain:
            return f"spread-{self.segments[0].domain}"
        told = ",".join(f"{one.bucket}:{one.domain}:{one.copies}" for one in self.segments)
        return f"near-{hashlib.sha256(told.encode()).hexdigest()[:12]}"

    @property
    def is_plain(self) -> bool:
        """Whether one command makes this rule, and copies go wherever there is room."""
        return len(self.segments) == 1 and self.segments[0].bucket == ROOT


def survey(hosts: Mapping[str, CloudFacts], rtts: Sequence[Rtt]) -> Survey:
    """Return the ground that these hosts are.

    Args:
        hosts: those whose OSDs count, and where they are.
        rtts: what was measured; the rest is guessed high.
    """
    names = sorted(hosts)
    sites = locate([Candidate(host=name, cloud=hosts[name]) for name in names], rtts)
    matrix = build(sites, rtts)
    return Survey(
        ground=tuple(
            Ground(place=place(site.host, hosts[site.host]), cloud=hosts[site.host], area=site.area) for site in sites
        ),
        ms=matrix.ms,
        guessed=estimated(sites, matrix, range(len(sites))),
    )


def lay(promise: Promise, there: Survey) -> Layout:
    """Return how copies lie.

    Without a home they go wherever there is room, if CRUSH's tree can tell what they must not share. Otherwise they
    go to the regions from which a write is fastest: the primary's round trip to the farther of the other two is least.

    Raises:
        InvalidInput: this ground cannot keep the promise; the message says what is missing.
    """
    if missing := shortage(promise, there):
        raise InvalidInput(missing, hint="add storage hosts there, or promise less")
    if not promise.home and _tree_tells(promise.survive, there):
        return Layout(segments=(Segment(bucket=ROOT, domain=_ANYWHERE[promise.survive], copies=MOST_COPIES),))
    chosen = _nearest(promise, there)
    if chosen is None:
        raise AssertionError("a promise without a shortage has its hosts")
    copies: dict[str, int] = {}
    for index in chosen:
        bucket = there.ground[index].place.region
        copies[bucket] = copies.get(bucket, 0) + 1
    within = _within(promise.survive)
    return Layout(
        segments=tuple(Segment(bucket=bucket, domain=within, copies=count) for bucket, count in copies.items())
    )


def shortage(promise: Promise, there: Survey) -> str:
    """Say what is missing to keep a promise; empty when nothing is."""
    survive = promise.survive
    labels = [labels for one in there.ground if (labels := one.labels(survive))]
    for kind, noun in enumerate(_NOUNS[survive]):
        found = sorted({each[kind].removeprefix("csp.").removeprefix("dc.") for each in labels})
        if len(found) < MOST_COPIES:
            listed = f" ({', '.join(found)})" if found else ""
            return f"to survive {survive}, {MOST_COPIES} {noun} with OSDs are needed, there are {len(found)}{listed}"
    if promise.home and not any(one.is_in(promise.home) and one.labels(survive) for one in there.ground):
        homes = sorted({word(one.cloud.provider) for one in there.ground if one.cloud.provider})
        return f"no OSD that can keep {survive} is in {promise.home!r}; there are some in: {', '.join(homes) or 'none'}"
    if _nearest(promise, there) is None:
        apart = " and ".join(_NOUNS[survive])
        first = f" with one in {promise.home}" if promise.home else ""
        return f"to survive {survive}, {MOST_COPIES} hosts with OSDs in different {apart} at once are needed{first}"
    return ""


def holds(layout: Layout, promise: Promise, there: Survey) -> bool:
    """Whether this layout keeps the promise on this ground."""
    if shortage(promise, there):
        return False
    if layout.is_plain:
        return (
            not promise.home
            and layout.segments[0].domain == _ANYWHERE[promise.survive]
            and _tree_tells(promise.survive, there)
        )
    groups: list[set[tuple[str, ...]]] = []
    for number, segment in enumerate(layout.segments):
        inside = [one for one in there.ground if one.place.region == segment.bucket]
        labels = {one.labels(promise.survive) for one in inside}
        if len(labels) < segment.copies or () in labels or segment.domain != _within(promise.survive):
            return False
        if promise.home and number == 0 and not all(one.is_in(promise.home) for one in inside):
            return False
        groups.append(labels)
    return sum(segment.copies for segment in layout.segments) == MOST_COPIES and all(
        _apart(one, other) for group, others in combinations(groups, 2) for one in group for other in others
    )


def _within(survive: Survive) -> Domain:
    """What no two copies in one of a provider's regions may share; there is one only where a region is outlived."""
    return Domain.DATACENTER if survive == Survive.ZONE else Domain.HOST


def _tree_tells(survive: Survive, there: Survey) -> bool:
    """Whether copies that CRUSH keeps apart share nothing that fails at once: it knows no areas."""
    if any(not one.labels(survive) for one in there.ground):
        return False
    buckets: dict[str, set[str]] = {}
    for one in there.ground:
        bucket = one.place.provider if survive == Survive.CSP_REGION else one.place.region
        buckets.setdefault(one.area, set()).add(bucket)
    return survive not in (Survive.REGION, Survive.CSP_REGION) or all(len(each) == 1 for each in buckets.values())


def _nearest(promise: Promise, there: Survey) -> tuple[int, ...] | None:
    """The primary's host and the two others: the least write latency, then the least sum, then the first names."""
    # CRUSH may take any host of a region: one that does not say what it fails with rules its region out.
    mixed = {one.place.region for one in there.ground if not one.labels(promise.survive)}
    labels = [() if one.place.region in mixed else one.labels(promise.survive) for one in there.ground]
    usable = [index for index, each in enumerate(labels) if each]
    best: tuple[float, float, tuple[int, ...]] | None = None
    for first in usable:
        if promise.home and not there.ground[first].is_in(promise.home):
            continue
        ms = there.ms[first]
        near = sorted((other for other in usable if _apart(labels[first], labels[other])), key=lambda each: ms[each])
        for last, far in enumerate(near):
            if best is not None and ms[far] > best[0]:
                break
            close = next((each for each in near[:last] if _apart(labels[each], labels[far])), None)
            if close is not None:
                found = (ms[far], ms[close] + ms[far], (first, close, far))
                best = found if best is None or found < best else best
                break
    return best[2] if best else None


def _apart(one: Sequence[str], other: Sequence[str]) -> bool:
    return all(mine != theirs for mine, theirs in zip(one, other, strict=True))
