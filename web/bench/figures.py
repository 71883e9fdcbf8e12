"""What was measured of the console, as the figures that a bench tells: pure functions."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cladnet.bench.figures import percentile
from larva.bench import Result
from web.bench.heard import Heard

PEER = "a watch of etcd"


@dataclass(frozen=True, slots=True)
class Told:
    """How soon what was written in one phase was heard."""

    what: str
    pages_s: Sequence[float]
    """Of each page and probe."""
    watch_s: Sequence[float]


@dataclass(frozen=True, slots=True)
class Rate:
    """How often a second something was read."""

    what: str
    answered: float
    peer: str
    read: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All of one run."""

    hosts: int
    pages: int
    told: Sequence[Told]
    rates: Sequence[Rate]
    empty_mb: float
    """The serving process before any page was open."""
    open_mb: float
    changed_mb: float
    cpu_percent: float
    """Of one processor, while hosts changed."""
    missed: int
    """Pages that did not hear of the last probe, nor were told to read everything after it."""
    resyncs: int
    """How often a page was told to read everything anew once all were open."""


def delays_s(probes: Sequence[int], heard: Heard) -> Iterator[float]:
    """Yield for each probe that was heard how long that took, of it or a later one in its place.

    Args:
        probes: the moments at which they were written, ns, in order.
    """
    names = [name for name, _ in heard.probes]
    for written in probes:
        place = bisect_left(names, written)
        if place < len(names):
            yield (heard.probes[place][1] - written) / 1e9


def results(found: Measured) -> list[Result]:
    """The figures as they are told."""
    pages = f"{found.pages} pages"
    return [
        *(_delay(f"{pages}, {told.what}: from writing to hearing, p99", told, found.pages) for told in found.told),
        *(
            Result(
                metric=f"{pages} open: {rate.what}", unit="1/s", value=rate.answered, peer=rate.peer,
                peer_value=rate.read, n=found.hosts,
            ) for rate in found.rates
        ),
        Result(metric="console process, no page open", unit="MB", value=found.empty_mb),
        Result(metric=f"console process, {pages} open", unit="MB", value=found.open_mb, n=found.pages),
        Result(metric=f"console process, {pages} open, changes told", unit="MB", value=found.changed_mb, n=found.pages),
        Result(
            metric="a page more", unit="kB", n=found.pages,
            value=1024 * (found.changed_mb - found.empty_mb) / found.pages,
        ),
        Result(
            metric=f"console process, {pages}, while {found.hosts} hosts change", unit="% of a CPU",
            value=found.cpu_percent, n=found.pages,
        ),
        Result(metric="pages that missed the last change", unit="1", value=found.missed, bar=0),
        Result(metric="times a page was told to read everything anew", unit="1", value=found.resyncs),
    ]  # fmt: skip


def _delay(metric: str, told: Told, pages: int) -> Result:
    return Result(
        metric=metric, unit="s", value=percentile(told.pages_s, 99), p50=percentile(told.pages_s, 50),
        p99=percentile(told.pages_s, 99), peer=PEER, peer_value=percentile(told.watch_s, 99), n=pages,
    )  # fmt: skip
