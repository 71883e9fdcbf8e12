"""Prudence: whether a control node may come or go without putting the majority at risk; why not, in plain words."""

from collections.abc import Sequence

from cladnet.control.census import NodeState, NodeView
from cladnet.placement.quorum import majority, tolerated


def why_not_add(nodes: Sequence[NodeView]) -> str:
    """Return why no control node should be added now; empty if one may be."""
    wrong = [f"{each.host or each.address} is {each.state}" for each in nodes if each.state is not NodeState.HEALTHY]
    return ", ".join(wrong)


def why_not_remove(nodes: Sequence[NodeView], host: str) -> str:
    """Return why a control node must not be removed; empty if it may be.

    A member without a vote may always go. One with a vote may when those who answer are a majority now, as the change
    itself needs one, and are still one of those who are left.
    """
    voters = [each for each in nodes if each.votes]
    if all(each.host != host for each in voters):
        return ""
    well = [each for each in voters if each.state is NodeState.HEALTHY]
    if len(voters) == 1:
        return f"{host} is the last control node, and the whole control plane is on it"
    if len(well) < majority(len(voters)):
        return (
            f"only {len(well)} of {len(voters)} members of etcd are well and {majority(len(voters))} have to be "
            f"to change anything"
        )
    left, needed = [each for each in well if each.host != host], majority(len(voters) - 1)
    if len(left) < needed:
        return (
            f"{len(left)} of the {len(voters) - 1} members that would be left are well and {needed} have to be: "
            f"nobody could write any more"
        )
    return ""


def outlook(voters: int) -> str:
    """Return what so many members survive, with a warning where one less would survive as much."""
    members = "1 member survives" if voters == 1 else f"{voters} members survive"
    lost = tolerated(voters)
    loss = "the loss of none" if lost == 0 else f"the loss of {lost}"
    if voters % 2 or voters == 0:
        return f"{members} {loss}"
    return f"{members} {loss}, no more than {voters - 1} would: an even number only slows writes, so add another"
