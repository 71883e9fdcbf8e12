"""What hosts know of the paths to their peers, as it travels through etcd: figures over windows of time, and alarms."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from cladnet.model import Moment

Evidence = Annotated[str, Meta(max_length=300)]
"""Other hosts write it, and people read it."""


class Window(StrEnum):
    """The last so-and-so-long, to one of its slots (`LENGTHS`)."""

    MINUTE = "1m"
    TEN_MINUTES = "10m"
    HOUR = "1h"
    DAY = "24h"


LENGTHS: dict[Window, tuple[int, int]] = {
    Window.MINUTE: (60, 6), Window.TEN_MINUTES: (600, 10), Window.HOUR: (3600, 12), Window.DAY: (86_400, 12),
}  # fmt: skip
"""Seconds, and the slots into which they are cut: what is older than a window leaves it a slot at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One path over one window. Milliseconds; None when nothing came back."""

    sent: int
    received: int
    min_ms: float | None = None
    avg_ms: float | None = None
    p95_ms: float | None = None
    """To 12 %."""
    jitter_ms: float | None = None
    """Mean difference between two answers in a row."""

    @property
    def loss(self) -> float | None:
        """The lost part, 0 to 1; None when nothing was sent."""
        return 1 - self.received / self.sent if self.sent else None


NOTHING = Figures(sent=0, received=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairQuality:
    """The path from the writing host to `destination`."""

    destination: str
    measured_at: Moment | None = None
    """The last echo, answered or lost."""
    answered_at: Moment | None = None
    """The last answer; None while there never was one."""
    losses_in_a_row: int = 0
    answers_in_a_row: int = 0
    windows: dict[Window, Figures] = field(default_factory=dict)
    """Those in which an echo was sent."""

    def over(self, window: Window) -> Figures:
        """The figures of a window."""
        return self.windows.get(window, NOTHING)


class AlarmKind(StrEnum):
    """What is wrong with a path."""

    UNREACHABLE = "unreachable"
    """Several echoes in a row were lost."""
    LOSS = "loss"
    """More is lost than should be."""
    SLOW = "slow"
    """The round trip is a multiple of what it was over the last day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """Something is wrong with the path from the writing host to `destination`."""

    kind: AlarmKind
    destination: str
    since: Moment
    evidence: Evidence
    """The figures that raised it, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostQuality:
    """One host's paths: `status/quality/{group}/{host}`, written by that host, rarely."""

    host: str
    written_at: Moment
    pairs: tuple[PairQuality, ...]
    """Of a large CLADNet the worst ones."""
    pairs_left_out: int = 0
    alarms: tuple[Alarm, ...] = ()
    alarms_left_out: int = 0
