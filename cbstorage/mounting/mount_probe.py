"""Does a mounted volume answer? Asked by a child process, since whoever asks a dead mount may never return."""

import os
import subprocess
import time
from enum import StrEnum
from pathlib import Path

PATIENCE_S = 5.0
_POLL_S = 0.05
_NOTHING = ".larva-is-it-alive"
"""A name that is in no volume, since no mount point has a hidden part."""
_MISSING = ": No such file or directory"


class Answer(StrEnum):
    """How a mount answered."""

    ALIVE = "alive"
    DEAD = "dead"
    """It answers with an error: its client died or was shut out by the cluster."""
    SILENT = "silent"
    """It does not answer: the cluster is unreachable, or slow."""


class MountProbe:
    """Asks one mount at a time; a child that hangs is left behind and not joined by a second one."""

    def __init__(self) -> None:
        self._hanging: dict[Path, subprocess.Popen[bytes]] = {}

    def ask(self, path: Path, *, patience_s: float = PATIENCE_S) -> tuple[Answer, str]:
        """Return how the mount answers, and its words when it is dead.

        Args:
            patience_s: seconds after which it counts as silent.
        """
        child = self._hanging.pop(path, None) or subprocess.Popen(
            ["stat", "--format=%i", "--", path, path / _NOTHING],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "LC_ALL": "C"},
        )
        deadline = time.monotonic() + patience_s
        while (code := child.poll()) is None:
            if time.monotonic() > deadline:
                child.kill()  # it may be beyond signals; then the next question finds it still here
                self._hanging[path] = child
                return Answer.SILENT, f"no answer within {patience_s:g} s"
            time.sleep(_POLL_S)
        words = child.stderr.read().decode(errors="replace").strip() if child.stderr else ""
        if child.stderr:
            child.stderr.close()
        if code < 0:
            return Answer.SILENT, "it answered too late"
        return judge(words)


def judge(words: str) -> tuple[Answer, str]:
    """Return what stat's complaints mean: only the name that nobody has may be missing.

    A client that the cluster shut out still answers statfs(2) and finds no root; asking for a name makes it ask.
    """
    bad = [line for line in words.splitlines() if line and not (_NOTHING in line and line.endswith(_MISSING))]
    return (Answer.DEAD, bad[-1].rsplit(": ", 1)[-1]) if bad else (Answer.ALIVE, "")
