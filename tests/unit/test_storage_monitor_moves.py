"""Monitors move without ever losing their majority, and one host acts for all."""

from hypothesis import given
from hypothesis import strategies as st

from cbstorage.leading import monitor_moves

NAMES = st.sets(st.sampled_from("abcdefg"), min_size=1)


@given(NAMES, NAMES, st.data())
def test_a_majority_is_left_when_one_goes(in_map: set[str], wanted: set[str], data: st.DataObject) -> None:
    quorum = data.draw(st.sets(st.sampled_from(sorted(in_map)), min_size=len(in_map) // 2 + 1))
    gone = monitor_moves.next_to_go(in_map=in_map, quorum=quorum, wanted=wanted)
    if gone is None:
        return
    assert gone in in_map - wanted
    left = in_map - {gone}
    assert len(quorum - {gone}) > len(left) // 2
    assert gone not in quorum or wanted <= quorum


@given(NAMES, st.data())
def test_one_that_joins_and_dies_costs_no_majority(in_map: set[str], data: st.DataObject) -> None:
    quorum = data.draw(st.sets(st.sampled_from(sorted(in_map)), min_size=len(in_map) // 2 + 1))
    if monitor_moves.may_join(in_map=in_map, quorum=quorum) and len(in_map) > 1:
        assert len(quorum) > (len(in_map) + 1) // 2


@given(NAMES, NAMES)
def test_every_move_comes_to_its_end(in_map: set[str], wanted: set[str]) -> None:
    """All are up: those that are wanted join one after the other, then those that are not go."""
    now = set(in_map)
    for _ in range(20):
        joining = sorted(wanted - now)
        if joining and monitor_moves.may_join(in_map=now, quorum=now):
            now.add(joining[0])
        gone = monitor_moves.next_to_go(in_map=now, quorum=now, wanted=wanted)
        if gone is not None:
            now.remove(gone)
    assert now == wanted


def test_a_silent_one_goes_before_others_join() -> None:
    assert monitor_moves.next_to_go(in_map="abc", quorum="ab", wanted="abd") == "c"
    assert monitor_moves.next_to_go(in_map="abc", quorum="abc", wanted="abd") is None
    assert monitor_moves.next_to_go(in_map="abcd", quorum="abcd", wanted="abd") == "c"


@given(NAMES, NAMES, NAMES, st.sampled_from("abcdefg"))
def test_at_most_one_host_leads(quorum: set[str], wanted: set[str], hosts: set[str], leader: str) -> None:
    leading = [one for one in hosts if monitor_moves.leads(one, leader=leader, quorum=quorum, wanted=wanted)]
    assert len(leading) <= 1
    assert set(leading) <= quorum & wanted


def test_the_leading_monitor_s_host_leads_while_it_stays() -> None:
    assert monitor_moves.leads("b", leader="b", quorum="abc", wanted="abc")
    assert monitor_moves.leads("a", leader="b", quorum="abc", wanted="ac")
    assert not monitor_moves.leads("b", leader="b", quorum="abc", wanted="ac")
