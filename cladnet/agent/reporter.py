"""Writes this host's rows of the continuous measurements into etcd: rarely, and only when they say something new."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cladnet import keys
from cladnet.agent import quality_row
from cladnet.agent.record import Record
from cladnet.etcd.store import Condition, Put, Store
from cladnet.model import CladnetSpecification, CladnetState, NetworkingRule
from cladnet.quality import HostQuality
from larva import codec
from larva.errors import Unavailable

log = logging.getLogger(__name__)

RETRY_S = 10.0
"""While etcd is away: what happened meanwhile should be told soon after it is back."""


@dataclass(frozen=True, slots=True)
class _Told:
    row: HostQuality
    """As it stands in etcd."""
    bytes: int
    looked_at: float


class Reporter:
    """What a Reconciler calls.

    Args:
        records: the CLADNets of this host, as the watchman has them.
    """

    def __init__(self, store: Store, host: str, records: Callable[[], Mapping[str, Record]]) -> None:
        self._store = store
        self._host = host
        self._records = records
        self._told: dict[str, _Told] = {}

    def reconcile(self) -> float:
        """Write what is due; return the seconds until something may be due again."""
        records = self._records()
        self._told = {group: told for group, told in self._told.items() if group in records}
        try:
            return min([quality_row.PAUSE_S, *(self._report(group, record) for group, record in records.items())])
        except Unavailable as error:
            log.info("what is measured is not told to anybody for now: %s", error.message)
            return RETRY_S

    def _report(self, group: str, record: Record) -> float:
        known, alarms = self._told.get(group), record.alarms()
        if known is not None:
            is_news = (
                alarms[: quality_row.MOST_ALARMS] != known.row.alarms
                or record.size() != len(known.row.pairs) + known.row.pairs_left_out
            )
            pause = quality_row.pause_s(record.size() + 1, known.bytes, is_news=is_news)
            left = known.looked_at + pause - time.monotonic()
            if left > 0:
                return left
        row = quality_row.compose(self._host, record.qualities(time.time()), alarms, datetime.now(UTC))
        if known is not None and not quality_row.is_worth_writing(known.row, row):
            self._told[group] = replace(known, looked_at=time.monotonic())
        elif row.pairs:
            self._write(group, row)
        return quality_row.NEWS_PAUSE_S

    def _write(self, group: str, row: HostQuality) -> None:
        """Nothing is written into a CLADNet that is going, or has this host no longer."""
        specification = self._store.get(keys.configuration(group), CladnetSpecification)
        rule = self._store.get(keys.rule(group, self._host), NetworkingRule)
        if specification is None or specification.value.state != CladnetState.ACTIVE or rule is None:
            return
        conditions = [Condition(each.key, each.revision) for each in (specification, rule)]
        if self._store.transact(conditions, [Put(keys.quality(group, self._host), row)]):
            self._told[group] = _Told(row, len(codec.encode(row)), time.monotonic())
