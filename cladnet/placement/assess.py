"""What members that are chosen already outlive and what their writes cost, whoever chose them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cladnet.placement.areas import locate
from cladnet.placement.failures import single_failures
from cladnet.placement.matrix import Matrix, build
from cladnet.placement.model import Candidate, Failure, Kind, Member, Model, Rtt, Site, Survive
from cladnet.placement.quorum import majority, write_ms
from cladnet.placement.tree import shape
from larva.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """The account of a placement."""

    model: Model
    title: str
    majority: int
    leader: str
    """The member with which writes are fastest."""
    write_ms: float
    worst_write_ms: float
    """The same with the worst leader that an election could bring."""
    members: tuple[Member, ...]
    failures: tuple[Failure, ...]
    estimated: tuple[tuple[str, str], ...] = ()
    """Pairs of members whose round-trip time nobody measured."""

    def outlives(self) -> frozenset[Kind]:
        """The kinds of failure none of which ends the service."""
        return frozenset(Kind) - {failure.kind for failure in self.failures if not failure.survived}


def assess(
    candidates: Sequence[Candidate], rtts: Sequence[Rtt], members: Collection[str], survive: Survive | None = None
) -> Assessment:
    """Return the account of these members.

    Args:
        candidates: each host once; the members are among them.
        rtts: what is known of the distances.
        members: hosts' names, one at least.
        survive: what was promised, if anything.

    Raises:
        InvalidInput: a member is no candidate, or there is none.
    """
    sites = locate(sorted(candidates, key=lambda candidate: candidate.host), rtts)
    chosen = [index for index, site in enumerate(sites) if site.host in members]
    if len(chosen) < max(1, len(members)):
        raise InvalidInput(f"not all of {', '.join(sorted(members)) or 'no members'} are candidates")
    matrix = build(sites, rtts)
    costs = {each: latency(matrix, each, chosen) for each in chosen}
    best = min(chosen, key=lambda each: (costs[each], sum(matrix.ms[each][other] for other in chosen), each))
    model = shape([sites[each] for each in chosen])
    return Assessment(
        model=model,
        title=model.title,
        majority=majority(len(chosen)),
        leader=sites[best].host,
        write_ms=costs[best],
        worst_write_ms=max(costs.values()),
        members=tuple(
            Member(site=sites[each], write_ms=costs[each])
            for each in sorted(chosen, key=lambda each: (each != best, matrix.ms[best][each], each))
        ),
        failures=single_failures(sites, matrix.ms, chosen, survive),
        estimated=estimated(sites, matrix, chosen),
    )


def latency(matrix: Matrix, leader: int, members: Sequence[int]) -> float:
    """What a write costs with this leader, milliseconds, while all members are up."""
    found = write_ms(matrix.ms, leader, members, majority(len(members)))
    if found is None:
        raise AssertionError("all members together are a majority")
    return found


def estimated(sites: Sequence[Site], matrix: Matrix, members: Sequence[int]) -> tuple[tuple[str, str], ...]:
    """Pairs of members whose round-trip time is a guess."""
    return tuple(
        (sites[one].host, sites[other].host)
        for position, one in enumerate(members)
        for other in members[position + 1 :]
        if not matrix.is_measured(one, other)
    )
