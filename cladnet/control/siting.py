"""Siting: where the next control node should be, by the placement models over a CLADNet's hosts."""

from collections.abc import Sequence
from dataclasses import dataclass

from cladnet.control.census import NodeView
from cladnet.placement.candidates import Candidates
from cladnet.placement.model import Model, Outcome, Recommendation, Site, Survive
from cladnet.placement.recommend import FEWEST, MOST, recommend
from larva.errors import InvalidInput

_WIDEST_FIRST = (Survive.CSP_REGION, Survive.CSP, Survive.REGION, Survive.ZONE, Survive.HOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Where the next control node should be, and why there."""

    provider: str
    region: str
    zone: str
    model: Model
    survive: Survive
    why: str
    warnings: tuple[str, ...] = ()


def advise(nodes: Sequence[NodeView], candidates: Candidates) -> Advice:
    """Return where the next control node should be, so that together they survive as wide a failure as is possible.

    Args:
        nodes: the control nodes there are.
        candidates: hosts that show which places there are, and how far apart.

    Raises:
        InvalidInput: there are too few hosts that say where they are.
    """
    wanted = min(MOST, max(FEWEST, len(nodes) + 1 + len(nodes) % 2))  # the next odd number
    found = _widest(candidates, wanted)
    site = _next(nodes, [member.site for member in found.members])
    _, region, zone = site.zone.split("/", 2)
    reason = next(each.reason for each in found.verdicts if each.outcome is Outcome.CHOSEN)
    return Advice(
        provider=site.csp,
        region=region,
        zone=zone,
        model=found.model,
        survive=found.survive,
        why=f"{found.title}: {reason}",
        warnings=(*candidates.remarks, *found.warnings),
    )


def _widest(candidates: Candidates, wanted: int) -> Recommendation:
    refusals = []
    for number in dict.fromkeys((wanted, FEWEST)):
        for survive in _WIDEST_FIRST:
            try:
                return recommend(candidates.hosts, candidates.rtts, nodes=number, survive=survive)
            except InvalidInput as error:
                refusals.append(error)
    raise refusals[-1]


def _next(nodes: Sequence[NodeView], sites: Sequence[Site]) -> Site:
    """The recommended site that shares least with the control nodes there are: its CSP, else its region, its zone."""

    def shared(site: Site) -> tuple[int, int, int]:
        return (
            sum(each.provider == site.csp for each in nodes),
            sum(f"{each.provider}/{each.region}" == site.region for each in nodes),
            sum(f"{each.provider}/{each.region}/{each.zone}" == site.zone for each in nodes),
        )

    return min(sites, key=shared)
