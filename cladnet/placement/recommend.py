"""Recommend a placement: locate the candidates, complete the matrix, walk the tree, account for the result."""

from collections.abc import Sequence

from cladnet.placement.areas import UNKNOWN, locate
from cladnet.placement.assess import estimated, latency
from cladnet.placement.failures import single_failures
from cladnet.placement.matrix import build
from cladnet.placement.model import Candidate, Kind, Member, Recommendation, Rtt, Site, Survive
from cladnet.placement.quorum import majority, tolerated
from cladnet.placement.tree import LIMITED, decide
from larva.errors import InvalidInput

FEWEST, MOST = 3, 7
"""Fewer than three members outlive nothing; more than seven only slow every write (etcd's FAQ, "What is maximum cluster
size?")."""
_NAMED_AT_MOST = 10


def recommend(candidates: Sequence[Candidate], rtts: Sequence[Rtt], *, nodes: int, survive: Survive) -> Recommendation:
    """Return where the members of a clustered service with majority quorum should run.

    Args:
        candidates: each host once.
        rtts: what is known of the distances; of any hosts, zones and regions, others than the candidates' too.
        nodes: members, 3 to 7.
        survive: the widest single failure to outlive.

    Raises:
        InvalidInput: too few candidates, or the policy cannot be kept with them; the message says what is missing.
    """
    if not FEWEST <= nodes <= MOST:
        raise InvalidInput(
            f"{nodes} members are not possible",
            hint=f"choose {FEWEST}, 5 or {MOST}: with fewer no failure is survived, with more every write waits longer",
        )
    ordered = sorted(candidates, key=lambda candidate: candidate.host)
    located = locate(ordered, rtts)
    kinds = LIMITED[survive]
    sites = [site for site in located if all(_is_known(site, kind) for kind in kinds)]
    silent = [site.host for site in located if site not in sites]
    if len(sites) < nodes:
        raise InvalidInput(
            f"{nodes} members need {nodes} hosts, found {len(sites)}"
            + (f" and {len(silent)} that do not say where they are" if silent else ""),
            hint="add candidates" + (f"; say the provider, region and zone of {_listed(silent)}" if silent else ""),
        )
    matrix = build(sites, rtts)
    decision = decide(sites, matrix.ms, nodes=nodes, survive=survive)
    chosen = decision.choice.members
    members = tuple(Member(site=sites[each], write_ms=latency(matrix, each, chosen)) for each in chosen)
    return Recommendation(
        model=decision.model,
        title=decision.model.title,
        nodes=nodes,
        majority=majority(nodes),
        survive=survive,
        leader=members[0].site.host,
        write_ms=decision.choice.write_ms,
        worst_write_ms=max(member.write_ms for member in members),
        members=members,
        path=decision.path,
        verdicts=decision.verdicts,
        failures=single_failures(sites, matrix.ms, chosen, survive),
        candidates=len(sites),
        estimated=estimated(sites, matrix, chosen),
        warnings=tuple(_warnings(silent, [sites[each] for each in chosen], nodes, kinds)),
    )


def _is_known(site: Site, kind: Kind) -> bool:
    """Whether the host says enough to tell what it fails with."""
    if kind == Kind.AREA:
        return site.area != site.region or not site.region.endswith(f"/{UNKNOWN}")
    return UNKNOWN not in site.domain(kind).split("/")


def _warnings(silent: Sequence[str], chosen: Sequence[Site], nodes: int, kinds: Sequence[Kind]) -> list[str]:
    warnings = []
    if nodes % 2 == 0:
        warnings.append(
            f"{nodes} members survive the loss of {tolerated(nodes)}, no more than {nodes - 1} would, "
            f"and each write waits for {majority(nodes)} instead of {majority(nodes - 1)}: choose an odd number"
        )
    if silent:
        warnings.append(f"left out, since they do not say where they are: {_listed(silent)}")
    if Kind.AREA in kinds or len({site.region for site in chosen}) > 1:
        strangers = sorted({site.region for site in chosen if site.area == site.region})
        if strangers:
            warnings.append(f"taken as regions apart from all others, since no table knows them: {_listed(strangers)}")
    return warnings


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_AT_MOST
    return ", ".join(names[:_NAMED_AT_MOST]) + (f" and {more} more" if more > 0 else "")
