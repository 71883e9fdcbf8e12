"""The search for the best members against brute force over every set and every leader."""

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from cladnet.placement.quorum import majority, tolerated, write_ms
from cladnet.placement.search import Limits, best, most_members, neighbours

Instance = tuple[list[list[float]], Limits, list[int]]


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    """A small matrix, limits of no, one or two crossing kinds, and pools. Few different times make ties."""
    hosts = draw(st.integers(1, 9))
    times = draw(st.sampled_from([st.integers(0, 6).map(float), st.floats(0.1, 300.0, allow_nan=False), st.just(1.0)]))
    rtt = [[0.0] * hosts for _ in range(hosts)]
    for one, other in combinations(range(hosts), 2):
        rtt[one][other] = rtt[other][one] = draw(times)
    nodes = draw(st.sampled_from([3, 3, 4, 5, 5, 6, 7]))
    kinds = draw(st.integers(0, 2))
    domains = tuple(draw(st.lists(st.integers(0, 4), min_size=hosts, max_size=hosts)) for _ in range(kinds))
    pools = draw(st.lists(st.integers(0, draw(st.integers(0, 1))), min_size=hosts, max_size=hosts))
    return rtt, Limits(nodes=nodes, most=tolerated(nodes), domains=domains), pools


def keeps(members: Sequence[int], limits: Limits) -> bool:
    return all(max(Counter(domain[member] for member in members).values()) <= limits.most for domain in limits.domains)


def brute_force(
    rtt: Sequence[Sequence[float]], limits: Limits, pools: Sequence[Hashable]
) -> tuple[float, float] | None:
    """The least cost over every set and leader, by definition alone."""
    costs = []
    for members in combinations(range(len(rtt)), limits.nodes):
        if len({pools[member] for member in members}) == 1 and keeps(members, limits):
            for leader in members:
                latency = write_ms(rtt, leader, members, majority(limits.nodes))
                assert latency is not None
                costs.append((latency, sum(sorted(rtt[leader][member] for member in members))))
    return min(costs, default=None)


@given(instances())
@settings(max_examples=600)
def test_the_search_finds_the_optimum(instance: Instance) -> None:
    rtt, limits, pools = instance
    choice = best(rtt, neighbours(rtt), limits, pools)
    expected = brute_force(rtt, limits, pools)
    if choice is None:
        assert expected is None
        return
    assert expected is not None
    assert abs(choice.write_ms - expected[0]) < 1e-9
    assert abs(choice.total_ms - expected[1]) < 1e-6
    assert len(set(choice.members)) == limits.nodes
    assert keeps(choice.members, limits)
    assert len({pools[member] for member in choice.members}) == 1
    assert write_ms(rtt, choice.members[0], choice.members, majority(limits.nodes)) == choice.write_ms


@given(instances())
def test_most_members_counts_the_largest_set(instance: Instance) -> None:
    rtt, limits, _ = instance
    hosts = range(len(rtt))
    sizes = (
        size
        for size in range(min(limits.nodes, len(rtt)), -1, -1)
        if any(size == 0 or keeps(members, limits) for members in combinations(hosts, size))
    )
    assert most_members(hosts, limits) == next(sizes)


def test_greed_alone_would_miss_the_optimum_where_two_kinds_cross() -> None:
    """From the leader (0, 0): the nearest host (1, 1) bars both others, so a farther pair has to be taken."""
    csps, areas = [0, 1, 1, 2], [0, 1, 2, 1]
    rtt = [
        [0.0, 1.0, 2.0, 3.0],
        [1.0, 0.0, 90.0, 90.0],
        [2.0, 90.0, 0.0, 90.0],
        [3.0, 90.0, 90.0, 0.0],
    ]
    limits = Limits(nodes=3, most=1, domains=(csps, areas))
    choice = best(rtt, neighbours(rtt), limits, [0] * 4)
    assert choice is not None
    assert (choice.members, choice.write_ms) == ((0, 2, 3), 2.0)


def test_a_write_waits_for_the_last_of_the_nearest_majority() -> None:
    rtt = [[0.0, 4.0, 1.0, 3.0, 2.0], *[[0.0] * 5] * 4]
    assert [write_ms(rtt, 0, range(5), needed) for needed in (1, 2, 3, 5)] == [0.0, 1.0, 2.0, 4.0]
    assert write_ms(rtt, 0, [0, 2], 3) is None
    assert [majority(nodes) for nodes in (1, 2, 3, 4, 5)] == [1, 2, 2, 3, 3]
    assert [tolerated(nodes) for nodes in (1, 2, 3, 4, 5)] == [0, 0, 1, 1, 2]
