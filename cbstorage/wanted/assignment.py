"""Which hosts run monitors, managers and metadata servers: a pure choice that spreads over providers."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from cladnet.model import CloudFacts

MOST_MONITORS = 5
MANAGERS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A host that could run daemons."""

    host: str
    cloud: CloudFacts


def monitors(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Return an odd number of hosts, spread over providers and then their regions.

    Three is the rule; five only where that many providers keep one each, since every write of a monitor waits for a
    majority of them.
    """
    providers = {candidate.cloud.provider for candidate in candidates}
    most = MOST_MONITORS if len(providers) >= MOST_MONITORS else 3
    count = min(most, len(candidates))
    return tuple(spread(candidates)[: count if count % 2 else count - 1])


def managers(monitor_hosts: Sequence[str]) -> tuple[str, ...]:
    """Return the hosts of the active manager and its standby: beside monitors."""
    return tuple(monitor_hosts[:MANAGERS])


def metadata_servers(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Return one host a provider, two hosts at least if there are two: one is active, the others stand by."""
    providers = len({candidate.cloud.provider for candidate in candidates})
    return tuple(spread(candidates)[: max(providers, min(2, len(candidates)))])


def spread(candidates: Sequence[Candidate]) -> list[str]:
    """Return all hosts so that every beginning of the list is spread as widely as it can be."""
    by_provider: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for candidate in sorted(candidates, key=lambda one: one.host):
        by_provider[candidate.cloud.provider][candidate.cloud.region].append(candidate.host)
    return _in_turn([_in_turn(list(regions.values())) for regions in by_provider.values()])


def _in_turn(lists: Sequence[Sequence[str]]) -> list[str]:
    longest = max((len(one) for one in lists), default=0)
    return [one[index] for index in range(longest) for one in lists if index < len(one)]
