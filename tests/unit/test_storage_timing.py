"""Ceph's patience from measured round trips: long enough for the way, short enough to notice, and no flapping."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbstorage.ceph import timing
from cbstorage.ceph.answers import MonitorDump, MonitorEntry, StoredSetting
from cbstorage.leading import storage_paths, tuning
from cbstorage.model import HealthCheck
from cladnet.quality import Figures, HostQuality, PairQuality, Window

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = st.sampled_from((0, *timing.STEPS_MS))
ROUND_TRIPS = st.none() | st.floats(min_value=0, max_value=5000, allow_nan=False)


@pytest.mark.parametrize("step", timing.STEPS_MS)
def test_monitors_replace_a_lost_metadata_server(step: int) -> None:
    """MDSMonitor::tick resets every beacon timer when it ran later than grace less interval, of the monitor's own."""
    found = {name: float(value) for name, value in timing.settings(step).items()}
    assert found["mds_beacon_grace"] - timing.BEACON_S >= 2 * timing.TICK_S
    assert found["mds_beacon_mon_down_grace"] >= found["mds_beacon_grace"]


@pytest.mark.parametrize("step", timing.STEPS_MS)
def test_everybody_is_given_several_chances_and_the_way(step: int) -> None:
    found = {name: float(value) for name, value in timing.settings(step).items()}
    way = step / 1000
    assert found["osd_heartbeat_grace"] >= 3 * timing.HEARTBEAT_S + way
    assert found["mon_client_ping_timeout"] >= 2 * timing.PING_S + way
    assert found["mon_client_hunt_interval"] >= 8 * way
    assert 0.4 * found["mon_lease"] >= 3 * (way + 0.2) - 1e-9
    assert found["mon_election_timeout"] >= 3 * way
    assert found["mds_reconnect_timeout"] >= 8 * way + 2
    assert (timing.LEASE_ACK_FACTOR - 0.6) * found["mon_lease"] >= 7 * (way + 0.2) * 0.95


def test_at_40_ms_a_loss_is_noticed_as_fast_as_tuned_by_experiment() -> None:
    step = timing.step(0, lately_ms=45.0, long_ms=45.0)
    assert timing.settings(step) == {
        "mds_beacon_grace": "6", "mds_beacon_mon_down_grace": "8", "mds_reconnect_timeout": "5",
        "mon_client_hunt_interval": "1", "mon_client_ping_timeout": "4", "mon_election_timeout": "2",
        "mon_lease": "3", "objecter_tick_interval": "1", "objecter_timeout": "2", "osd_heartbeat_grace": "5",
    }  # fmt: skip


def test_patience_grows_with_the_way() -> None:
    rows = [list(map(int, timing.settings(step).values())) for step in timing.STEPS_MS]
    for shorter, longer in pairwise(rows):
        assert all(one <= other for one, other in zip(shorter, longer, strict=True))


@given(STEPS, ROUND_TRIPS, ROUND_TRIPS)
def test_a_step_is_kept_while_the_figures_stay(current: int, lately: float | None, long: float | None) -> None:
    once = timing.step(current, lately_ms=lately, long_ms=long)
    assert once in timing.STEPS_MS
    assert timing.step(once, lately_ms=lately, long_ms=long) == once
    assert lately is None or once >= min(lately, timing.STEPS_MS[-1])


@given(st.sampled_from(timing.STEPS_MS), st.lists(st.floats(min_value=0.9, max_value=1.1), max_size=30))
def test_a_path_that_wavers_about_a_step_changes_it_once_at_most(middle: int, factors: list[float]) -> None:
    steps = [timing.step(0, lately_ms=0.9 * middle, long_ms=0.9 * middle)]
    for factor in factors:
        steps.append(timing.step(steps[-1], lately_ms=factor * middle, long_ms=factor * middle))
    assert sum(1 for one, other in pairwise(steps) if one != other) <= 1


def test_a_short_lull_after_an_hour_of_load_changes_nothing() -> None:
    assert timing.step(350, lately_ms=40, long_ms=330) == 350
    assert timing.step(350, lately_ms=40, long_ms=40) == 50
    assert timing.step(350, lately_ms=None, long_ms=None) == 350


def test_only_what_differs_is_set() -> None:
    wanted = {"mon_lease": "3", "osd_heartbeat_grace": "8"}
    stored = (
        StoredSetting(section="global", name="mon_lease", value="3.000000"),
        StoredSetting(section="osd", name="osd_heartbeat_grace", value="8"),
        StoredSetting(section="global", name="osd_heartbeat_grace", value="8", mask="host:a"),
    )
    assert tuning.missing(stored, wanted) == {"osd_heartbeat_grace": "8"}
    assert tuning.missing((StoredSetting(section="global", name="mon_lease", value="much"),), wanted) == wanted


@pytest.mark.parametrize(
    ("monitors", "strategy", "expected"), [(1, 1, False), (3, 1, True), (3, 3, False), (5, 2, True)]
)
def test_three_monitors_elect_by_connectivity(monitors: int, strategy: int, *, expected: bool) -> None:
    mons = tuple(MonitorEntry(name=f"m{number}") for number in range(monitors))
    assert tuning.wants_connectivity(MonitorDump(mons=mons, election_strategy=strategy)) is expected


def row(host: str, **pairs: Figures) -> HostQuality:
    return HostQuality(
        host=host,
        written_at=NOW,
        pairs=tuple(
            PairQuality(destination=name, windows={Window.TEN_MINUTES: figures, Window.HOUR: figures})
            for name, figures in pairs.items()
        ),
    )


def figures(p95_ms: float | None, *, sent: int = 200, lost: int = 0) -> Figures:
    return Figures(sent=sent, received=sent - lost, p95_ms=p95_ms)


def test_only_paths_between_storage_hosts_count_and_the_worse_direction() -> None:
    rows = [
        row("a", b=figures(40), laptop=figures(900), a=figures(700)),
        row("b", a=figures(60)),
        row("x", a=figures(800)),
    ]
    paths = storage_paths.between(rows, {"a", "b", "c"})
    assert [path.ends for path in paths] == [("a", "b")]
    assert storage_paths.worst_ms(path.lately for path in paths) == 60


def test_two_answers_prove_nothing() -> None:
    assert storage_paths.worst_ms([figures(900, sent=2), figures(None), figures(30)]) == 30
    assert storage_paths.worst_ms([figures(None, lost=200)]) is None


def test_paths_that_hurt_are_named_the_worst_first() -> None:
    rows = [row("a", b=figures(284), c=figures(12, lost=10), d=figures(40)), row("b", c=figures(8, sent=10, lost=5))]
    (check,) = storage_paths.checks(storage_paths.between(rows, {"a", "b", "c", "d"}))
    assert check.code == "SLOW_PATHS"
    assert check.summary == "a to c: 5% is lost; a to b: a round trip takes 280 ms"
    assert not storage_paths.checks(storage_paths.between(rows, {"a", "d"}))


def test_what_is_past_hurts_no_longer() -> None:
    def told(pair: PairQuality) -> tuple[HealthCheck, ...]:
        return storage_paths.checks(storage_paths.between([replace(row("a"), pairs=(pair,))], {"a", "b"}))

    windows = {Window.TEN_MINUTES: figures(280), Window.MINUTE: figures(280, sent=12)}
    slow = PairQuality(destination="b", windows=windows)
    assert told(slow)
    assert told(replace(slow, windows={**windows, Window.MINUTE: figures(40, sent=2)}))  # too few to tell
    assert not told(replace(slow, windows={**windows, Window.MINUTE: figures(40, sent=12)}))
    lossy = PairQuality(destination="b", answers_in_a_row=20, windows={Window.TEN_MINUTES: figures(40, lost=20)})
    assert told(lossy)  # one of ten was lost: twenty answers in a row happen
    assert not told(replace(lossy, answers_in_a_row=40))


def test_many_bad_paths_are_counted() -> None:
    names = [f"h{number}" for number in range(9)]
    rows = [row("a", **{name: figures(250) for name in names})]
    (check,) = storage_paths.checks(storage_paths.between(rows, {"a", *names}))
    assert check.summary.endswith("; and 4 more")
