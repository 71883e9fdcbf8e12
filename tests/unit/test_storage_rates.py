"""Rates from the OSDs' counters, and what Prometheus is told of storage."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from cbstorage import metrics
from cbstorage.ceph.monitor import Monitors
from cbstorage.leading import observe
from cbstorage.leading.rates import Counters, Look, PerfDump, RateKeeper, between
from cbstorage.model import ClusterState, Health, HealthCheck, MountPhase, MountState, Rates, VolumeState
from larva.errors import Unavailable
from larva.metrics import labels, render

BEFORE = Counters(
    op_r=10, op_w=10, op_in_bytes=1000, op_out_bytes=1000, recovery_bytes=0, stat_bytes=100, stat_bytes_used=60
)
AFTER = Counters(
    op_r=20, op_w=40, op_in_bytes=6000, op_out_bytes=2000, recovery_bytes=500, stat_bytes=100, stat_bytes_used=50
)
STATE = ClusterState(
    health=Health.WARNING,
    checks=(HealthCheck(code="OSD_DOWN", health=Health.WARNING, summary="1 osds down"),),
    quorum=("a", "b"),
    monitors=("a", "b", "c"),
    manager="",
    active_mds=("mds-a",),
    standby_mds=(),
    osds=(),
    total_bytes=300,
    used_bytes=120,
    clean=None,
    observed_at=datetime(2026, 1, 1, tzinfo=UTC),
)


def test_rates_are_what_was_done_between_two_looks() -> None:
    found = between(
        Look(at=100, counters={0: BEFORE, 1: BEFORE}), Look(at=110, counters={0: AFTER, 1: AFTER, 2: AFTER})
    )
    assert found == Rates(reads_s=2, writes_s=6, read_bytes_s=200, written_bytes_s=1000, recovered_bytes_s=100)


def test_an_osd_that_started_anew_counts_for_nothing_once() -> None:
    found = between(Look(at=0, counters={0: AFTER, 1: BEFORE}), Look(at=10, counters={0: BEFORE, 1: AFTER}))
    assert found is not None
    assert (found.reads_s, found.written_bytes_s) == (1, 500)


@pytest.mark.parametrize("old", [None, Look(at=10, counters={0: BEFORE}), Look(at=-1000, counters={0: BEFORE})])
def test_one_look_tells_no_rate(old: Look | None) -> None:
    assert between(old, Look(at=10, counters={0: AFTER})) is None


class Osds:
    """OSDs that tell what the test wants; number 9 never answers."""

    def __init__(self) -> None:
        self.told, self.asked = BEFORE, 0

    def ask_osd(self, osd: int, *words: Any, **arguments: Any) -> PerfDump:
        del words, arguments
        self.asked += 1
        if osd == 9:
            raise Unavailable("osd.9 does not answer")
        return PerfDump(osd=self.told)


def test_osds_are_asked_now_and_then_and_a_silent_one_is_left_out() -> None:
    osds, now = Osds(), [0.0]
    keeper = RateKeeper(clock=lambda: now[0])
    first = keeper.look(cast("Monitors", osds), [0, 1, 9])
    assert (first.total_bytes, first.used_bytes, first.rates) == (200, 120, None)
    now[0] = 5.0
    keeper.look(cast("Monitors", osds), [0, 1, 9])
    assert osds.asked == 3
    now[0], osds.told = 10.0, AFTER
    second = keeper.look(cast("Monitors", osds), [0, 1, 9])
    assert second.used_bytes == 100
    assert second.rates is not None
    assert second.rates.writes_s == 6


def test_a_state_is_written_again_when_rates_differ_much() -> None:
    slow = replace(
        STATE, rates=Rates(reads_s=1, writes_s=1, read_bytes_s=0, written_bytes_s=5 << 20, recovered_bytes_s=0)
    )
    assert slow.rates is not None
    a_little = replace(slow, rates=replace(slow.rates, written_bytes_s=6 << 20, writes_s=9))
    much = replace(slow, rates=replace(slow.rates, recovered_bytes_s=50 << 20))
    assert observe.same(slow, a_little)
    assert not observe.same(slow, much)
    assert not observe.same(STATE, slow)


def test_prometheus_reads_clusters_volumes_and_mounts() -> None:
    rates = Rates(reads_s=1, writes_s=2, read_bytes_s=3, written_bytes_s=4, recovered_bytes_s=5)
    text = render(metrics.of_clusters([("demo", replace(STATE, rates=rates)), ("other", STATE)]))
    assert 'larva_storage_health{cladnet="demo"} 1\n' in text
    assert 'larva_storage_complaint{cladnet="demo",code="OSD_DOWN"} 1\n' in text
    assert 'larva_storage_recovered_bytes_per_second{cladnet="demo"} 5\n' in text
    assert 'larva_storage_recovered_bytes_per_second{cladnet="other"}' not in text
    assert 'larva_storage_monitors_in_quorum{cladnet="other"} 2\n' in text
    key = labels(cladnet="demo", volume="data")
    text = render(metrics.of_volumes([(key, VolumeState(id="11112222", ready=True, size_bytes=9, used_bytes=7), 2)]))
    assert 'larva_volume_used_bytes{cladnet="demo",volume="data"} 7\n' in text
    assert 'larva_volume_mounts{cladnet="demo",volume="data"} 2\n' in text
    state = MountState(volume="data", volume_id="11112222", host="a", path="/srv/data", phase=MountPhase.FAILED)
    assert render(metrics.of_mounts([(key, state)])).endswith('larva_mounted{cladnet="demo",volume="data"} 0\n')
