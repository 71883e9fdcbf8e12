"""`larva bench placement`: how long a recommendation among a thousand hosts takes, and brute force beside it on a few."""

import random
import time
from collections.abc import Callable
from itertools import combinations

from cladnet.model import CloudFacts
from cladnet.placement.areas import distance_km, locate, table
from cladnet.placement.matrix import build
from cladnet.placement.model import Candidate, Rtt, Survive
from cladnet.placement.quorum import majority, tolerated, write_ms
from cladnet.placement.recommend import recommend
from cladnet.placement.tree import LIMITED
from larva.bench import Result

HOSTS = 1000
BAR_S = 5.0
"""What a person waits for without wondering."""
SMALL = 14
_MS_PER_KM = 0.015


def fleet(hosts: int, seed: int) -> tuple[list[Candidate], list[Rtt]]:
    """Return hosts spread over the regions of the table and every pair's round-trip time: distance, zone and noise."""
    chance = random.Random(seed)  # noqa: S311 - a repeatable instance, no secret
    regions = [(name, region) for name, area in table().items() for region in area.regions]
    used = chance.sample(regions, min(len(regions), max(4, hosts // 12)))
    candidates = []
    areas = []
    for number in range(hosts):
        area, region = chance.choice(used)
        csp, name = region.split("/")
        cloud = CloudFacts(provider=csp, region=name, zone=f"{name}-{chance.choice('abc')}")
        candidates.append(Candidate(host=f"host-{number:04}", cloud=cloud))
        areas.append(area)
    rtts = []
    for one, other in combinations(range(hosts), 2):
        first, second = candidates[one], candidates[other]
        base = 0.2 + (distance_km(areas[one], areas[other]) or 0.0) * _MS_PER_KM
        base += 0.0 if first.cloud.zone == second.cloud.zone else 0.6
        base += 0.0 if first.cloud.provider == second.cloud.provider else 1.5
        rtts.append(Rtt(between=(first.host, second.host), ms=round(base * chance.uniform(1.0, 1.3), 3)))
    return candidates, rtts


def placement(*, quick: bool) -> list[Result]:
    """Measure recommendations.

    Args:
        quick: one instance a policy, instead of three.
    """
    results = []
    for survive in Survive:
        taken = []
        for seed in range(1 if quick else 3):
            candidates, rtts = fleet(HOSTS, seed)
            for nodes in (3, 5, 7):
                taken.append(
                    _seconds(lambda c=candidates, r=rtts, n=nodes, s=survive: recommend(c, r, nodes=n, survive=s))
                )
        results.append(
            Result(
                metric=f"{HOSTS} candidates, survive {survive}, slowest of N = 3, 5, 7",
                unit="s",
                value=max(taken),
                bar=BAR_S,
            )
        )
    ours, theirs, gaps = _against_brute_force(rounds=1 if quick else 5)
    results.append(
        Result(
            metric=f"{SMALL} candidates, survive csp+region, N = 5",
            unit="s",
            value=ours,
            peer="brute force",
            peer_value=theirs,
        )
    )
    results.append(Result(metric="write latency above brute force's, largest", unit="ms", value=gaps, bar=0.0))
    return results


def _against_brute_force(rounds: int) -> tuple[float, float, float]:
    """Mean seconds of ours and of brute force on the same instances, in turn, and the largest difference in result."""
    ours = theirs = gap = 0.0
    for seed in range(rounds):
        candidates, rtts = fleet(SMALL, seed)
        found = []
        ours += _seconds(
            lambda c=candidates, r=rtts, f=found: f.append(
                recommend(c, r, nodes=5, survive=Survive.CSP_REGION).write_ms
            )
        )
        least = []
        theirs += _seconds(lambda c=candidates, r=rtts, f=least: f.append(_brute_force(c, r, nodes=5)))
        gap = max(gap, abs(found[0] - least[0]))
    return ours / rounds, theirs / rounds, gap


def _brute_force(candidates: list[Candidate], rtts: list[Rtt], *, nodes: int) -> float:
    sites = locate(candidates, rtts)
    matrix = build(sites, rtts)
    least = float("inf")
    for members in combinations(range(len(sites)), nodes):
        domains = [[sites[member].domain(kind) for member in members] for kind in LIMITED[Survive.CSP_REGION]]
        if all(names.count(name) <= tolerated(nodes) for names in domains for name in names):
            for leader in members:
                latency = write_ms(matrix.ms, leader, members, majority(nodes))
                least = min(least, float("inf") if latency is None else latency)
    return least


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
