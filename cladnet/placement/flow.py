"""The cheapest hosts under limits on two crossing kinds of domain: a minimum-cost flow, one host a path.

Source → domain of the first kind → host → domain of the second kind → sink; a domain passes as many hosts as it may
hold. After each shortest path the hosts taken are the cheapest of their number (successive shortest paths; Ahuja,
Magnanti and Orlin, Network Flows, section 9.7).
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

Cost = tuple[int, int]
"""The first part counts first. Whole numbers, so that sums and comparisons are exact and the search for paths ends."""


@dataclass(frozen=True, slots=True)
class Room:
    """The domains of every host by both kinds, how many hosts one may hold, and how many it holds already."""

    first: Sequence[Hashable]
    second: Sequence[Hashable]
    most: int
    used_first: Counter[Hashable]
    used_second: Counter[Hashable]


def cheapest(hosts: Sequence[int], costs: Mapping[int, Cost], room: Room, wanted: int) -> list[int]:
    """Return `wanted` of the hosts with the least total cost, or as many as there is room for."""
    taken: list[int] = []
    while len(taken) < wanted:
        path = _shortest_path(hosts, taken, costs, room)
        if not path:
            break
        taken = [host for host in taken if host not in path] + [host for host in path if host not in taken]
    return taken


def _shortest_path(hosts: Sequence[int], taken: Sequence[int], costs: Mapping[int, Cost], room: Room) -> list[int]:
    """The hosts to take and to give up, in turn, for one more; none if there is no way (Bellman and Ford)."""
    held_first = room.used_first + Counter(room.first[host] for host in taken)
    held_second = room.used_second + Counter(room.second[host] for host in taken)
    by_first: defaultdict[Hashable, list[int]] = defaultdict(list)
    by_second: defaultdict[Hashable, list[int]] = defaultdict(list)
    reached: dict[int, Cost] = {}
    for host in hosts:
        if host not in taken:
            by_first[room.first[host]].append(host)
            by_second[room.second[host]].append(host)
            if held_first[room.first[host]] < room.most:
                reached[host] = costs[host]
    before: dict[int, int] = {}
    changed = True
    while changed:
        changed = False
        for old in taken:
            for host in by_second[room.second[old]]:
                if host in reached:
                    cost = (reached[host][0] - costs[old][0], reached[host][1] - costs[old][1])
                    if old not in reached or cost < reached[old]:
                        reached[old], before[old], changed = cost, host, True
            if old in reached:
                for host in by_first[room.first[old]]:
                    cost = (reached[old][0] + costs[host][0], reached[old][1] + costs[host][1])
                    if host not in reached or cost < reached[host]:
                        reached[host], before[host], changed = cost, old, True
    ends = [host for host in reached if host not in taken and held_second[room.second[host]] < room.most]
    if not ends:
        return []
    path = [min(ends, key=lambda host: (reached[host], host))]
    while path[-1] in before:
        path.append(before[path[-1]])
    return path
