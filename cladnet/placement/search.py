"""The best members for a matrix: the exact optimum of write latency under limits on every failure domain.

For one leader: where members are limited by at most one kind of domain, a set that keeps the limits is independent in
a partition matroid, and taking the nearest host that still fits, over and over, gives a set whose k-th nearest member
is as near as that of any other, for every k (Gale 1968). It is best for the write latency and for the sum of
distances. With two kinds that cross (a CSP has hosts in many areas, an area has many CSPs) the sets are the
intersection of two matroids, and greed alone may fail. Then a branch and bound takes or leaves hosts by distance;
each limit alone, solved by greed, gives its lower bound, and where one of these two sets keeps both limits at that
cost, it is the answer.

The optimum is the best over all leaders; those whose bound does not beat the best found so far are passed over.
"""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from cladnet.placement.quorum import majority

NOTHING_YET = (float("inf"), float("inf"))


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

    @property
    def cost(self) -> tuple[float, float]:
        """What is minimised, the first part first."""
        return (self.write_ms, self.total_ms)


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
    found: Choice | None = None
    feasible: dict[Hashable, bool] = {}
    for leader in _leaders(rtt, near, limits, pools):
        star = _Star(rtt[leader], near[leader], limits, pools, cells, leader)
        cost = found.cost if found else NOTHING_YET
        if not star.may_beat(cost):
            continue
        if len(limits.domains) > 1:
            cell = (pools[leader], cells[leader])
            if cell not in feasible:
                feasible[cell] = star.can_be_filled()
            if not feasible[cell]:
                continue
        found = star.solve(cost) or found
    return found


def most_members(hosts: Sequence[int], limits: Limits) -> int:
    """How many of these hosts can be members at once, whatever the distances; `limits.nodes` at most.

    Two crossing kinds make this a maximum flow: first kind → host's cell → second kind.
    """
    if not limits.domains:
        return min(len(hosts), limits.nodes)
    first, second = limits.domains[0], limits.domains[-1]
    cells = Counter((first[host], second[host]) for host in hosts)
    return _flow(cells, Counter(), Counter(), limits.most, limits.nodes)


def _leaders(
    rtt: Sequence[Sequence[float]], near: Sequence[Sequence[int]], limits: Limits, pools: Sequence[Hashable]
) -> list[int]:
    """Hosts whose pool is large enough, those with the nearest neighbours first: they find good bounds early."""
    sizes = Counter(pools)
    rank = min(majority(limits.nodes) - 1, len(rtt) - 1)
    able = [host for host in range(len(rtt)) if sizes[pools[host]] >= limits.nodes]
    return sorted(able, key=lambda host: (rtt[host][near[host][rank]], host))


@dataclass(slots=True)
class _Star:
    """One leader and the hosts around it."""

    ms: Sequence[float]
    near: Sequence[int]
    limits: Limits
    pools: Sequence[Hashable]
    cells: Sequence[Hashable]
    """For every host its domains of all kinds together."""
    leader: int
    hosts: list[int] = field(init=False)
    """Those that may matter, by distance: of hosts equal in every domain, only the nearest can be of use."""
    used: tuple[Counter[Hashable], ...] = field(init=False)

    def __post_init__(self) -> None:
        self.used = tuple(Counter([domain[self.leader]]) for domain in self.limits.domains)

    def may_beat(self, cost: tuple[float, float]) -> bool:
        """Whether each limit alone leaves room for something cheaper; prepares `hosts` if so."""
        needed = majority(self.limits.nodes) - 1
        wanted = self.limits.nodes - 1
        crossing = len(self.limits.domains) > 1
        most = self.limits.most if self.limits.domains else 1
        seen = Counter([self.cells[self.leader]])
        pool = self.pools[self.leader]
        self.hosts = []
        for host in self.near:
            if host == self.leader or self.pools[host] != pool:
                continue
            if len(self.hosts) < needed and self.ms[host] > cost[0]:
                return False  # the nearest that count, limits of single cells kept, are too far already
            cell = self.cells[host]
            if seen[cell] < most:
                seen[cell] += 1
                self.hosts.append(host)
                if not crossing and len(self.hosts) == wanted:
                    break
        bound = self._bound(0, (), self.used)
        return bound is not None and bound < cost

    def can_be_filled(self) -> bool:
        """Whether any set with this leader keeps both limits."""
        first, second = self.limits.domains
        cells = Counter((first[host], second[host]) for host in self.hosts)
        wanted = self.limits.nodes - 1
        return _flow(cells, self.used[0], self.used[1], self.limits.most, wanted) >= wanted

    def solve(self, cost: tuple[float, float]) -> Choice | None:
        """Return the best choice with this leader if it is cheaper than `cost`."""
        found: Choice | None = None
        stack: list[tuple[int, tuple[int, ...], tuple[Counter[Hashable], ...]]] = [(0, (), self.used)]
        while stack:
            position, taken, used = stack.pop()
            bound = self._bound(position, taken, used)
            if bound is None or bound >= cost:
                continue
            whole = self._whole(position, taken, used, bound)
            if whole is not None:
                found = Choice((self.leader, *whole), *bound)
                cost = bound
                continue
            while not self._fits(self.hosts[position], used):
                position += 1
            host = self.hosts[position]
            stack.append((position + 1, taken, used))
            with_host = tuple(
                counts + Counter([domain[host]]) for counts, domain in zip(used, self.limits.domains, strict=True)
            )
            stack.append((position + 1, (*taken, host), with_host))
        return found

    def _bound(
        self, position: int, taken: tuple[int, ...], used: tuple[Counter[Hashable], ...]
    ) -> tuple[float, float] | None:
        """The least cost of any completion, by each limit alone; None when one of them allows none."""
        bounds = [self._cost(members) for members in self._greedy(position, taken, used)]
        if None in bounds:
            return None
        sure = [bound for bound in bounds if bound is not None]
        return max(bound[0] for bound in sure), max(bound[1] for bound in sure)

    def _whole(
        self, position: int, taken: tuple[int, ...], used: tuple[Counter[Hashable], ...], bound: tuple[float, float]
    ) -> tuple[int, ...] | None:
        """A greedy completion that keeps every limit and costs no more than the bound, if there is one."""
        for members in self._greedy(position, taken, used):
            if members is not None and self._cost(members) == bound and self._keeps(members):
                return members
        return None

    def _greedy(
        self, position: int, taken: tuple[int, ...], used: tuple[Counter[Hashable], ...]
    ) -> Iterator[tuple[int, ...] | None]:
        """For each kind of domain, the nearest members if its limit alone held for hosts still to come."""
        wanted = self.limits.nodes - 1 - len(taken)
        domains = self.limits.domains
        if not domains:
            yield tuple(self.hosts[:wanted]) if len(self.hosts) >= wanted else None
            return
        for kind, domain in enumerate(domains):
            counts = used[kind].copy()
            members = list(taken)
            for host in self.hosts[position:]:
                if len(members) == self.limits.nodes - 1:
                    break
                if counts[domain[host]] < self.limits.most and self._fits(host, used):
                    counts[domain[host]] += 1
                    members.append(host)
            yield tuple(members) if len(members) == self.limits.nodes - 1 else None

    def _cost(self, members: tuple[int, ...] | None) -> tuple[float, float] | None:
        """The cost of members in order of distance."""
        if members is None:
            return None
        needed = majority(self.limits.nodes) - 1
        return (
            self.ms[members[needed - 1]] if needed else 0.0,
            sum(self.ms[member] for member in members),
        )

    def _fits(self, host: int, used: tuple[Counter[Hashable], ...]) -> bool:
        return all(
            counts[domain[host]] < self.limits.most for counts, domain in zip(used, self.limits.domains, strict=True)
        )

    def _keeps(self, members: tuple[int, ...]) -> bool:
        everyone = (self.leader, *members)
        return all(
            max(Counter(domain[host] for host in everyone).values()) <= self.limits.most
            for domain in self.limits.domains
        )


def _flow(
    cells: Counter[tuple[Hashable, Hashable]],
    used_first: Counter[Hashable],
    used_second: Counter[Hashable],
    most: int,
    wanted: int,
) -> int:
    """How many units, `wanted` at most, fit at once: `most` a row and a column less those used, and a cell's count.

    Augmenting paths, a unit each: a row with room takes a cell; a full column has one of its units moved to another.
    """
    placed: Counter[tuple[Hashable, Hashable]] = Counter()
    rows = Counter(dict(used_first))
    columns = Counter(dict(used_second))

    def push(row: Hashable, seen: set[Hashable]) -> bool:
        for (of_row, column), room in cells.items():
            if of_row != row or column in seen or placed[of_row, column] >= room:
                continue
            seen.add(column)
            if columns[column] < most:
                columns[column] += 1
                placed[row, column] += 1
                return True
            for other_row, other_column in list(placed):
                if other_column == column and other_row != row and placed[other_row, column] and push(other_row, seen):
                    placed[other_row, column] -= 1
                    placed[row, column] += 1
                    return True
        return False

    total = 0
    for row in {row for row, _ in cells}:
        while total < wanted and rows[row] < most and push(row, set()):
            rows[row] += 1
            total += 1
    return total
