"""The next step towards what is wanted of one OSD: a pure choice from what was just seen, the same after any break.

An OSD counts as empty only by its own word, given in this very look: it holds no placement group, not even one that it
could still be asked for (those are deleted only when their group is clean elsewhere), and no map sends one to it.
"""

from dataclasses import dataclass
from enum import StrEnum

from cbstorage.osd_model import OsdGoal, OsdPhase, OsdProgress, OsdWish


class Act(StrEnum):
    """What to do to the cluster."""

    NONE = "none"
    WEIGH_NOTHING = "weigh-nothing"
    """Give it no weight in the CRUSH map: its data moves away."""
    PURGE = "purge"
    """Take it out of the cluster: maps, CRUSH and key."""
    DESTROY = "destroy"
    """Take its key and UUID; its number and place wait for another device."""
    WEIGH = "weigh"
    """Give it the weight of its device."""
    FORGET = "forget"
    """The wish is fulfilled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One OSD as it is now."""

    there: bool
    """The OSD map has the OSD that is meant, by its UUID."""
    up: bool = False
    weighs: bool = False
    """CRUSH gives it data."""
    groups: int | None = None
    """Placement groups it holds by its own word in this look; None when it said nothing or lags behind the map."""
    pinned: bool = False
    """The map sends a placement group to it whatever CRUSH says."""
    on_host: bool = False
    """Its host reports that it has its data."""
    successor: bool = False
    """Another OSD is up under its number."""
    refusal: str = ""
    """Why the others cannot take its data; looked into while it weighs."""
    loss: str = ""
    """Why the data would suffer if it never came back; looked into for one that is called lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What to do, and what to say before that."""

    act: Act
    phase: OsdPhase
    words: str = ""


def step(wish: OsdWish, facts: Facts, before: OsdProgress | None) -> Step:
    """Return the next step.

    Args:
        before: what was said last; only of this wish.
    """
    if not facts.there:
        return _gone(wish, facts)
    if wish.lost:
        return _lost(wish, facts)
    if facts.weighs:
        if facts.refusal:
            return Step(act=Act.NONE, phase=OsdPhase.REFUSED, words=facts.refusal)
        return Step(act=Act.WEIGH_NOTHING, phase=OsdPhase.DRAINING)
    if not facts.up:
        return _down(wish, facts, before)
    if facts.groups is None:
        return Step(act=Act.NONE, phase=OsdPhase.DRAINING, words="it has not said yet what it holds")
    if facts.groups or facts.pinned:
        return Step(act=Act.NONE, phase=OsdPhase.DRAINING)
    if not wish.goal.ends:
        return Step(act=Act.NONE, phase=OsdPhase.DRAINED)
    return Step(act=Act.NONE, phase=OsdPhase.STOPPING)


def restores(before: OsdProgress, facts: Facts) -> bool:
    """Whether an OSD whose wish was taken back has to be given its weight again."""
    return facts.there and not facts.weighs and before.phase is not OsdPhase.REFUSED


def _gone(wish: OsdWish, facts: Facts) -> Step:
    if wish.goal.ends and facts.on_host:
        return Step(act=Act.NONE, phase=OsdPhase.GONE, words=f"{wish.host} deletes its data")
    if wish.goal is OsdGoal.REPLACED and not facts.successor:
        return Step(act=Act.NONE, phase=OsdPhase.GONE, words=f"{wish.host} makes it anew on the other device")
    if wish.goal is OsdGoal.REPLACED and not facts.weighs:
        return Step(act=Act.WEIGH, phase=OsdPhase.GONE)
    return Step(act=Act.FORGET, phase=OsdPhase.GONE)


def _lost(wish: OsdWish, facts: Facts) -> Step:
    if facts.up:
        return Step(
            act=Act.NONE,
            phase=OsdPhase.REFUSED,
            words=f"osd.{wish.osd} is up, so it is not lost; remove it without --lost",
        )
    if facts.loss:
        return Step(act=Act.NONE, phase=OsdPhase.REFUSED, words=facts.loss)
    return Step(act=_end_of(wish), phase=OsdPhase.STOPPING)


def _end_of(wish: OsdWish) -> Act:
    return Act.DESTROY if wish.goal is OsdGoal.REPLACED else Act.PURGE


def _down(wish: OsdWish, facts: Facts, before: OsdProgress | None) -> Step:
    was_empty = before is not None and before.asked == wish.asked and before.phase is OsdPhase.STOPPING
    if wish.goal.ends and was_empty and not facts.pinned:
        # It weighs nothing since before it was found empty, so nothing came to it while it stopped.
        return Step(act=_end_of(wish), phase=OsdPhase.STOPPING)
    return Step(
        act=Act.NONE, phase=OsdPhase.DRAINING,
        words=f"osd.{wish.osd} is down and cannot say whether it is empty: start it, or remove it with --lost "
        "if it will never come back",
    )  # fmt: skip
