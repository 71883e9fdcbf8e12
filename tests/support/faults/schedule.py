"""What goes wrong and in which order: a function of a seed, so that a bad run can be had again."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What can go wrong; a storage cluster over three clouds promises to outlive each of them."""

    CUT_CLOUD = "a cloud is cut off"
    LOSE_CLOUD = "a cloud loses power"
    LOSE_HOST = "a host loses power"
    CRASH_LEADERS = "the leading monitor, the active metadata server and a client crash at once"
    CRASH_EACH = "every daemon of a host crashes, one after another"
    NO_ETCD = "etcd is gone, and then a client crashes"
    OSD_FULL = "an OSD fills"
    ALL_OFF = "every host loses power"


BRIEF = (Kind.CRASH_LEADERS, Kind.LOSE_CLOUD, Kind.NO_ETCD, Kind.OSD_FULL, Kind.ALL_OFF)
"""What every run of the tests has time for; other tests cut a cloud off already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where it happens."""

    clouds: tuple[str, ...]
    hosts: tuple[str, ...]
    """The storage hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that goes wrong, and where; some happen everywhere."""

    kind: Kind
    target: str = ""

    def __str__(self) -> str:
        return f"{self.kind} ({self.target})" if self.target else str(self.kind)


def brief(seed: int, ground: Ground) -> tuple[Event, ...]:
    """Return each event of BRIEF once."""
    return _round(random.Random(seed), ground, BRIEF)


def endless(seed: int, ground: Ground) -> Iterator[Event]:
    """Give round after round in which everything goes wrong once."""
    dice = random.Random(seed)
    while True:
        yield from _round(dice, ground, tuple(Kind))


def _round(dice: random.Random, ground: Ground, kinds: tuple[Kind, ...]) -> tuple[Event, ...]:
    return tuple(_event(dice, ground, kind) for kind in dice.sample(kinds, len(kinds)))


def _event(dice: random.Random, ground: Ground, kind: Kind) -> Event:
    match kind:
        case Kind.CUT_CLOUD | Kind.LOSE_CLOUD:
            return Event(kind=kind, target=dice.choice(ground.clouds))
        case Kind.LOSE_HOST | Kind.CRASH_EACH | Kind.NO_ETCD | Kind.OSD_FULL:
            return Event(kind=kind, target=dice.choice(ground.hosts))
        case Kind.CRASH_LEADERS | Kind.ALL_OFF:
            return Event(kind=kind)
