"""Which hosts of a CLADNet run monitors, by placement: what is outlived first, then how long a write takes.

Monitors agree by a majority on every change of the cluster's map, so they are a clustered service as any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cbstorage.wanted import assignment
from cladnet.model import HostState, HostStatus, Role
from cladnet.network_hosts import HostView
from cladnet.placement.assess import Assessment, assess
from cladnet.placement.candidates import Candidates, of_cladnet
from cladnet.placement.model import Candidate, Kind, Recommendation, Rtt, Survive
from cladnet.placement.recommend import FEWEST, MOST, recommend
from larva.errors import InvalidInput

WIDEST_FIRST = (Survive.CSP_REGION, Survive.CSP, Survive.REGION, Survive.ZONE, Survive.HOST)
"""What is tried when nobody says what has to be outlived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitorPlan:
    """The monitors' hosts, why these, and what they outlive."""

    mon_hosts: tuple[str, ...]
    why: str
    assessment: Assessment
    warnings: tuple[str, ...] = ()


def able(views: Sequence[HostView]) -> tuple[HostView, ...]:
    """The hosts that could run a monitor: storage hosts with an address."""
    return tuple(view for view in views if Role.STORAGE in view.roles and view.address is not None)


def named(hosts: Sequence[str], views: Sequence[HostView], rows: Sequence[HostStatus]) -> MonitorPlan:
    """Account for monitors that somebody named."""
    return _without_placement(hosts, "they were named", able(views), rows)


def choose(
    views: Sequence[HostView], rows: Sequence[HostStatus], *, count: int | None = None, survive: Survive | None = None
) -> MonitorPlan:
    """Choose the monitors' hosts.

    What is asked for is kept or refused. What is not asked for is as wide as these hosts allow, and never outlives
    less than the spread over providers and regions that `assignment.monitors` makes.

    Args:
        views: of the CLADNet's hosts, one that is able among them at least.
        rows: of its latency matrix; without any, distances are guessed.
        count: an odd number; three without it, five where that many providers have one each, one of fewer than three.
        survive: the widest single failure to outlive.

    Raises:
        InvalidInput: what is asked for cannot be; the message says what is missing.
    """
    hosts = able(views)
    if count is not None and (count % 2 == 0 or not 1 <= count <= MOST):
        raise InvalidInput(f"{count} monitors are not sensible", hint=f"choose an odd number, {MOST} at most")
    if count is not None and count < FEWEST and survive is not None:
        raise InvalidInput(f"{count} monitor survives the failure of no {survive}", hint=f"ask for {FEWEST}")
    spread = _spread(hosts, count)
    if survive is None and len(spread) < FEWEST:
        return _without_placement(spread, "there are too few storage hosts for more", hosts, rows)
    found = of_cladnet(hosts, rows)
    nodes = count or len(spread)
    if survive is not None:
        recommended = recommend(found.hosts, found.rtts, nodes=max(nodes, FEWEST), survive=survive)
        return _of(recommended, found, hosts, found.remarks)
    widest, refusals = _widest(found.hosts, found.rtts, nodes)
    fallback = _without_placement(spread, "spread over providers and regions, these outlive most", hosts, rows)
    if widest is not None:
        # Both are accounted for with all hosts: which regions are one may hang on a host that is away.
        plan = _of(widest, _all_of(hosts, rows), hosts, (*found.remarks, *refusals))
        if plan.assessment.outlives() >= fallback.assessment.outlives():
            return plan
    return fallback


def _spread(hosts: Sequence[HostView], count: int | None) -> tuple[str, ...]:
    candidates = [assignment.Candidate(host=view.host, cloud=view.cloud) for view in hosts]
    if count is None:
        return assignment.monitors(candidates)
    if count > len(candidates):
        raise InvalidInput(f"{count} monitors need {count} storage hosts, found {len(candidates)}")
    return tuple(assignment.spread(candidates)[:count])


def _without_placement(
    chosen: Sequence[str], why: str, hosts: Sequence[HostView], rows: Sequence[HostStatus]
) -> MonitorPlan:
    found = _all_of(hosts, rows)
    assessment = assess(found.hosts, found.rtts, chosen)
    warnings = list(found.remarks) if len(chosen) > 1 else []
    if away := [view.host for view in hosts if view.host in chosen and not view.present]:
        warnings.append(f"not up now: {', '.join(away)}; there is no storage before most monitors are")
    ends = [each.name for each in assessment.failures if each.kind == Kind.CSP and not each.survived]
    if ends:
        warnings.append(f"the loss of a cloud will end the storage: {', '.join(ends)}")
    return MonitorPlan(mon_hosts=tuple(chosen), why=why, assessment=assessment, warnings=tuple(warnings))


def _all_of(hosts: Sequence[HostView], rows: Sequence[HostStatus]) -> Candidates:
    return of_cladnet([replace(view, present=True, state=HostState.ACTIVE) for view in hosts], rows)


def _widest(
    candidates: Sequence[Candidate], rtts: Sequence[Rtt], nodes: int
) -> tuple[Recommendation | None, tuple[str, ...]]:
    """The placement that outlives most by the policies' order; and why the first that spares a cloud could not be."""
    refusals: list[str] = []
    for survive in WIDEST_FIRST:
        try:
            return recommend(candidates, rtts, nodes=nodes, survive=survive), tuple(refusals)
        except InvalidInput as error:
            if survive == Survive.CSP:
                refusals = [f"the loss of a cloud will end the storage: {error.message}"]
    return None, ()


def _of(
    recommended: Recommendation, found: Candidates, hosts: Sequence[HostView], remarks: Sequence[str]
) -> MonitorPlan:
    chosen = {member.site.host for member in recommended.members}
    # In the order of the spread: managers stand beside the first monitors, and belong into different clouds.
    ordered = assignment.spread(
        [assignment.Candidate(host=view.host, cloud=view.cloud) for view in hosts if view.host in chosen]
    )
    return MonitorPlan(
        mon_hosts=tuple(ordered),
        why=next(each.reason for each in recommended.verdicts if each.model == recommended.model),
        assessment=assess(found.hosts, found.rtts, chosen, recommended.survive),
        warnings=(*remarks, *recommended.warnings),
    )
