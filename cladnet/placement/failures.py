"""Every single failure that touches a member, and whether a majority outlives it."""

from collections.abc import Sequence

from cladnet.placement.model import Failure, Kind, Site, Survive
from cladnet.placement.quorum import majority, write_ms
from cladnet.placement.tree import PROMISED


def single_failures(
    sites: Sequence[Site], rtt: Sequence[Sequence[float]], members: Sequence[int], survive: Survive | None
) -> tuple[Failure, ...]:
    """Return the failure of each member's host, zone, region, area and CSP, the narrow ones first.

    Args:
        sites, rtt: of all candidates.
        members: indices into them.
        survive: what was promised; nothing for None.
    """
    needed = majority(len(members))
    failures = []
    for kind in Kind:
        for name in dict.fromkeys(sites[member].domain(kind) for member in members):
            left = [member for member in members if sites[member].domain(kind) != name]
            latencies = [latency for leader in left if (latency := write_ms(rtt, leader, left, needed)) is not None]
            failures.append(
                Failure(
                    kind=kind,
                    name=name,
                    lost=tuple(sites[member].host for member in members if sites[member].domain(kind) == name),
                    left=len(left),
                    survived=len(left) >= needed,
                    promised=survive is not None and kind in PROMISED[survive],
                    write_ms=min(latencies, default=None),
                )
            )
    return tuple(failures)
