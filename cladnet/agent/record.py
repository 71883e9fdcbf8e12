"""The paths of this host in one CLADNet: the history of each and what is said of it; safe to share between threads."""

import logging
import threading
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cladnet.agent import alarms
from cladnet.agent.alarms import PathState
from cladnet.agent.history import PACKED_BYTES, PairHistory
from cladnet.quality import Alarm, Figures, PairQuality, Window
from larva.errors import MalformedData

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPath:
    """One path as it is kept on disk."""

    history: bytes
    """PairHistory.pack(), deflated: most of it is nought."""
    state: PathState


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What an echo changed."""

    alarmed: bool
    """An alarm was raised or cleared."""
    undecided: bool
    """The next echo may raise or clear one."""


@dataclass(slots=True)
class _Path:
    history: PairHistory = field(default_factory=PairHistory)
    state: PathState = field(default_factory=PathState)


class Record:
    """Starts from what was saved of the CLADNet."""

    def __init__(self, group: str, saved: Mapping[str, SavedPath] | None = None) -> None:
        self._group = group
        self._lock = threading.Lock()
        self._paths = {host: path for host, kept in (saved or {}).items() if (path := _restored(host, kept))}

    def follow(self, measured: Collection[str], known: Collection[str]) -> bool:
        """Say who is measured now and whom the rules name; return whether an alarm went away by that.

        A peer that is not measured has no alarms, and one that no rule names has no history.
        """
        went = False
        with self._lock:
            for host in self._paths.keys() - set(measured):
                went = went or bool(self._paths[host].state.alarms)
                self._paths[host].state = PathState()
                self._paths[host].history.interrupt()
                if host not in known:
                    del self._paths[host]
        return went

    def heard(self, host: str, at: float, rtt_ms: float | None) -> Heard:
        """Note an echo to a peer: answered after `rtt_ms`, or lost."""
        with self._lock:
            path = self._paths.setdefault(host, _Path())
            path.history.add(at, rtt_ms)
            now = datetime.fromtimestamp(path.history.last_at, UTC)
            seen, before = path.history.quality(host, at), path.state
            first_at = datetime.fromtimestamp(path.history.first_at, UTC)
            path.state = alarms.judge(seen, before, now, first_at=first_at)
            self._tell(before.alarms, path.state.alarms)
            return Heard(
                alarmed=before.alarms != path.state.alarms, undecided=alarms.is_undecided(seen, path.state)
            )  # fmt: skip

    def size(self) -> int:
        """How many paths there are."""
        return len(self._paths)

    def qualities(self, now: float) -> tuple[PairQuality, ...]:
        """Every path, by peer."""
        with self._lock:
            return tuple(self._paths[host].history.quality(host, now) for host in sorted(self._paths))

    def figures(self, window: Window, now: float) -> dict[str, Figures]:
        """Every path over one window, by peer."""
        with self._lock:
            return {host: self._paths[host].history.figures(window, now) for host in sorted(self._paths)}

    def alarms(self) -> tuple[Alarm, ...]:
        """Every alarm, by peer."""
        with self._lock:
            return tuple(alarm for host in sorted(self._paths) for alarm in self._paths[host].state.alarms)

    def saved(self) -> dict[str, SavedPath]:
        """Everything, for the disk."""
        with self._lock:
            packed = {host: (path.history.pack(), path.state) for host, path in self._paths.items()}
        return {host: SavedPath(history=zlib.compress(data, 1), state=state) for host, (data, state) in packed.items()}

    def _tell(self, before: Iterable[Alarm], after: Iterable[Alarm]) -> None:
        for alarm in after:
            if alarm not in before:
                log.warning("%s: %s is %s: %s", self._group, alarm.destination, alarm.kind, alarm.evidence)
        for alarm in before:
            if alarm not in after:
                log.info(
                    "%s: %s is no longer %s, as it was since %s",
                    self._group,
                    alarm.destination,
                    alarm.kind,
                    alarm.since,
                )


def _restored(host: str, kept: SavedPath) -> _Path | None:
    try:
        data = zlib.decompressobj().decompress(kept.history, PACKED_BYTES + 1)
        return _Path(PairHistory.unpack(data, source=host), kept.state)
    except (zlib.error, MalformedData) as error:
        log.warning("the history of %s is of no use: %s", host, error)
        return None
