"""The history of one path in fixed memory: a ring of slots for each window, whatever the rate of echoes is. Pure.

Every slot counts what was sent and answered, adds round trips up and counts them by magnitude: a histogram whose
buckets grow by a third of an octave, which is what makes the 95th percentile good to 12 % without keeping samples.
A path takes 5 KB, in one block of bytes.
"""

import math
import struct
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cladnet.quality import LENGTHS, Figures, PairQuality, Window
from larva.errors import MalformedData

SMALLEST_MS = 0.05
STEPS_PER_OCTAVE = 3
BUCKETS = 48
"""Up to 2.6 s; an echo that takes 2 s is lost."""
SET_BACK_S = 60.0
"""A clock that goes back by less stands still here; by more, and nothing of what was noted can be placed any more."""

_INDEX, _SENT, _RECEIVED, _STEPS = range(4)
_SUM, _LEAST, _JITTER = range(3)
_HEAD = struct.Struct("<4sdddIId")
_MAGIC = b"lph1"
_LAST_MOMENT = 2.0**35
"""Some thousand years on."""


def bucket(rtt_ms: float) -> int:
    """The bucket of the histogram into which a round trip falls."""
    if rtt_ms <= SMALLEST_MS:
        return 0
    return min(BUCKETS - 1, 1 + int(math.log2(rtt_ms / SMALLEST_MS) * STEPS_PER_OCTAVE))


def middle_ms(place: int) -> float:
    """The round trip that stands for a bucket: its geometric middle."""
    return SMALLEST_MS * 2 ** ((place - 0.5) / STEPS_PER_OCTAVE) if place else SMALLEST_MS


@dataclass(frozen=True, slots=True)
class _Form:
    """Where the ring of a window lies in the block of a path, and how it is cut."""

    slot_s: int
    slots: int
    start: int

    @property
    def sums(self) -> int:
        return self.start + 4 * 4 * self.slots

    @property
    def magnitudes(self) -> int:
        return self.sums + 4 * 3 * self.slots

    @property
    def end(self) -> int:
        return self.magnitudes + 2 * BUCKETS * self.slots


def _laid_out() -> dict[Window, _Form]:
    """The rings one after the other."""
    forms, start = {}, 0
    for window, (length_s, slots) in LENGTHS.items():
        forms[window] = _Form(length_s // slots, slots, start)
        start = forms[window].end
    return forms


_FORMS: Mapping[Window, _Form] = _laid_out()
_BLOCK_BYTES = max(form.end for form in _FORMS.values())


class _Ring:
    """One window of a path: a view of its block."""

    __slots__ = ("counts", "form", "magnitudes", "sums")

    def __init__(self, form: _Form, block: bytearray) -> None:
        self.form = form
        view = memoryview(block)
        self.counts = view[form.start : form.sums].cast("I")
        self.sums = view[form.sums : form.magnitudes].cast("f")
        self.magnitudes = view[form.magnitudes : form.end].cast("H")

    def add(self, at: float, rtt_ms: float | None, step_ms: float | None) -> None:
        index = int(at // self.form.slot_s)
        slot = index % self.form.slots
        counts, sums = slot * 4, slot * 3
        if self.counts[counts + _INDEX] != index:
            self.counts[counts : counts + 4] = memoryview(array("I", (index, 0, 0, 0)))
            self.sums[sums : sums + 3] = memoryview(array("f", (0.0, 0.0, 0.0)))
            self.magnitudes[slot * BUCKETS : (slot + 1) * BUCKETS] = memoryview(array("H", bytes(2 * BUCKETS)))
        self.counts[counts + _SENT] += 1
        if rtt_ms is None:
            return
        least = self.sums[sums + _LEAST]
        self.sums[sums + _LEAST] = min(least, rtt_ms) if self.counts[counts + _RECEIVED] else rtt_ms
        self.counts[counts + _RECEIVED] += 1
        self.sums[sums + _SUM] += rtt_ms
        place = slot * BUCKETS + bucket(rtt_ms)
        self.magnitudes[place] = min(0xFFFF, self.magnitudes[place] + 1)
        if step_ms is not None:
            self.counts[counts + _STEPS] += 1
            self.sums[sums + _JITTER] += step_ms

    def _live(self, now: float) -> Iterator[int]:
        newest = int(now // self.form.slot_s)
        for slot in range(self.form.slots):
            if newest - self.form.slots < self.counts[slot * 4 + _INDEX] <= newest and self.counts[slot * 4 + _SENT]:
                yield slot

    def figures(self, now: float) -> Figures:
        live = list(self._live(now))

        def count(what: int) -> int:
            return sum(self.counts[slot * 4 + what] for slot in live)

        def total(what: int) -> float:
            return sum(self.sums[slot * 3 + what] for slot in live)

        sent, received, steps = count(_SENT), count(_RECEIVED), count(_STEPS)
        if not received:
            return Figures(sent=sent, received=0)
        least = min(self.sums[slot * 3 + _LEAST] for slot in live if self.counts[slot * 4 + _RECEIVED])
        return Figures(
            sent=sent,
            received=received,
            min_ms=round(least, 3),
            avg_ms=round(total(_SUM) / received, 3),
            p95_ms=round(max(least, self._percentile(live)), 3),
            jitter_ms=round(total(_JITTER) / steps, 3) if steps else None,
        )

    def _percentile(self, live: list[int]) -> float:
        """The 95th, by nearest rank: the bucket that holds it."""
        together = [0] * BUCKETS
        for slot in live:
            for place, number in enumerate(self.magnitudes[slot * BUCKETS : (slot + 1) * BUCKETS]):
                if number:
                    together[place] += number
        left = math.ceil(0.95 * sum(together))
        for place, number in enumerate(together):
            left -= number
            if left <= 0:
                return middle_ms(place)
        raise AssertionError("a window with answers has a bucket for each")


class PairHistory:
    """What was measured of one path; times are seconds since the epoch and round trips milliseconds."""

    __slots__ = (
        "_block", "_previous_ms", "answered_at", "answers_in_a_row", "first_at", "last_at", "losses_in_a_row",
    )  # fmt: skip

    def __init__(self) -> None:
        self._block = bytearray(_BLOCK_BYTES)
        self.first_at = 0.0
        self.last_at = 0.0
        self.answered_at = 0.0
        self.losses_in_a_row = 0
        self.answers_in_a_row = 0
        self._previous_ms = math.nan

    def add(self, at: float, rtt_ms: float | None) -> None:
        """Note an echo: answered after `rtt_ms`, or lost.

        What was lost before the very first answer says when the peer came up, and nothing of the path: it is dropped.
        """
        if at < self.last_at - SET_BACK_S or (rtt_ms is not None and not self.answered_at):
            self._clear()
        at = max(at, self.last_at)
        self.first_at = self.first_at or at
        self.last_at = at
        step = None
        if rtt_ms is None:
            self.losses_in_a_row += 1
            self.answers_in_a_row = 0
        else:
            step = None if math.isnan(self._previous_ms) else abs(rtt_ms - self._previous_ms)
            self._previous_ms = rtt_ms
            self.answered_at = at
            self.answers_in_a_row += 1
            self.losses_in_a_row = 0
        for form in _FORMS.values():
            _Ring(form, self._block).add(at, rtt_ms, step)

    def interrupt(self) -> None:
        """Nobody asks for a while: what comes then is in no row with what was."""
        self.losses_in_a_row = self.answers_in_a_row = 0

    def _clear(self) -> None:
        self._block = bytearray(_BLOCK_BYTES)
        self.first_at = self.last_at = 0.0
        self.answered_at = 0.0
        self._previous_ms = math.nan

    def figures(self, window: Window, now: float) -> Figures:
        """The path over one window that ends now."""
        return _Ring(_FORMS[window], self._block).figures(max(now, self.last_at))

    def quality(self, destination: str, now: float) -> PairQuality:
        """Everything there is to say of the path now."""
        found = {window: self.figures(window, now) for window in Window}
        return PairQuality(
            destination=destination,
            measured_at=_moment(self.last_at),
            answered_at=_moment(self.answered_at),
            losses_in_a_row=self.losses_in_a_row,
            answers_in_a_row=self.answers_in_a_row,
            windows={window: figures for window, figures in found.items() if figures.sent},
        )

    def pack(self) -> bytes:
        """Everything, for the disk of this very host; of the same length for every path."""
        head = _HEAD.pack(
            _MAGIC, self.first_at, self.last_at, self.answered_at, self.losses_in_a_row, self.answers_in_a_row,
            self._previous_ms,
        )  # fmt: skip
        return head + self._block

    @classmethod
    def unpack(cls, data: bytes, *, source: str) -> "PairHistory":
        """What pack() made; MalformedData for anything else."""
        made = cls()
        if len(data) != PACKED_BYTES or data[:4] != _MAGIC:
            raise MalformedData(f"{source}: expected the history of a path, found {len(data)} other bytes")
        (_, made.first_at, made.last_at, made.answered_at, made.losses_in_a_row, made.answers_in_a_row,
         made._previous_ms) = _HEAD.unpack_from(data)  # fmt: skip
        if not all(0 <= at < _LAST_MOMENT for at in (made.first_at, made.last_at, made.answered_at)):
            raise MalformedData(f"{source}: the history of a path is of no time")
        made._block[:] = data[_HEAD.size :]
        return made


def _moment(at: float) -> datetime | None:
    return datetime.fromtimestamp(at, UTC) if at else None


PACKED_BYTES = len(PairHistory().pack())
