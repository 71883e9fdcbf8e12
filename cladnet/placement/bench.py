"""`larva bench placement`: a recommendation among a thousand hosts, and brute force beside it among a few."""

import random
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from statistics import fmean

from cladnet.model import CloudFacts
from cladnet.placement.areas import distance_km, locate, table
from cladnet.placement.matrix import build
from cladnet.placement.model import Candidate, Rtt, Survive
from cladnet.placement.quorum import majority, tolerated, write_ms
from cladnet.placement.recommend import recommend
from cladnet.placement.tree import LIMITED
from larva.bench import Result

Fleet = tuple[list[Candidate], list[Rtt]]

HOSTS = 1000
BAR_S = 5.0
"""What a person waits for without wondering."""
SMALL = 14
_MS_PER_KM = 0.015


def fleet(hosts: int, seed: int) -> Fleet:
    """Return hosts spread over many regions, and every pair's round-trip time: distance, zone, CSP and noise."""
    chance = random.Random(seed)  # noqa: S311 - a repeatable instance, no secret
    regions = [(name, region) for name, area in table().items() for region in area.regions]
    big = [each for each in regions if each[1].split("/")[0] in ("aws", "azure", "gcp", "alibaba", "ibm", "tencent")]
    used = chance.sample(big, min(len(big), max(10, hosts // 12)))
    candidates = []
    areas = []
    for number in range(hosts):
        area, region = used[number % len(used)]
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
    fleets = [fleet(HOSTS, seed) for seed in range(1 if quick else 3)]
    results = [
        Result(
            metric=f"{HOSTS} candidates, survive {survive}, slowest of N = 3, 5, 7", unit="s CPU", bar=BAR_S,
            value=max(_seconds(recommend, each, nodes, survive) for each in fleets for nodes in (3, 5, 7)),
        )
        for survive in Survive
    ]  # fmt: skip
    small = [fleet(SMALL, seed) for seed in range(2 if quick else 10)]
    policy = Survive.CSP_REGION
    pairs = [(_seconds(recommend, each, 5, policy), _seconds(_brute_force, each, 5, policy)) for each in small]
    results.append(
        Result(
            metric=f"{SMALL} candidates, survive {policy}, N = 5, mean", unit="s CPU",
            value=fmean(pair[0] for pair in pairs), peer="brute force", peer_value=fmean(pair[1] for pair in pairs),
        )
    )  # fmt: skip
    gaps = [
        abs(recommend(*each, nodes=5, survive=policy).write_ms - _brute_force(*each, nodes=5, survive=policy))
        for each in small
    ]
    results.append(Result(metric="write latency off brute force's, at most", unit="ms", value=max(gaps), bar=0.0))
    return results


def _brute_force(candidates: Sequence[Candidate], rtts: Sequence[Rtt], *, nodes: int, survive: Survive) -> float:
    """The least write latency over every set and every leader."""
    sites = locate(candidates, rtts)
    rtt = build(sites, rtts).ms
    least = float("inf")
    for members in combinations(range(len(sites)), nodes):
        domains = [[sites[member].domain(kind) for member in members] for kind in LIMITED[survive]]
        if all(names.count(name) <= tolerated(nodes) for names in domains for name in names):
            for leader in members:
                latency = write_ms(rtt, leader, members, majority(nodes))
                least = min(least, float("inf") if latency is None else latency)
    return least


def _seconds(work: Callable[..., object], instance: Fleet, nodes: int, survive: Survive) -> float:
    started = time.process_time()  # one thread that only computes: what others do beside it is not counted
    work(*instance, nodes=nodes, survive=survive)
    return time.process_time() - started
