"""What a write is expected to cost: by hand for small fleets, bounds for all others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbstorage.ceph.layout import Survey, lay, shortage, survey
from cbstorage.ceph.write_latency import UNWISE_MS, expect
from cbstorage.promise import Promise
from cladnet.model import CloudFacts
from cladnet.placement.model import Rtt, Survive

PROVIDERS = ("aws", "azure", "gcp", "nhn")


def fleet(rtts: dict[tuple[str, str], float]) -> Survey:
    hosts = sorted({host for pair in rtts for host in pair})
    facts = {host: CloudFacts(provider=host, region=f"r-{host}", zone="a") for host in hosts}
    return survey(facts, [Rtt(between=pair, ms=ms) for pair, ms in rtts.items()])


NEAR = fleet({("aws", "azure"): 10.0, ("aws", "gcp"): 20.0, ("azure", "gcp"): 40.0})


def test_anywhere_means_any_writer_and_any_primary() -> None:
    found = expect(lay(Promise(survive=Survive.CSP), NEAR), NEAR)
    ways = {"aws": (0 + 10 + 20) / 3, "azure": (10 + 0 + 40) / 3, "gcp": (20 + 40 + 0) / 3}
    copying = {"aws": 20, "azure": 40, "gcp": 40}
    assert found.expected_ms == pytest.approx(sum(ways[one] + copying[one] for one in ways) / 3)
    assert found.worst_ms == 40 + 40


def test_at_home_only_the_copies_cost() -> None:
    found = expect(lay(Promise(survive=Survive.CSP, home="aws"), NEAR), NEAR, "aws")
    assert (found.expected_ms, found.worst_ms) == (20.0, 20.0)
    assert not found.unwise


def test_what_is_too_far_is_unwise() -> None:
    far = fleet({("aws", "azure"): UNWISE_MS + 1, ("aws", "gcp"): UNWISE_MS + 1, ("azure", "gcp"): 1.0})
    assert expect(lay(Promise(survive=Survive.CSP, home="aws"), far), far, "aws").unwise
    assert not expect(lay(Promise(survive=Survive.CSP, home="aws"), NEAR), NEAR, "aws").unwise


@given(
    st.lists(st.sampled_from(PROVIDERS), min_size=3, max_size=9),
    st.lists(st.floats(0.1, 300), min_size=36, max_size=36),
    st.sampled_from(Survive),
    st.sampled_from(["", *PROVIDERS]),
)
def test_no_write_is_faster_than_its_copies_or_slower_than_two_trips(
    providers: list[str], times: list[float], survive: Survive, home: str
) -> None:
    facts = {f"h{n}": CloudFacts(provider=csp, region=f"r-{csp}", zone=f"{n}") for n, csp in enumerate(providers)}
    pairs = [(one, other) for one in sorted(facts) for other in sorted(facts) if one < other]
    there = survey(facts, [Rtt(between=pair, ms=ms) for pair, ms in zip(pairs, times, strict=False)])
    promise = Promise(survive=survive, home=home)
    if shortage(promise, there):
        return
    found = expect(lay(promise, there), there, home)
    longest = max(max(row) for row in there.ms)
    assert 0 < found.expected_ms <= found.worst_ms <= 2 * longest
