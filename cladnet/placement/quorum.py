"""What a majority is, how many members it lets go, and what a write costs."""

from collections.abc import Iterable, Sequence


def majority(nodes: int) -> int:
    """Members that have to agree on a write: more than half (Raft, Ongaro and Ousterhout 2014, section 5)."""
    return nodes // 2 + 1


def tolerated(nodes: int) -> int:
    """Members that may be lost at once while a majority is left."""
    return nodes - majority(nodes)


def write_ms(rtt: Sequence[Sequence[float]], leader: int, members: Iterable[int], needed: int) -> float | None:
    """The latency of one write: the leader's round trip to the (`needed` - 1)-th nearest other member.

    Args:
        rtt: milliseconds between every two hosts.
        members: those that are up; the leader may be among them.
        needed: the majority of all members, those that are down included.

    Returns:
        Milliseconds; None when there are too few members left to agree.
    """
    others = sorted(rtt[leader][member] for member in members if member != leader)
    if needed < 2:
        return 0.0
    return others[needed - 2] if len(others) >= needed - 1 else None
