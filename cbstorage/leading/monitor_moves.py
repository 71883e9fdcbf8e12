"""How monitors move: a pure choice of who joins and who goes next, so that a majority is there all the time."""

from collections.abc import Collection


def leads(host: str, *, leader: str, quorum: Collection[str], wanted: Collection[str]) -> bool:
    """Whether a host does what one host does for the whole cluster: the leading monitor's.

    One whose monitor is on its way out may not write for the cluster any more; then the first that stays does it.
    """
    stays = sorted(set(quorum) & set(wanted))
    return host == (leader if leader in stays else next(iter(stays), ""))


def may_join(*, in_map: Collection[str], quorum: Collection[str]) -> bool:
    """Whether one more monitor may be made: if it never came up, the others must still be a majority.

    A single monitor cannot wait for that.
    """
    return len(in_map) == 1 or len(set(quorum) & set(in_map)) >= _majority(len(in_map) + 1)


def next_to_go(*, in_map: Collection[str], quorum: Collection[str], wanted: Collection[str]) -> str | None:
    """Return the monitor to take out of the map now; None while there is none, or it would be too early.

    One that does not answer goes first, since it only makes the majority larger. Others go when all that are wanted
    are in quorum.
    """
    there = set(quorum) & set(in_map)
    going = sorted(set(in_map) - set(wanted))
    silent = [name for name in going if name not in there]
    if silent and len(there) >= _majority(len(in_map) - 1):
        return silent[0]
    speaking = [name for name in going if name in there]
    if speaking and set(wanted) and set(wanted) <= there and len(there) - 1 >= _majority(len(in_map) - 1):
        return speaking[0]
    return None


def _majority(count: int) -> int:
    return count // 2 + 1
