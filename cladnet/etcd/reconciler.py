"""The loop under every service: look again whenever something changed, and retry what failed."""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence

from cladnet.etcd.progress import Progress, Report
from cladnet.etcd.store import Store
from cladnet.etcd.watch import Event, Relist, Watch
from larva.errors import LarvaError
from larva.metrics import REGISTRY, Family, Kind, labels

log = logging.getLogger(__name__)

FIRST_RETRY_S = 0.5
LONGEST_RETRY_S = 30.0
SETTLE_S = 0.02
"""Events that come this close together are one reason to look."""


_RUNNING: dict[int, tuple[str, Progress]] = {}
"""The reconcilers of this process."""


class Reconciler:
    """Call `reconcile` at the start, after watch events, every `resync_s` seconds, and when it asked to run again.

    It runs in one thread at a time and has to read what it needs itself: an event only means "look again". What it
    raises is logged and retried after a growing, jittered pause of at most 30 s; a new event does not shorten a pause
    below the first one.

    Args:
        prefixes: etcd prefixes, ending with a slash, and keys whose changes wake it; none for a loop that only
            resyncs and is poked.
        reconcile: may return the seconds after which it wants to run again at the latest.
        resync_s: it runs at least this often.
        on_item: sees what woke it, from another thread; for what cannot be read any more afterwards.
    """

    def __init__(
        self,
        store: Store,
        prefixes: Sequence[str],
        reconcile: Callable[[], float | None],
        *,
        name: str,
        resync_s: float = 30.0,
        on_item: Callable[[Event | Relist], None] | None = None,
    ) -> None:
        self._store = store
        self._prefixes = tuple(prefixes)
        self._reconcile = reconcile
        self._name = name
        self._resync_s = resync_s
        self._on_item = on_item
        self._wake = threading.Event()
        self._progress = Progress()

    def report(self) -> Report:
        """How far it has come."""
        return self._progress.report()

    def poke(self) -> None:
        """Ask for another look, from any thread."""
        self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; it is noticed within half a second."""
        watch = self._store.watch(self._prefixes) if self._prefixes else None
        watcher = threading.Thread(target=self._follow, args=(watch, stop), name=f"{self._name}-watch", daemon=True)
        if watch is not None:
            watcher.start()
        _RUNNING[id(self)] = (self._name, self._progress)
        try:
            self._loop(stop)
        finally:
            _RUNNING.pop(id(self), None)
            if watch is not None:
                watch.close()
                watcher.join(timeout=5)

    def _loop(self, stop: threading.Event) -> None:
        failures = 0
        while not stop.is_set():
            self._wake.clear()
            self._progress.begin()
            succeeded = False
            try:
                again = self._reconcile()
                failures, succeeded = 0, True
            except LarvaError as error:
                failures += 1
                log.warning("%s: %s", self._name, error.message, exc_info=log.isEnabledFor(logging.DEBUG))
            except Exception:  # a defect of ours must not end the service; it is logged in full
                failures += 1
                log.exception("%s: unexpected failure", self._name)
            finally:
                self._progress.end(failed=not succeeded)
            if failures:
                pause = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(failures - 1, 10))
                stop.wait(random.uniform(pause / 2, pause))  # noqa: S311 - jitter
                continue
            self._sleep(stop, min(self._resync_s, again if again is not None else self._resync_s))

    def _sleep(self, stop: threading.Event, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not stop.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return
            if self._wake.wait(min(left, 0.5)):
                stop.wait(SETTLE_S)
                return

    def _follow(self, watch: Watch, stop: threading.Event) -> None:
        refusals = 0
        while not stop.is_set():
            try:
                for item in watch:
                    refusals = 0
                    if self._on_item is not None:
                        self._on_item(item)
                    self._progress.saw(item.revision)
                    self._wake.set()
            except LarvaError as error:  # forbidden for now: a host that just joined gets its rights in a moment
                log.log(logging.WARNING if refusals == 3 else logging.DEBUG, "%s: %s", self._name, error.message)
                pause = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(refusals, 10))
                refusals += 1
                stop.wait(random.uniform(pause / 2, pause))  # noqa: S311 - jitter
            except Exception:  # as in _loop; the regular looks go on meanwhile
                log.exception("%s: unexpected failure of the watch", self._name)
                stop.wait(LONGEST_RETRY_S)


def families() -> tuple[Family, ...]:
    """What the reconcilers of this process tell Prometheus."""
    reports = [(labels(reconciler=name), progress.report()) for name, progress in list(_RUNNING.values())]

    def family(name: str, kind: Kind, text: str, value: Callable[[Report], float]) -> Family:
        return Family(f"larva_reconcile_{name}", kind, text, tuple((key, value(report)) for key, report in reports))

    return (
        family("runs_total", Kind.COUNTER, "Looks at what is wanted and what is.", lambda report: report.runs),
        family("errors_total", Kind.COUNTER, "Looks that failed and were repeated.", lambda report: report.errors),
        family("busy_seconds_total", Kind.COUNTER, "Time spent in all looks.", lambda report: report.busy_s),
        family(
            "seen_revision", Kind.GAUGE, "etcd's revision of the last change seen.", lambda report: report.seen_revision
        ),
        family(
            "handled_revision", Kind.GAUGE, "etcd's revision of the last change dealt with.",
            lambda report: report.handled_revision,
        ),
        family(
            "lag_seconds", Kind.GAUGE, "Age of the oldest change seen and not dealt with; 0 without any.",
            lambda report: report.lag_s,
        ),
    )  # fmt: skip


REGISTRY.collect_from(families)
