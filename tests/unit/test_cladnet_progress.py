"""How far a reconciler has come: no change is forgotten before a run that began after it has succeeded."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from cladnet.etcd.progress import Progress


class Reconciling(RuleBasedStateMachine):
    """Changes and runs in any order, beside a model that remembers every change."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.progress = Progress(clock=lambda: self.now)
        self.open: list[tuple[int, float]] = []
        self.revision = 0
        self.running: int | None = None
        self.runs = self.errors = 0

    @rule(seconds=st.integers(0, 5))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def change(self) -> None:
        self.revision += 1
        self.open.append((self.revision, self.now))
        self.progress.saw(self.revision)

    @precondition(lambda self: self.running is None)
    @rule()
    def begin(self) -> None:
        self.running = self.revision
        self.progress.begin()

    @precondition(lambda self: self.running is not None)
    @rule(failed=st.booleans())
    def end(self, *, failed: bool) -> None:
        assert self.running is not None
        self.progress.end(failed=failed)
        self.runs, self.errors = self.runs + 1, self.errors + failed
        if not failed:
            self.open = [each for each in self.open if each[0] > self.running]
        self.running = None

    @invariant()
    def the_lag_is_that_of_the_oldest_open_change(self) -> None:
        report = self.progress.report()
        assert report.lag_s == (self.now - self.open[0][1] if self.open else 0)
        assert report.seen_revision == self.revision
        assert report.handled_revision == (self.open[0][0] - 1 if self.open else self.revision)
        assert (report.runs, report.errors) == (self.runs, self.errors)


TestReconciling = Reconciling.TestCase
