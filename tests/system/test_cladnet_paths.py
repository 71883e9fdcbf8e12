"""Rows of what is measured all the time, in a real etcd: written when they say something new, read as alarms."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cladnet import keys, networks, paths
from cladnet.agent import reporter as reporter_module
from cladnet.agent.quality_row import NEWS_PAUSE_S, PAUSE_S, STALE_S
from cladnet.agent.record import Record
from cladnet.agent.reporter import Reporter
from cladnet.etcd.store import Store
from cladnet.model import CladnetSpecification, CloudFacts, NetworkingRule
from cladnet.paths import Alarms
from cladnet.quality import Alarm, AlarmKind, HostQuality, Window

PATIENCE_S = 60.0


@pytest.fixture
def store(etcd) -> Iterator[Store]:
    with etcd.store() as opened:
        yield opened


@pytest.fixture
def mesh(store: Store) -> CladnetSpecification:
    """A CLADNet with hosts a and b in one cloud and c in another."""
    specification = networks.create(store, name="mesh", cidr="10.77.0.0/24")
    for number, (host, cloud) in enumerate((("a", "aws"), ("b", "aws"), ("c", "gcp")), start=1):
        store.put(
            keys.rule(specification.id, host),
            NetworkingRule(
                host=host, address=specification.cidr[number], public_key=host, endpoints=(),
                cloud=CloudFacts(provider=cloud),
            ),
        )  # fmt: skip
    return specification


class Clock:
    """Time that goes on when it is told to."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return self.passed

    def time(self) -> float:
        return datetime.now(UTC).timestamp() + self.passed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(reporter_module, "time", made)
    return made


def revision(store: Store, group: str) -> int:
    return store.revisions(keys.qualities_of(group)).get(keys.quality(group, "a"), 0)


def test_a_row_is_written_when_it_says_something_new_and_not_else(
    store: Store, mesh: CladnetSpecification, clock: Clock
) -> None:
    record = Record(mesh.id)
    reporter = Reporter(store, "a", lambda: {mesh.id: record})
    now = datetime.now(UTC).timestamp() - 1000

    def hear(host: str, *rtts: float | None) -> None:
        nonlocal now
        for rtt in rtts:
            now += 5
            record.heard(host, now, rtt)

    assert reporter.reconcile() <= PAUSE_S
    assert revision(store, mesh.id) == 0, "nothing was measured yet"
    hear("b", *[10.0] * 30)
    reporter.reconcile()
    first = revision(store, mesh.id)
    assert first > 0
    for _ in range(5):
        hear("b", *[10.0] * 10)
        reporter.reconcile()
    clock.passed += PAUSE_S
    reporter.reconcile()
    assert revision(store, mesh.id) == first, "echo after echo, and nothing new"
    hear("c", *[280.0] * 10)
    reporter.reconcile()
    assert revision(store, mesh.id) == first, "what is new waits a moment"
    clock.passed += NEWS_PAUSE_S
    reporter.reconcile()
    second = revision(store, mesh.id)
    assert second > first, "a peer came"
    hear("c", None, None, None)
    clock.passed += NEWS_PAUSE_S
    reporter.reconcile()
    third = revision(store, mesh.id)
    assert third > second, "an alarm was raised"
    (view,) = [each for each in paths.views(store, mesh.id, Window.DAY) if each.destination == "b"]
    assert (view.source, view.sent, view.received, view.avg_ms) == ("a", 80, 80, 10.0)
    (line,) = paths.alarms(store, mesh.id).summary
    assert (line.destination, line.sources) == ("c", ("a",))
    assert STALE_S > PAUSE_S


def test_nothing_is_written_where_this_host_is_not(store: Store, mesh: CladnetSpecification) -> None:
    record = Record(mesh.id)
    record.heard("b", datetime.now(UTC).timestamp(), 10.0)
    Reporter(store, "stranger", lambda: {mesh.id: record, "gone": record}).reconcile()
    networks.delete(store, "mesh")
    Reporter(store, "a", lambda: {mesh.id: record}).reconcile()
    assert store.revisions(keys.QUALITY) == {}


def test_who_follows_hears_each_change_and_no_row_that_changes_nothing(
    store: Store, mesh: CladnetSpecification
) -> None:
    lost = Alarm(kind=AlarmKind.UNREACHABLE, destination="c", since=datetime.now(UTC), evidence="3 echoes were lost")

    def tell(host: str, *alarms: Alarm, name: str | None = None) -> None:
        row = HostQuality(host=name or host, written_at=datetime.now(UTC), pairs=(), alarms=alarms)
        store.put(keys.quality(mesh.id, host), row)

    following = paths.following(store, mesh.id)
    bell = threading.Timer(PATIENCE_S, store.close)  # nothing that is awaited here is awaited for ever
    bell.start()
    assert next(following) == Alarms()
    tell("b")
    tell("a", lost)
    assert [line.sources for line in next(following).summary] == [("a",)]
    tell("b", lost, name="c")  # in another's name
    store.put(keys.quality(mesh.id, "c"), "rubbish")
    tell("b", replace(lost, destination="nobody"))
    tell("b", lost)
    assert [line.sources for line in next(following).summary] == [("aws",)]
    store.delete(keys.quality(mesh.id, "a"))
    assert [line.sources for line in next(following).summary] == [("b",)]
    store.delete(keys.rule(mesh.id, "c"))
    assert next(following).summary == (), "of a peer that is gone"
    bell.cancel()
