"""The copies that run on this host now: started, followed, and ended when they stand still."""

import contextlib
import logging
import subprocess
import threading
import time
from collections.abc import Callable, Sequence

from cbstorage.leading import copier
from cbstorage.leading.copier import CopyOrder, CopyReport
from larva import codec
from larva.errors import MalformedData, ProgramFailed

log = logging.getLogger(__name__)

STILL_S = 900.0
"""A copy that says nothing for so long stands still: it is ended, and begun again."""
RETRY_S = 30.0
"""After which one that failed is begun again."""
AT_ONCE = 2


class CopyJobs:
    """Copies by the token of what they bring; each is a child that ends with this process.

    Args:
        command: what starts one.
    """

    def __init__(
        self, command: Callable[[], Sequence[str]] = copier.command, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._command = command
        self._clock = clock
        self._jobs: dict[str, _Job] = {}
        self._failed: dict[str, tuple[float, str]] = {}

    def follow(self, token: str, order: CopyOrder) -> CopyReport:
        """Return how far a copy is; start it if it does not run yet. The last report of one that ended is its last.

        Raises:
            ProgramFailed: it ended without being done; it is started again in a while.
        """
        job = self._jobs.get(token)
        if job is None:
            at, words = self._failed.get(token, (float("-inf"), ""))
            if self._clock() - at < RETRY_S:
                raise ProgramFailed(words)
            if len(self._jobs) >= AT_ONCE:
                return CopyReport(files=0, bytes=0)
            try:
                job = self._jobs[token] = _Job(list(self._command()), order, self._clock)
            except OSError as error:
                raise self._fail(token, f"a copy could not be started: {error}") from error
            log.info("copying %s to %s", order.source, order.target)
        report = job.report
        if job.running():
            if self._clock() - job.heard > STILL_S:
                raise self._fail(token, f"the copy stood still for {STILL_S:g} s")
            return CopyReport(files=report.files, bytes=report.bytes)
        if not job.report.done:
            raise self._fail(token, f"the copy failed: {job.report.problem or 'it ended without a word'}")
        self._end(token)
        return job.report

    def is_running(self, token: str) -> bool:
        """Whether a copy was started here and is followed."""
        return token in self._jobs

    def keep_only(self, tokens: Sequence[str]) -> None:
        """End every copy but these: nobody wants it any more, or this host leads no longer."""
        for token in self._jobs.keys() - set(tokens):
            self._end(token)

    def _fail(self, token: str, words: str) -> ProgramFailed:
        if token in self._jobs:
            self._end(token)
        self._failed[token] = (self._clock(), words)
        return ProgramFailed(words)

    def _end(self, token: str) -> None:
        self._jobs.pop(token).end()


class _Job:
    def __init__(self, command: list[str], order: CopyOrder, clock: Callable[[], float]) -> None:
        self.report = CopyReport(files=0, bytes=0)
        self.heard = clock()
        self._clock = clock
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        if (stdin := self._child.stdin) is not None:
            with contextlib.suppress(BrokenPipeError):  # it ended at once; its last words tell
                stdin.write(codec.encode(order) + b"\n")
                stdin.flush()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def running(self) -> bool:
        if self._child.poll() is None:
            return True
        self._reader.join(5)  # its last words may still be on the way
        return False

    def end(self) -> None:
        # The end of its input first: it ends its client then, without which it may be beyond signals.
        if (stdin := self._child.stdin) is not None:
            with contextlib.suppress(BrokenPipeError):
                stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(5)
            return
        self._child.kill()
        try:
            self._child.wait(5)
        except subprocess.TimeoutExpired:
            log.warning("a copy does not end")

    def _read(self) -> None:
        if (stdout := self._child.stdout) is None:
            return
        with stdout:
            for line in stdout:
                try:
                    self.report = codec.decode(line, CopyReport, source="a copy")
                except MalformedData as error:
                    log.warning("%s", error)
                self.heard = self._clock()
