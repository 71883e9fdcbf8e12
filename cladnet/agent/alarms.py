"""When a path is called bad, and when it is called good again: rules with hysteresis over its history. Pure."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cladnet.quality import LENGTHS, Alarm, AlarmKind, Figures, PairQuality, Window


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """The whole table: each rule has one figure to raise an alarm and a better one to clear it."""

    losses: int = 3
    """Echoes lost in a row: the peer is unreachable."""
    answers: int = 2
    """Answers in a row: it is reached again."""
    patience_s: float = 60.0
    """A peer that never answered yet may take this long to come up."""
    loss: float = 0.05
    loss_cleared: float = 0.02
    lost: int = 3
    """Fewer lost echoes are an accident."""
    loss_echoes: int = 20
    """Fewer say nothing of a rate: the next longer window is asked then."""
    slower: float = 2.0
    """Times the mean of the last day, in which the present is contained: what stays becomes the measure."""
    slower_cleared: float = 1.5
    slower_ms: float = 5.0
    """Below, twice as slow is no matter."""
    slower_answers: int = 5
    """In ten minutes, or in an hour."""
    day_answers: int = 60


DEFAULT = Thresholds()


@dataclass(frozen=True, slots=True, kw_only=True)
class PathState:
    """What is said of a path now."""

    alarms: tuple[Alarm, ...] = ()
    recovered_at: datetime | None = None
    """When it was reached again: what was lost before is no matter any more."""

    def get(self, kind: AlarmKind) -> Alarm | None:
        """The alarm of that kind, if it is raised."""
        return next((alarm for alarm in self.alarms if alarm.kind is kind), None)


def is_undecided(seen: PairQuality, state: PathState, limits: Thresholds = DEFAULT) -> bool:
    """Whether the next echo may raise or clear `unreachable`: worth asking soon."""
    if state.get(AlarmKind.UNREACHABLE) is not None:
        return seen.answers_in_a_row > 0
    return 0 < seen.losses_in_a_row <= limits.losses


def judge(
    seen: PairQuality, state: PathState, now: datetime, *, first_at: datetime, limits: Thresholds = DEFAULT
) -> PathState:
    """Return what is to be said of a path after what was seen; an alarm that stays keeps its `since`.

    Args:
        first_at: when the first echo was sent.
    """
    lost = state.get(AlarmKind.UNREACHABLE)
    if lost is not None and seen.answers_in_a_row < limits.answers:
        return PathState(alarms=(lost,), recovered_at=state.recovered_at)
    if lost is not None:
        return PathState(recovered_at=now)
    waited = seen.answered_at is not None or now - first_at >= timedelta(seconds=limits.patience_s)
    if seen.losses_in_a_row >= limits.losses and waited:
        last = (
            f"the last answer came {seen.answered_at:%Y-%m-%d %H:%M:%S} UTC" if seen.answered_at else "none ever came"
        )
        evidence = f"{seen.losses_in_a_row} echoes in a row were lost; {last}"
        alarm = Alarm(kind=AlarmKind.UNREACHABLE, destination=seen.destination, since=now, evidence=evidence)
        return PathState(alarms=(alarm,), recovered_at=state.recovered_at)
    alarms = (_loss(seen, state, now, limits), _slow(seen, state, now, limits))
    return PathState(alarms=tuple(alarm for alarm in alarms if alarm is not None), recovered_at=state.recovered_at)


def _loss(seen: PairQuality, state: PathState, now: datetime, limits: Thresholds) -> Alarm | None:
    raised = state.get(AlarmKind.LOSS)
    for window in (Window.TEN_MINUTES, Window.HOUR, Window.DAY):
        figures = seen.over(window)
        if figures.sent < limits.loss_echoes:
            continue
        if state.recovered_at is not None and now - state.recovered_at < timedelta(seconds=LENGTHS[window][0]):
            return None  # it still holds what was lost while the peer was away
        loss = 1 - figures.received / figures.sent
        if raised is not None:
            return raised if loss >= limits.loss_cleared else None
        if loss <= limits.loss or figures.sent - figures.received < limits.lost:
            return None
        if seen.losses_in_a_row:
            return None  # the next echoes tell whether it is this or unreachable
        evidence = f"{loss:.1%} of {figures.sent} echoes were lost within {window}"
        return Alarm(kind=AlarmKind.LOSS, destination=seen.destination, since=now, evidence=evidence)
    return raised


def _slow(seen: PairQuality, state: PathState, now: datetime, limits: Thresholds) -> Alarm | None:
    raised, day = state.get(AlarmKind.SLOW), seen.over(Window.DAY)
    for window in (Window.TEN_MINUTES, Window.HOUR):
        figures = seen.over(window)
        if figures.received < limits.slower_answers:
            continue
        if raised is not None:
            return raised if _is_slower(figures, day, limits.slower_cleared, limits) else None
        if not _is_slower(figures, day, limits.slower, limits):
            return None
        evidence = f"{figures.avg_ms:.1f} ms within {window}, {day.avg_ms:.1f} ms within {Window.DAY}"
        return Alarm(kind=AlarmKind.SLOW, destination=seen.destination, since=now, evidence=evidence)
    return raised


def _is_slower(figures: Figures, day: Figures, factor: float, limits: Thresholds) -> bool:
    if figures.avg_ms is None or day.avg_ms is None or day.received < limits.day_answers:
        return False
    return figures.avg_ms > factor * day.avg_ms and figures.avg_ms - day.avg_ms > limits.slower_ms
