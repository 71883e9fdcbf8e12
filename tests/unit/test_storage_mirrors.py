"""What a mirror does next, wherever it was interrupted; whom it is for; and which failures take it with its source."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbstorage import metrics, mirror_records
from cbstorage.leading import mirror_checks, mirror_plan
from cbstorage.leading.mirror_plan import Bring, Step
from cbstorage.mirror_model import MirrorState, VolumeMirror
from cbstorage.model import MountSpecification
from cbstorage.promise import Promise
from cbstorage.share_model import Share, VolumeShares, allowed
from cbstorage.volume_model import Snapshot, SnapshotPhase
from cbstorage.wanted import mirror_siting
from cladnet.etcd.store import Versioned
from cladnet.model import CloudFacts
from cladnet.placement.model import Survive
from larva.metrics import labels, render

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SOURCE, MIRROR = "11112222", "33334444"
WISH = VolumeMirror(group="demo", volume_id=MIRROR, source_id=SOURCE, every_s=900, keep=2, created_at=NOW)
NEW = MirrorState(volume_id=MIRROR)


def snap(
    volume_id: str, name: str, phase: SnapshotPhase = SnapshotPhase.MADE, revision: int = 1
) -> Versioned[Snapshot]:
    return Versioned(name, Snapshot(volume_id=volume_id, name=name, phase=phase, asked_at=NOW), revision)


def test_names_say_whose_they_are() -> None:
    assert mirror_plan.name_for(MIRROR, NOW) == "mirror-33334444-20260601-120000"
    assert mirror_plan.maker(mirror_plan.name_for(MIRROR, NOW)) == MIRROR
    for other in (
        "mirror-x",
        "auto-20260601-120000",
        "mirror-33334444-20260601-120000-mine",
        "mirror-3333444٤-20260601-120000",
    ):
        assert mirror_plan.maker(other) is None


@pytest.mark.parametrize(
    ("age_s", "due"), [(899, False), (900, True), (10**7, True), (-60, False), (-(10**7), True), (None, True)]
)
def test_when_a_round_begins(age_s: int | None, due: bool) -> None:
    state = replace(NEW, complete="x", complete_at=None if age_s is None else NOW - timedelta(seconds=age_s))
    assert mirror_plan.next_step(WISH, state, {}, {}, NOW) is (Step.BEGIN if due else Step.REST)
    assert mirror_plan.next_step(replace(WISH, stopped=True), state, {}, {}, NOW) is Step.REST


def test_a_round_out_of_turn_is_begun_once_whatever_clocks_say() -> None:
    asked = replace(WISH, now_at=NOW + timedelta(days=365))
    state = replace(NEW, complete="x", complete_at=NOW)
    assert mirror_plan.next_step(asked, state, {}, {}, NOW) is Step.BEGIN
    done = mirror_plan.finished(mirror_plan.begun(asked, state, NOW))
    assert mirror_plan.next_step(asked, done, {}, {}, NOW) is Step.REST
    # Asked for again while that round ran: what it brings may be older.
    again = replace(asked, now_at=NOW + timedelta(days=366))
    assert mirror_plan.next_step(again, done, {}, {}, NOW) is Step.BEGIN


def test_what_is_the_same_is_only_trusted_where_it_can_be() -> None:
    before = {"a": snap(SOURCE, "a")}
    assert mirror_plan.how(NEW, {}) == Bring(before=None, trust_times=True)
    assert mirror_plan.how(replace(NEW, mixed=True), {}) == Bring(before=None, trust_times=False)
    assert mirror_plan.how(replace(NEW, complete="a"), before) == Bring(before="a", trust_times=False)
    assert mirror_plan.how(replace(NEW, complete="a", mixed=True), before) == Bring(before=None, trust_times=False)
    assert mirror_plan.how(replace(NEW, complete="a"), {}) == Bring(before=None, trust_times=False)


class World:
    """A mirror and its source without their contents: what a head holds is the name of a snapshot, or several."""

    def __init__(self) -> None:
        self.wish = WISH
        self.state = NEW
        self.source: dict[str, Versioned[Snapshot]] = {}
        self.own: dict[str, Versioned[Snapshot]] = {}
        self.head: set[str] = set()
        self.held: dict[str, set[str]] = {}
        """What our snapshots hold, by name."""
        self.now = NOW
        self.revision = 1

    def put(self, volume_id: str, name: str, phase: SnapshotPhase) -> None:
        self.revision += 1
        where = self.source if volume_id == SOURCE else self.own
        where[name] = snap(volume_id, name, phase, self.revision)

    def snapshots(self) -> None:
        """What the keeper of snapshots does."""
        for volume_id, where in ((SOURCE, self.source), (MIRROR, self.own)):
            for name, item in list(where.items()):
                if item.value.phase is SnapshotPhase.WANTED:
                    self.put(volume_id, name, SnapshotPhase.MADE)
                    if volume_id == MIRROR:
                        self.held[name] = set(self.head)
                elif item.value.phase is SnapshotPhase.DELETING:
                    needed = mirror_plan.needed(self.wish, self.state)
                    if (volume_id, name) not in needed:
                        del where[name]

    def look(self, *, copied: bool) -> Step:
        """What the keeper of mirrors does; the copier comes to its end or not."""
        for item in mirror_plan.surplus(self.wish, self.state, self.source, self.own):
            self.put(item.value.volume_id, item.value.name, SnapshotPhase.DELETING)
        step = mirror_plan.next_step(self.wish, self.state, self.source, self.own, self.now)
        if step is Step.BEGIN:
            self.state = mirror_plan.begun(self.wish, self.state, self.now)
            self.put(SOURCE, str(self.state.copying), SnapshotPhase.WANTED)
        elif step is Step.COPY:
            name = str(self.state.copying)
            self.head.add(name)
            if copied:
                self.head = {name}
                self.put(MIRROR, name, SnapshotPhase.WANTED)
        elif step is Step.FINISH:
            self.state = mirror_plan.finished(self.state)
        elif step is Step.GIVE_UP:
            self.state = mirror_plan.given_up(self.state)
        return step

    def check(self) -> None:
        for name, held in self.held.items():
            assert held == {name}, "a snapshot of more than one state, or of another"
        if self.state.complete is not None:
            assert self.own[self.state.complete].value.phase is SnapshotPhase.MADE
            assert self.held[self.state.complete] == {self.state.complete}
        if not self.state.mixed:
            known = {self.state.complete, self.state.copying}
            assert self.head <= known, "what was taken for known is of another time"


actions = st.lists(
    st.sampled_from(["look", "copied", "snapshots", "time", "stop", "go", "now", "lose-source", "lose-state", "users"]),
    max_size=60,
)


@given(actions)
def test_a_whole_state_is_whole_whatever_happens_in_between(history: list[str]) -> None:
    world = World()
    for action in history:
        world.now += timedelta(seconds=1)
        match action:
            case "look" | "copied":
                world.look(copied=action == "copied")
            case "snapshots":
                world.snapshots()
            case "time":
                world.now += timedelta(seconds=1000)
            case "stop" | "go":
                world.wish = replace(world.wish, stopped=action == "stop")
            case "now":
                world.wish = replace(world.wish, now_at=world.now)
            case "lose-source":
                world.source.clear()
            case "lose-state":
                world.state = mirror_plan.recovered(MIRROR, world.own)
            case "users":
                for volume_id, where in ((SOURCE, world.source), (MIRROR, world.own)):
                    for name in list(where):
                        if (volume_id, name) not in mirror_plan.needed(world.wish, world.state):
                            world.put(volume_id, name, SnapshotPhase.DELETING)
        world.check()
    world.wish = replace(world.wish, stopped=False)
    world.now += timedelta(seconds=1000)
    last = world.state.complete
    for _ in range(20):
        world.now += timedelta(seconds=1)
        world.look(copied=True)
        world.snapshots()
        world.check()
    assert world.state.complete not in (None, last), "it never gets on again"
    assert set(world.source) == {world.state.complete}
    assert len(world.own) <= WISH.keep + 1


def test_what_a_mirror_that_is_no_more_left_at_its_source_goes_and_its_own_stays() -> None:
    name = mirror_plan.name_for(MIRROR, NOW)
    left, own, mine = snap(SOURCE, name), snap(MIRROR, name), snap(SOURCE, "mirror-mine")
    assert mirror_plan.orphans([left, own, mine], []) == (left,)
    assert mirror_plan.orphans([left, own, mine], [MIRROR]) == ()


modes = st.none() | st.fixed_dictionaries(dict.fromkeys(("a", "b", "c"), st.none() | st.booleans()))


def shares(volume_id: str, given_to: dict[str, bool | None]) -> VolumeShares:
    found = tuple(Share(host=host, read_only=mode) for host, mode in given_to.items() if mode is not None)
    return VolumeShares(group="demo", volume_id=volume_id, shares=found)


@given(modes, modes, st.booleans())
def test_nobody_has_a_mirror_who_may_not_have_its_source_and_nobody_writes(
    of_source: dict[str, bool | None] | None,
    of_mirror: dict[str, bool | None] | None,
    readable: bool,
) -> None:
    kept = {
        volume_id: shares(volume_id, one)
        for volume_id, one in ((SOURCE, of_source), (MIRROR, of_mirror))
        if one is not None
    }
    mirrors = {MIRROR: Versioned("m", WISH if readable else None, 1)}
    found = mirror_records.narrowed("demo", kept, mirrors)
    assert found.get(SOURCE) == kept.get(SOURCE)
    for host in ("a", "b", "c"):
        wish = MountSpecification(volume="m", volume_id=MIRROR, host=host, path="/srv/m")
        (may,) = mirror_records.read_only({host: wish}, mirrors).values()
        got = allowed(may, found.get(MIRROR))
        both = [one[host] for one in (of_source, of_mirror) if one is not None]
        assert (got is not None) == (readable and None not in both)
        assert got is None or got.read_only


GROUND = {
    **{f"aws-{n}": CloudFacts(provider="aws", region="ap-southeast-2", zone=f"z{n}") for n in range(3)},
    **{f"azure-{n}": CloudFacts(provider="azure", region="uksouth", zone=f"z{n}") for n in range(3)},
    "gcp-1": CloudFacts(provider="gcp", region="asia-east1", zone="a"),
}


@pytest.mark.parametrize(
    ("source", "mirror", "taken"),
    [
        (Promise(survive=Survive.ZONE, home="aws"), Promise(survive=Survive.ZONE, home="azure"), ""),
        (Promise(survive=Survive.ZONE, home="aws"), Promise(survive=Survive.ZONE, home="aws"), "area"),
        (Promise(survive=Survive.ZONE, home="aws"), Promise(survive=Survive.CSP), ""),
        (Promise(survive=Survive.CSP), Promise(survive=Survive.ZONE, home="aws"), ""),
        (None, Promise(survive=Survive.ZONE, home="aws"), ""),
    ],
)
def test_one_failure_never_takes_both(source: Promise | None, mirror: Promise, taken: str) -> None:
    from cbstorage.ceph.layout import survey

    found = mirror_siting.shared_fate(source, mirror, survey(GROUND, ()))
    assert found.startswith(taken)
    assert bool(found) == bool(taken)


def test_a_late_mirror_is_complained_of_by_since_when() -> None:
    state = replace(NEW, complete="x", complete_at=NOW, problem="no room")
    for after_s, late in ((1000, False), (3000, True)):
        found = mirror_checks.of([("far", WISH, state)], NOW + timedelta(seconds=after_s))
        assert [one.summary for one in found] == (["far (whole as of 2026-06-01 12:00 UTC: no room)"] if late else [])
    assert mirror_checks.of([("far", replace(WISH, stopped=True), state)], NOW + timedelta(days=9)) == ()
    (many,) = mirror_checks.of([(f"m{n}", WISH, NEW) for n in range(9)], NOW + timedelta(days=9))
    assert many.summary.startswith("m0 (nothing whole yet), m1")
    assert many.summary.endswith("and 4 more")


def test_the_lag_is_a_metric() -> None:
    key = labels(cladnet="demo", volume="far")
    done = replace(NEW, complete="x", complete_at=NOW, copying="y")
    text = render(
        metrics.of_mirrors([(key, done), (labels(cladnet="demo", volume="new"), NEW)], NOW + timedelta(seconds=7))
    )
    assert 'larva_volume_mirror_lag_seconds{cladnet="demo",volume="far"} 7' in text
    assert 'larva_volume_mirror_lag_seconds{cladnet="demo",volume="new"}' not in text
    assert 'larva_volume_mirror_copying{cladnet="demo",volume="far"} 1' in text
