"""What is kept free on OSDs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbstorage.ceph.answers import CrushTree, TreeNode
from cbstorage.ceph.fullness import KEPT_BYTES, Ratios, ratios
from cbstorage.ceph.osds import Fill
from cbstorage.leading.room import hindrance, smallest_bytes

SIZES = st.integers(min_value=1, max_value=1 << 50)


@pytest.mark.parametrize(
    ("size", "full"), [(2 << 30, 0.75), (4 << 30, 0.75), (8 << 30, 0.88), (1 << 40, 0.95), (100 << 40, 0.95)]
)
def test_a_gibibyte_is_kept_where_the_osd_can_spare_it(size: int, full: float) -> None:
    assert ratios(size).full == full


@given(SIZES)
def test_ratios_are_in_order_and_never_above_ceph_s(size: int) -> None:
    found = ratios(size)
    assert 0.6 < found.nearfull < found.backfillfull < found.full <= 0.95
    assert found.same(ratios(size))


@given(SIZES.filter(lambda size: size >= 4 * KEPT_BYTES))
def test_no_less_than_what_is_promised_is_kept_but_for_rounding(size: int) -> None:
    assert size * (1 - ratios(size).full) >= KEPT_BYTES - 0.005 * size


def test_ratios_are_compared_as_ceph_keeps_them() -> None:
    stored = Ratios(nearfull=0.6499999761581421, backfillfull=0.699999988079071, full=0.75)
    assert stored.same(ratios(4 << 30))
    assert not stored.same(ratios(8 << 30))


def test_an_osd_that_is_drained_does_not_count() -> None:
    weights = {0: 4 / 1024, 1: 0.0, 2: 1.0}
    nodes = [TreeNode(id=osd, name=f"osd.{osd}", type="osd", crush_weight=weight) for osd, weight in weights.items()]
    nodes.append(TreeNode(id=-1, name="default", type="root"))
    assert smallest_bytes(CrushTree(nodes=tuple(nodes))) == 4 << 30
    assert smallest_bytes(CrushTree(nodes=(nodes[1],))) is None


def test_ratios_are_not_lowered_below_what_an_osd_holds() -> None:
    wanted = ratios(4 << 30)
    room, none = Fill(total=4 << 30, used=1 << 30), Fill(total=4 << 30, used=3 << 30)
    assert hindrance({0: room, 1: room}, [0, 1], wanted) == ""
    assert "osd.1 holds more" in hindrance({0: room, 1: none}, [0, 1], wanted)
    assert "osd.2 does not say" in hindrance({0: room, 1: room}, [0, 1, 2], wanted)
