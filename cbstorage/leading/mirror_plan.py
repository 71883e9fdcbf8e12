"""What to do next for a mirror: pure.

A round is a snapshot of the source, what it holds brought over, then a snapshot of the same name here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from cbstorage.mirror_model import MirrorState, VolumeMirror
from cbstorage.volume_model import Snapshot, SnapshotPhase
from cladnet.etcd.store import Versioned

PREFIX = "mirror-"
"""Of the names of snapshots that mirrors make; people's own begin otherwise."""
_NAME = re.compile(rf"{PREFIX}([0-9a-f]{{8}})-\d{{8}}-\d{{6}}", re.ASCII)

LATE = 2
"""A mirror whose last whole state is older than so many intervals does not follow as it should."""
GRACE_S = 120
"""That it may be older besides: for a look, two snapshots and the copying of little."""

Snapshots = Mapping[str, Versioned[Snapshot]]
"""Of one volume, by name."""


class Step(Enum):
    """What is next."""

    REST = auto()
    BEGIN = auto()
    """Ask for a snapshot of the source."""
    WAIT = auto()
    """A snapshot is asked for and not there yet."""
    COPY = auto()
    """Bring what the source's snapshot holds; once it is here, ask for a snapshot of the same name."""
    FINISH = auto()
    """Say that it is there whole."""
    GIVE_UP = auto()
    """The round cannot end: the source's snapshot is gone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bring:
    """How to copy."""

    before: str | None
    """A snapshot of the source that is here whole, or was when the round began; None where there is none any more."""
    trust_times: bool
    """Whether what is here can only be of this very snapshot."""


def name_for(volume_id: str, now: datetime) -> str:
    """Return a name for a snapshot of a mirror's round."""
    return f"{PREFIX}{volume_id}-{now:%Y%m%d-%H%M%S}"


def maker(name: str) -> str | None:
    """Return the id of the mirror that a snapshot of this name is of; None for any other's."""
    match = _NAME.fullmatch(name)
    return match[1] if match else None


def next_step(mirror: VolumeMirror, state: MirrorState, source: Snapshots, own: Snapshots, now: datetime) -> Step:
    """Return what is next, whatever was interrupted before.

    Args:
        source: the snapshots of the source.
        own: those of the volume that follows.
        now: this host's clock. It decides when a round begins, and nothing else.
    """
    name = state.copying
    if name is not None and name in own:
        return Step.FINISH if own[name].value.phase is SnapshotPhase.MADE else Step.WAIT
    if mirror.stopped:
        return Step.GIVE_UP if name is not None else Step.REST
    if any(item.value.phase is SnapshotPhase.WANTED for item in own.values()):
        return Step.WAIT  # one of a round that nobody remembers: nothing may change before it is made
    if name is None:
        if not _is_due(mirror, state, now):
            return Step.REST
        new = name_for(mirror.volume_id, now)
        return Step.WAIT if new in source or new in own else Step.BEGIN  # within one second of the last
    phase = source[name].value.phase if name in source else SnapshotPhase.DELETING
    return {
        SnapshotPhase.WANTED: Step.WAIT, SnapshotPhase.MADE: Step.COPY, SnapshotPhase.DELETING: Step.GIVE_UP
    }[phase]  # fmt: skip


def begun(mirror: VolumeMirror, state: MirrorState, now: datetime) -> MirrorState:
    """Return the state of a round that begins now."""
    return replace(
        state, copying=name_for(mirror.volume_id, now), copying_at=now, answers=mirror.now_at, copied_files=0,
        copied_bytes=0, problem="",
    )  # fmt: skip


def given_up(state: MirrorState) -> MirrorState:
    """Return the state after a round that cannot end: what is here is of two times now."""
    return replace(state, copying=None, copying_at=None, answers=None, mixed=True)


def finished(state: MirrorState) -> MirrorState:
    """Return the state after a round."""
    return replace(
        state, complete=state.copying, complete_at=state.copying_at, answered=state.answers, copying=None,
        copying_at=None, answers=None, mixed=False, problem="",
    )  # fmt: skip


def recovered(volume_id: str, own: Snapshots) -> MirrorState:
    """Return the state of a mirror of which nobody knows any more how far it is: the last whole one that it has."""
    made = [item for item in _of(volume_id, own) if item.value.phase is SnapshotPhase.MADE]
    last = max(made, key=lambda item: (item.revision, item.value.name), default=None)
    return MirrorState(
        volume_id=volume_id, complete=last.value.name if last else None,
        complete_at=last.value.asked_at if last else None, mixed=True,
    )  # fmt: skip


def how(state: MirrorState, source: Snapshots) -> Bring:
    """Return how the round's snapshot is brought."""
    last = state.complete
    there = last is not None and last in source and source[last].value.phase is SnapshotPhase.MADE
    return Bring(
        before=last if there and not state.mixed else None, trust_times=last is None and not state.mixed
    )  # fmt: skip


def needed(mirror: VolumeMirror, state: MirrorState) -> frozenset[tuple[str, str]]:
    """Return the volume ids and names of the snapshots that must stay, whoever wants them gone."""
    at_source = () if mirror.stopped else (state.complete, state.copying)
    return frozenset(
        (volume_id, name)
        for volume_id, names in ((mirror.source_id, at_source), (mirror.volume_id, (state.complete, state.copying)))
        for name in names
        if name is not None
    )


def surplus(
    mirror: VolumeMirror, state: MirrorState, source: Snapshots, own: Snapshots
) -> tuple[Versioned[Snapshot], ...]:
    """Return the snapshots of this mirror that may go: all at the source but those in use, here all but the last."""
    stay = needed(mirror, state)
    mine = [item for item in _of(mirror.volume_id, own) if item.value.phase is SnapshotPhase.MADE]
    old = sorted(mine, key=lambda item: (item.revision, item.value.name))[: -mirror.keep]
    return tuple(
        item
        for item in (*_of(mirror.volume_id, source), *old)
        if item.value.phase is not SnapshotPhase.DELETING and (item.value.volume_id, item.value.name) not in stay
    )


def orphans(snapshots: Iterable[Versioned[Snapshot]], mirrors: Iterable[str]) -> tuple[Versioned[Snapshot], ...]:
    """Return what mirrors that are no more left at their sources; what they hold themselves is their own to keep."""
    known = frozenset(mirrors)
    return tuple(
        item
        for item in snapshots
        if (whose := maker(item.value.name)) is not None
        and whose not in known
        and whose != item.value.volume_id
        and item.value.phase is not SnapshotPhase.DELETING
    )


def is_late(mirror: VolumeMirror, state: MirrorState, now: datetime) -> bool:
    """Whether a mirror that should follow is further behind than it may be."""
    since = (now - (state.complete_at or mirror.created_at)).total_seconds()
    return not mirror.stopped and since > LATE * mirror.every_s + GRACE_S


def _of(volume_id: str, snapshots: Snapshots) -> list[Versioned[Snapshot]]:
    return [item for name, item in snapshots.items() if maker(name) == volume_id]


def _is_due(mirror: VolumeMirror, state: MirrorState, now: datetime) -> bool:
    """Whether a round is due, however many were missed; a last one from the far future was made by a wrong clock."""
    if state.complete_at is None or (mirror.now_at is not None and mirror.now_at != state.answered):
        return True
    every = timedelta(seconds=mirror.every_s)
    since = now - state.complete_at
    return since >= every or since <= -every
