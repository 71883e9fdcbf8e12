"""The paths of this host in one CLADNet: the history of each and what is said of it; safe to share between threads."""

import logging
import threading
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
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
    kept: bytes
    """PairHistory.pack(), deflated: a fifth of it, and of a thousand paths two are written to in a second."""
    state: PathState
    is_measured: bool = True

    @property
    def history(self) -> PairHistory:
        return _inflated(self.kept)

    @history.setter
    def history(self, history: PairHistory) -> None:
        self.kept = deflated(history)


def _inflated(kept: bytes) -> PairHistory:
    return PairHistory.unpack(zlib.decompress(kept), source="memory")


def deflated(history: PairHistory) -> bytes:
    """A history as it is kept, in memory and on disk."""
    return zlib.compress(history.pack(), 1)


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
                path = self._paths[host]
                went = went or bool(path.state.alarms)
                if host not in known:
                    del self._paths[host]
                elif path.is_measured:
                    history = path.history
                    history.interrupt()
                    path.history, path.state, path.is_measured = history, PathState(), False
        return went

    def heard(self, host: str, at: float, rtt_ms: float | None) -> Heard:
        """Note an echo to a peer: answered after `rtt_ms`, or lost."""
        with self._lock:
            path = self._paths.get(host)
            history, before = (path.history, path.state) if path is not None else (PairHistory(), PathState())
            history.add(at, rtt_ms)
            now = datetime.fromtimestamp(history.last_at, UTC)
            seen = history.quality(host, at)
            first_at = datetime.fromtimestamp(history.first_at, UTC)
            path = _Path(deflated(history), alarms.judge(seen, before, now, first_at=first_at))
            self._paths[host] = path
            self._tell(before.alarms, path.state.alarms)
            return Heard(
                alarmed=before.alarms != path.state.alarms, undecided=alarms.is_undecided(seen, path.state)
            )  # fmt: skip

    def size(self) -> int:
        """How many paths there are."""
        return len(self._paths)

    def qualities(self, now: float) -> Iterator[PairQuality]:
        """Every path, by peer, one after the other: a thousand at once are a megabyte."""
        with self._lock:
            paths = [(host, self._paths[host].kept) for host in sorted(self._paths)]
        return (_inflated(kept).quality(host, now) for host, kept in paths)

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
            return {host: SavedPath(history=path.kept, state=path.state) for host, path in self._paths.items()}

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
        PairHistory.unpack(data, source=host)
        return _Path(zlib.compress(data, 1), kept.state)
    except (zlib.error, MalformedData) as error:
        log.warning("the history of %s is of no use: %s", host, error)
        return None
