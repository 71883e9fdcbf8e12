"""The best members for a matrix: the exact optimum of write latency under limits on every failure domain.

For one leader: where members are limited by at most one kind of domain, a set that keeps the limits is independent in
a partition matroid, and taking the nearest host that still fits, over and over, gives a set whose k-th nearest member
is as near as that of any other, for every k (Gale 1968). It is best for the write latency and for the sum of
distances. With two kinds that cross (a CSP has hosts in many areas, an area has many CSPs) the sets are the
intersection of two matroids, and greed alone may fail. There the least sum is a minimum-cost flow, and so is the
question whether a write latency can be reached; where no set has both at their least, a branch and bound between them
decides.

The optimum is the best over all leaders; those whose bound does not beat the best found so far are passed over.
"""

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from cladnet.placement.flow import Cost, Room, cheapest
from cladnet.placement.quorum import majority

EXACT = 2.0**60
"""Units a millisecond: floats of 4 µs and more become whole numbers without loss, so that sums and ties are exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a set of members has to keep.

    Args:
        nodes: members, at least one.
        most: members that one domain may hold.
        domains: for each limited kind (none, one or two), the domain of every host.
    """

    nodes: int
    most: int
    domains: tuple[Sequence[Hashable], ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """Members, the leader first, then by distance from it; hosts are indices into the matrix."""

    members: tuple[int, ...]
    write_ms: float
    total_ms: float
    """The sum of round trips from the leader to every member: decides between equal write latencies."""


def neighbours(rtt: Sequence[Sequence[float]]) -> list[list[int]]:
    """For every host the hosts by distance, itself included; equally near ones by index."""
    return [sorted(range(len(row)), key=row.__getitem__) for row in rtt]


def best(
    rtt: Sequence[Sequence[float]], near: Sequence[Sequence[int]], limits: Limits, pools: Sequence[Hashable]
) -> Choice | None:
    """Return the choice of least write latency, then least sum of distances, all of whose members are in one pool.

    Args:
        rtt: milliseconds between every two hosts.
        near: `neighbours(rtt)`.
        pools: the pool of every host.

    Returns:
        None when no pool holds a set that keeps the limits.
    """
    cells: list[Hashable] = [tuple(domain[host] for domain in limits.domains) or host for host in range(len(rtt))]
    found: _Found | None = None
    for leader in _leaders(rtt, near, limits, pools):
        star = _Star(rtt[leader], limits, cells, leader)
        if star.gather(near[leader], pools, found.write_ms if found else None):
            found = star.solve(found)
    if found is None:
        return None
    return Choice(found.members, found.write_ms, sum(rtt[found.members[0]][member] for member in found.members))


def most_members(hosts: Sequence[int], limits: Limits) -> int:
    """How many of these hosts can be members at once, whatever the distances; `limits.nodes` at most."""
    if not limits.domains:
        return min(len(hosts), limits.nodes)
    room = Room(limits.domains[0], limits.domains[-1], limits.most, Counter(), Counter())
    return len(cheapest(hosts, dict.fromkeys(hosts, (0, 0)), room, limits.nodes))


def _leaders(
    rtt: Sequence[Sequence[float]], near: Sequence[Sequence[int]], limits: Limits, pools: Sequence[Hashable]
) -> list[int]:
    """Hosts whose pool is large enough, those with the nearest neighbours first: they find good bounds early."""
    sizes = Counter(pools)
    rank = min(majority(limits.nodes) - 1, len(rtt) - 1)
    able = [host for host in range(len(rtt)) if sizes[pools[host]] >= limits.nodes]
    return sorted(able, key=lambda host: (rtt[host][near[host][rank]], host))


@dataclass(frozen=True, slots=True)
class _Found:
    """The best so far."""

    members: tuple[int, ...]
    write_ms: float
    cost: Cost
    """Write latency and sum of distances in exact units."""


@dataclass(slots=True)
class _Star:
    """One leader and the hosts around it."""

    ms: Sequence[float]
    limits: Limits
    cells: Sequence[Hashable]
    """For every host its domains of all kinds together."""
    leader: int
    hosts: list[int] = field(default_factory=list)
    """Those that may matter, by distance: of hosts equal in every domain, only the nearest can be of use."""
    units: dict[int, int] = field(default_factory=dict)
    """Their distances in exact units."""

    @property
    def _quorum(self) -> int:
        """Members besides the leader that a write waits for."""
        return majority(self.limits.nodes) - 1

    @property
    def _crossing(self) -> bool:
        return len(self.limits.domains) > 1

    def gather(self, near: Sequence[int], pools: Sequence[Hashable], to_beat_ms: float | None) -> bool:
        """Collect the hosts; False as soon as there are too few, or the nearest that fit are too far already."""
        most = self.limits.most if self.limits.domains else 1
        seen = Counter([self.cells[self.leader]])
        pool = pools[self.leader]
        for host in near:
            if host == self.leader or pools[host] != pool:
                continue
            if to_beat_ms is not None and len(self.hosts) < self._quorum and self.ms[host] > to_beat_ms:
                return False
            cell = self.cells[host]
            if seen[cell] < most:
                seen[cell] += 1
                self.hosts.append(host)
                self.units[host] = int(self.ms[host] * EXACT)
                if not self._crossing and len(self.hosts) == self.limits.nodes - 1:
                    break
        return len(self.hosts) >= self.limits.nodes - 1

    def solve(self, found: _Found | None) -> _Found | None:
        """Return the best choice with this leader if it is better than the one found before, which is returned else."""
        if not self._crossing:
            return self._better(found, self.hosts)
        first, second = self.limits.domains
        stack: list[tuple[int, tuple[int, ...]]] = [(0, ())]
        while stack:
            position, taken = stack.pop()
            everyone = (self.leader, *taken)
            room = Room(
                first, second, self.limits.most,
                Counter(first[host] for host in everyone), Counter(second[host] for host in everyone),
            )  # fmt: skip
            bound, found = self._bound(position, taken, room, found)
            if bound is None or (found is not None and bound >= found.cost):
                continue
            while not self._fits(self.hosts[position], room):
                position += 1
            stack.append((position + 1, taken))
            stack.append((position + 1, (*taken, self.hosts[position])))
        return found

    def _bound(
        self, position: int, taken: tuple[int, ...], room: Room, found: _Found | None
    ) -> tuple[Cost | None, _Found | None]:
        """The least latency and, apart from it, the least sum of any completion; and the best found on the way.

        The completion of least sum also bounds the latency from above. Below that, a latency can be reached if some
        completion has few enough members beyond it: the one with the fewest, and of these the least sum, is looked at.
        """
        rest = [host for host in self.hosts[position:] if self._fits(host, room)]
        wanted = self.limits.nodes - 1 - len(taken)
        nearest = cheapest(rest, {host: (0, self.units[host]) for host in rest}, room, wanted)
        if len(nearest) < wanted:
            return None, found
        found = self._better(found, (*taken, *nearest))
        latency, total = self._cost((*taken, *nearest))
        latencies = sorted({self.units[host] for host in (*taken, *rest) if self.units[host] < latency})
        low, high = 0, len(latencies)  # those before low cannot be reached, those from high on can
        while low < high:
            middle = (low + high) // 2
            if (latencies[middle], total) >= found.cost:
                high = middle  # whatever lies there is no better than what is found: only less is of interest
                continue
            limit = latencies[middle]
            costs = {host: (int(self.units[host] > limit), self.units[host]) for host in rest}
            members = (*taken, *cheapest(rest, costs, room, wanted))
            found = self._better(found, members)
            if sum(self.units[host] <= limit for host in members) >= self._quorum:
                high = middle
            else:
                low = middle + 1
        return (latencies[low] if low < len(latencies) else latency, total), found

    def _better(self, found: _Found | None, members: Sequence[int]) -> _Found:
        cost = self._cost(members)
        if found is not None and found.cost <= cost:
            return found
        ordered = sorted(members, key=lambda host: (self.units[host], host))
        write_ms = self.ms[ordered[self._quorum - 1]] if self._quorum else 0.0
        return _Found((self.leader, *ordered), write_ms, cost)

    def _cost(self, members: Sequence[int]) -> Cost:
        distances = sorted(self.units[host] for host in members)
        return (distances[self._quorum - 1] if self._quorum else 0, sum(distances))

    def _fits(self, host: int, room: Room) -> bool:
        return room.used_first[room.first[host]] < room.most and room.used_second[room.second[host]] < room.most
