"""How much fits on OSDs that are not alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbstorage.ceph.answers import CrushTree, TreeNode
from cbstorage.ceph.capacity import most, room_bytes
from cbstorage.ceph.crush import Domain, Replication

THREE = Replication(domain=Domain.REGION, copies=3, needed=2)


@pytest.mark.parametrize(
    ("domains", "copies", "expected"),
    [
        ([4, 4, 4], 3, 4),
        ([4, 4, 400], 3, 4),
        ([2, 4, 4], 3, 2),
        ([4, 4, 4, 4], 3, 16 / 3),
        ([10, 1, 1, 1], 3, 1.5),
        ([5, 3], 2, 3),
        ([7], 1, 7),
        ([7, 7], 3, 0),
        ([], 1, 0),
    ],
)
def test_what_fits(domains: list[float], copies: int, expected: float) -> None:
    assert most(domains, copies) == pytest.approx(expected)


@given(st.lists(st.floats(0.01, 1000), min_size=1, max_size=8), st.integers(1, 3))
def test_it_is_the_most_that_fits(domains: list[float], copies: int) -> None:
    found = most(domains, copies)
    if len(domains) < copies:
        assert found == 0
        return

    def fits(size: float) -> bool:
        return sum(min(domain, size) for domain in domains) >= copies * size

    assert fits(found * 0.999999)
    assert not fits(found * 1.000001)


def test_osds_count_in_the_buckets_they_are_in() -> None:
    nodes = [
        TreeNode(id=-1, name="default", type="root", children=(-2, -3, -4)),
        *(
            node
            for number, bucket in enumerate((-2, -3, -4))
            for node in (
                TreeNode(id=bucket, name=f"csp.{number}", type="region", children=(bucket * 10,)),
                TreeNode(id=bucket * 10, name=f"host-{number}", type="host", children=(number, 10 + number)),
                TreeNode(id=number, name=f"osd.{number}", type="osd", crush_weight=1 / 1024),
                TreeNode(id=10 + number, name=f"osd.{10 + number}", type="osd", crush_weight=3 / 1024),
            )
        ),
    ]
    assert room_bytes(CrushTree(nodes=tuple(nodes)), THREE, 0.75) == 3 << 30
    assert room_bytes(CrushTree(nodes=()), THREE, 0.95) == 0
