"""A host's part in the status tests of one CLADNet: measures when it is asked, and writes its row."""

import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from cladnet import keys
from cladnet.agent import probe
from cladnet.agent.peering import measurable
from cladnet.agent.rule_cache import NetworkView
from cladnet.etcd.reconciler import Reconciler
from cladnet.etcd.store import Condition, Event, Put, Relist, Store, Versioned
from cladnet.model import DatapathKind, HostStatus, TestSpecification
from cladnet.status_pace import MOST_TRIALS, spread_s
from larva.errors import MalformedData

log = logging.getLogger(__name__)

RETRY_S = 5.0
GIVEN_UP_S = 0.1
"""Not at once: a test that is given up again and again must not keep etcd busy."""
_LOOK_S = 0.2


class StatusTest:
    """Answers each test once; another test that is asked for meanwhile takes the place of the one under way.

    Args:
        look: the CLADNet as this host has it now, and what carries it; None while it has none.
    """

    def __init__(
        self, store: Store, group: str, host: str, interface: str,
        look: Callable[[], tuple[NetworkView, DatapathKind] | None],
    ) -> None:  # fmt: skip
        self._store = store
        self._group = group
        self._host = host
        self._interface = interface
        self._look = look
        self._stop = threading.Event()
        self._running = 0
        """etcd's revision of the test under way."""
        self._asked = 0
        """The same of the last test that was asked for, or taken back."""
        self.row: HostStatus | None = None
        """What was measured last."""

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        self._stop = stop
        key = keys.test_specification(self._group)
        Reconciler(
            self._store, [key], self._reconcile, name=f"status test {self._group}", on_item=self._note
        ).run(stop)  # fmt: skip

    def _note(self, item: Event | Relist) -> None:
        # A Relist may be of an etcd that was restored and counts from lower on.
        self._asked = item.revision if isinstance(item, Event) else 0

    def _unwanted(self) -> bool:
        return self._stop.is_set() or self._asked > self._running

    def _reconcile(self) -> float | None:
        found = self._store.get(keys.test_specification(self._group), TestSpecification)
        if found is None or self._has_answered(found.value):
            return None
        self._running = found.revision
        now = self._look()
        if now is None:
            return RETRY_S
        view, datapath = now
        try:
            row = self._measure(found.value, view, datapath)
        except probe.GivenUp:
            log.info("%s: a status test was given up for another one", self._group)
            return GIVEN_UP_S  # the change that made it unwanted may have been seen before this look began
        self.row = row
        self._write(found, row)
        return None

    def _measure(self, test: TestSpecification, view: NetworkView, datapath: DatapathKind) -> HostStatus:
        trials = min(max(test.trials, 1), MOST_TRIALS)
        self._wait(random.uniform(0, spread_s(len(view.rules), trials)))  # noqa: S311 - jitter
        peers = measurable(view, self._host)
        latencies = probe.measure(peers, interface=self._interface, trials=trials, unwanted=self._unwanted)
        return HostStatus(
            host=self._host,
            test_id=test.id,
            measured_at=datetime.now(UTC),
            interface=self._interface,
            datapath=datapath,
            latencies=latencies,
        )

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if self._unwanted():
                raise probe.GivenUp
            self._stop.wait(min(left, _LOOK_S))

    def _write(self, test: Versioned[TestSpecification], row: HostStatus) -> None:
        """Another test may have been asked for meanwhile, and a CLADNet that is gone wants no row."""
        if not self._stop.is_set():
            self._store.transact([Condition(test.key, test.revision)], [Put(keys.status(self._group, self._host), row)])

    def _has_answered(self, test: TestSpecification) -> bool:
        try:
            own = self._store.get(keys.status(self._group, self._host), HostStatus)
        except MalformedData as error:  # only this host writes here: whoever did not is written over
            log.warning("%s: %s", self._group, error.message)
            return False
        return own is not None and own.value.test_id == test.id
