"""A story in steps: what was done, whether it held, how long it took, and the evidence."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from larva import codec, files, output
from larva.errors import LarvaError


class NotProved(LarvaError):
    """A step of the story did not hold."""

    code = "not-proved"


@dataclass(slots=True, kw_only=True)
class Step:
    """One step; `evidence` are lines that a reader can check: figures, log lines, addresses."""

    name: str
    ok: bool = False
    seconds: float = 0.0
    evidence: list[str] = field(default_factory=list)

    def saw(self, *lines: str) -> None:
        """Add evidence."""
        self.evidence.extend(lines)

    def require(self, holds: object, wanted: str) -> None:
        """Raise NotProved, naming what was wanted, unless `holds`."""
        if not holds:
            raise NotProved(f"{self.name}: {wanted}: did not hold", hint="; ".join(self.evidence[-4:]))


@dataclass(slots=True)
class Story:
    """Steps in order, told on standard error as they happen."""

    steps: list[Step] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Run one step of the story; it is recorded whether it holds or not."""
        step = Step(name=name)
        self.steps.append(step)
        started = time.monotonic()
        try:
            with output.step(name):
                yield step
            step.ok = True
        except LarvaError as error:
            step.saw(f"{type(error).__name__}: {error.message}")
            raise
        finally:
            step.seconds = round(time.monotonic() - started, 3)
            for line in step.evidence:
                output.note(f"    {line}")

    @property
    def ok(self) -> bool:
        """Whether every step held."""
        return bool(self.steps) and all(step.ok for step in self.steps)

    def write(self, file: Path) -> None:
        """Write it as JSON: `{"ok", "steps": [{"name", "ok", "seconds", "evidence"}]}`."""
        files.write_whole(file, codec.encode({"ok": self.ok, "steps": self.steps}) + b"\n")


def wait_until(what: str, holds: Callable[[], bool], *, timeout_s: float, every_s: float = 0.5) -> None:
    """Look again until `holds()`; it may raise LarvaError while things are not ready.

    Raises:
        NotProved: it did not hold within `timeout_s`; the message ends with the last error seen.
    """
    deadline = time.monotonic() + timeout_s
    last = ""
    while time.monotonic() < deadline:
        try:
            if holds():
                return
            last = ""
        except LarvaError as error:
            last = error.message
        time.sleep(every_s)
    raise NotProved(f"{what}: not within {timeout_s:g} s", hint=last)
