"""Mirrors as desired state, on a real etcd: what is refused, what the leading host makes of it, and promotion."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import stage
from click.testing import CliRunner

from cbstorage import keys, mirror_records, records
from cbstorage.commands.volume import volume as volume_command
from cbstorage.leading import mirror_checks, tree, volume_plan
from cbstorage.leading.copier import CopyOrder, CopyReport
from cbstorage.leading.copy_jobs import CopyJobs
from cbstorage.leading.copy_keeper import CopyKeeper
from cbstorage.leading.mirror_keeper import MirrorKeeper
from cbstorage.leading.snapshot_keeper import SnapshotKeeper
from cbstorage.leading.volume_keeper import VolumeKeeper
from cbstorage.mirror_model import MirrorState
from cbstorage.model import VolumePhase, VolumeSpecification, VolumeState
from cbstorage.promise import Promise
from cbstorage.share_model import Share
from cbstorage.wanted import connections, copies, mirrors, mounting, resizing, sharing, snapshots, trash, volumes
from cladnet.etcd.store import Store
from cladnet.placement.model import Survive
from larva.errors import Conflict, InvalidInput, LarvaError, NotFound, ProgramFailed, Refused, TimedOut, Unavailable

GROUP = "demo-1"
GIB = 1 << 30
FAR = Promise(survive=Survive.HOST, home="azure")


@pytest.fixture
def store(etcd: Any) -> Store:
    made: Store = etcd.store()
    stage.set_up(made, GROUP)
    return made


class Jobs(CopyJobs):
    """Copies that are as far as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.far = CopyReport(files=0, bytes=0)
        self.orders = list[CopyOrder]()
        self.running = set[str]()

    def follow(self, token: str, order: CopyOrder) -> CopyReport:
        self.orders.append(order)
        if self.far.problem:
            raise ProgramFailed(self.far.problem)
        self.running.add(token)
        if self.far.done:
            self.running.discard(token)
        return self.far

    def is_running(self, token: str) -> bool:
        return token in self.running

    def keep_only(self, tokens: Any) -> None:
        self.running &= set(tokens)


class Host:
    """The leading host, the file system apart."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.jobs = Jobs()
        self.looks = 0
        self.mirrors = MirrorKeeper(store, GROUP, lambda: self.jobs, clock=self.clock)
        self.snapshots = SnapshotKeeper(store, GROUP, lambda *_: None)
        self.asked = list[str]()
        self.stuck: dict[str, LarvaError] = {}

    def give(self, entity: str) -> Path:
        self.asked.append(f"give {entity}")
        return Path("keyring")

    def take(self, entity: str) -> None:
        self.asked.append(f"take {entity}")
        if entity in self.stuck:
            raise self.stuck[entity]

    def clock(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.looks)

    def look(self) -> bool:
        """One look of the volume keeper's, a second after the last."""
        self.looks += 1
        there = records.volumes(self.store, GROUP).values()
        whole = [item for item in there if item.value.phase is VolumePhase.ACTIVE]
        for item in whole:
            volume = item.value
            state = VolumeState(id=volume.id, ready=True, size_bytes=volume.size_bytes)
            self.store.put(keys.volume_state(GROUP, volume.name), state)
        for volume, todo in self.snapshots.due([item.value for item in whole], self.mirrors.needed()):
            self.snapshots.carry_out(volume, todo)
        return self.mirrors.keep(whole, records.copies(self.store, GROUP), lambda: self)

    def settle(self) -> None:
        for _ in range(12):
            if self.look():
                return
        raise AssertionError("it never rests")

    def discard(self, name: str) -> None:
        item = records.volume(self.store, GROUP, name)
        assert item is not None
        keeper = VolumeKeeper(self.store, GROUP, "aws-1")
        keeper._order = lambda **_: None  # type: ignore[method-assign, assignment, return-value]
        keeper._discard(item)

    def destroy(self, name: str) -> None:
        found = next(one for one in records.trash(self.store, GROUP).values() if one.value.volume.name == name)
        keeper = VolumeKeeper(self.store, GROUP, "aws-1")
        keeper._order = lambda **_: Done()  # type: ignore[method-assign, assignment, return-value]
        assert keeper._purge(found.value.volume)
        self.store.delete(found.key)


class Done:
    """A purge that has come to its end."""

    unfinished = ()


@pytest.fixture
def host(store: Store) -> Host:
    made = Host(store)
    made.jobs.far = CopyReport(files=1, bytes=7, done=True)
    return made


@pytest.fixture
def source(store: Store) -> VolumeSpecification:
    return volumes.create(store, GROUP, "data", GIB)


def names(store: Store, volume_id: str) -> list[str]:
    return sorted(name for whose, name in records.snapshots(store, GROUP) if whose == volume_id)


def age(store: Store, volume_id: str, by: timedelta) -> None:
    """Let time go by for a mirror."""
    item = mirror_records.mirror_states_of(store, GROUP)[volume_id]
    assert item.value.complete_at is not None
    store.replace(item, replace(item.value, complete_at=item.value.complete_at - by))


def test_rounds_follow_each_other(store: Store, source: VolumeSpecification, host: Host) -> None:
    made = mirrors.create(store, GROUP, "data", FAR, every_s=900, keep=2)
    assert (made.name, made.promise, made.size_bytes) == ("data-mirror", FAR, GIB)
    assert mirrors.find(store, GROUP, "data-mirror").status == "waiting"
    with pytest.raises(TimedOut, match="bytes are here"):
        mirrors.wait_whole(store, GROUP, "data-mirror", timeout_s=0)
    host.settle()
    first = mirrors.find(store, GROUP, "data-mirror")
    assert (first.status, first.source, first.copied_bytes) == ("in-sync", "data", 7)
    assert names(store, source.id) == names(store, made.id) == [first.complete]
    (order,) = host.jobs.orders
    assert (order.source, order.target) == (f"{source.path}/.snap/{first.complete}", made.path)
    assert (order.before, order.before_at, order.trust_times) == ("", None, True)
    assert host.asked[0] == host.asked[-1] == f"take client.copy.{made.id}", "no late copier writes any more"
    assert host.look(), "nothing is left to do"

    age(store, made.id, timedelta(seconds=901))
    asked_at = mirrors.find(store, GROUP, "data-mirror").complete_at
    resizing.resize(store, GROUP, "data", 2 * GIB)
    host.settle()
    second = mirrors.find(store, GROUP, "data-mirror")
    assert second.complete not in (None, first.complete)
    assert volumes.find(store, GROUP, "data-mirror").size_bytes == 2 * GIB
    assert host.jobs.orders[-1].before == f"{source.path}/.snap/{first.complete}"
    assert asked_at is not None
    assert host.jobs.orders[-1].before_at == asked_at, "what was changed about then is looked at"
    assert names(store, source.id) == [second.complete]
    assert names(store, made.id) == sorted([str(first.complete), str(second.complete)])

    age(store, made.id, timedelta(seconds=10_000))
    assert mirrors.find(store, GROUP, "data-mirror").status == "late"
    assert [one.code for one in mirror_checks.read(store, GROUP)] == ["MIRROR_LATE"]
    host.jobs.far = CopyReport(files=0, bytes=0, problem="no room")
    for _ in range(4):
        host.look()
    assert mirrors.find(store, GROUP, "data-mirror").problem == "no room"
    assert "no room" in mirror_checks.read(store, GROUP)[0].summary
    host.jobs.far = CopyReport(files=1, bytes=7, done=True)
    asked = mirrors.now(store, GROUP, "data-mirror")
    host.settle()
    assert mirrors.wait_whole(store, GROUP, "data-mirror", asked=asked, timeout_s=5).problem == ""
    assert mirror_checks.read(store, GROUP) == ()
    assert len(names(store, made.id)) == 2


def test_what_cannot_be_mirrored_is_refused(store: Store, source: VolumeSpecification, host: Host) -> None:
    for changes, said in (({"every_s": 1}, "every 1 s"), ({"keep": 0}, "keep 0"), ({"new": "a/b"}, "not usable")):
        with pytest.raises(InvalidInput, match=said):
            mirrors.create(store, GROUP, "data", FAR, **changes)  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="no volume 'none'"):
        mirrors.create(store, GROUP, "none", FAR)
    with pytest.raises(InvalidInput, match="there are some in: aws, azure, gcp"):
        mirrors.create(store, GROUP, "data", Promise(survive=Survive.ZONE, home="oracle"))
    volumes.create(store, GROUP, "other", GIB)
    with pytest.raises(Conflict, match="has a volume 'other' already"):
        mirrors.create(store, GROUP, "data", FAR, new="other")
    mirrors.create(store, GROUP, "data", FAR)
    with pytest.raises(Conflict, match="lies elsewhere for good"):
        mirrors.create(store, GROUP, "data", Promise(survive=Survive.CSP))
    with pytest.raises(Conflict, match="is a mirror"):
        mirrors.create(store, GROUP, "data-mirror", FAR)
    mirrors.create(store, GROUP, "data", FAR, new="second")
    with pytest.raises(Conflict, match="2 mirrors already"):
        mirrors.create(store, GROUP, "data", FAR, new="third")
    with pytest.raises(NotFound, match="is no mirror"):
        mirrors.promote(store, GROUP, "data")
    with pytest.raises(Conflict, match="nothing whole"):
        mirrors.promote(store, GROUP, "second", force=True)
    copies.clone(store, GROUP, "other", "clone")
    with pytest.raises(Conflict, match="being filled"):
        mirrors.create(store, GROUP, "clone", FAR)


def test_a_mirror_is_only_read_and_only_its_own(store: Store, source: VolumeSpecification, host: Host) -> None:
    made = mirrors.create(store, GROUP, "data", FAR)
    host.settle()
    whole = str(mirrors.find(store, GROUP, "data-mirror").complete)
    for action, said in (
        (lambda: snapshots.create(store, GROUP, "data-mirror", "mine"), "is a mirror"),
        (lambda: snapshots.schedule(store, GROUP, "data-mirror", every_s=900, keep=1), "is a mirror"),
        (lambda: snapshots.delete(store, GROUP, "data-mirror", whole), "a mirror's"),
        (lambda: snapshots.delete(store, GROUP, "data", whole), "a mirror's"),
        (lambda: copies.restore(store, GROUP, "data-mirror", whole), "is a mirror"),
        (lambda: copies.clone(store, GROUP, "data-mirror", "x"), "is a mirror"),
        (lambda: resizing.resize(store, GROUP, "data-mirror", 2 * GIB), "is a mirror"),
        (lambda: connections.connect(store, GROUP, "data-mirror", "laptop"), "is a mirror"),
    ):
        with pytest.raises(Conflict, match=said):
            action()
    with pytest.raises(InvalidInput, match="are mirrors'"):
        snapshots.create(store, GROUP, "data", "mirror-mine")
    copies.clone(store, GROUP, "data-mirror", "trial", snapshot=whole)

    (asked,) = mounting.mount(store, GROUP, "data-mirror", ["gcp-1"], "/srv/far")
    assert asked.read_only
    assert records.wanted_on(store, GROUP, "gcp-1")["data-mirror"].read_only
    assert [mount.read_only for mount in volumes.find(store, GROUP, "data-mirror").mounts] == [True]
    desired = volume_plan.Desired(
        volumes=tuple(records.volumes(store, GROUP).values()), states=records.volume_states(store, GROUP),
        mounts=records.asked_of(store, GROUP, stage.HOSTS), reports={}, handed_out={},
        shares=records.shares_of(store, GROUP),
    )  # fmt: skip
    assert [one.read_only for one in volume_plan.plan(desired, dict.fromkeys(stage.HOSTS, "s")).hand_out] == [True]

    sharing.keep_for(store, GROUP, "data", [Share(host="aws-1")])
    assert records.wanted_on(store, GROUP, "gcp-1") == {}, "whoever loses the source loses its mirror"
    assert sharing.shares(store, GROUP, "data-mirror") == (Share(host="aws-1"),)
    # A record that nobody can read opens nothing.
    sharing.open_to_all(store, GROUP, "data")
    assert records.wanted_on(store, GROUP, "gcp-1")["data-mirror"].read_only
    store.put(keys.mirror(GROUP, made.id), "nonsense")
    assert records.wanted_on(store, GROUP, "gcp-1") == {}
    assert mirrors.find(store, GROUP, "data-mirror").status == "unreadable"
    assert host.look()


def test_promotion(store: Store, source: VolumeSpecification, host: Host) -> None:
    sharing.keep_for(store, GROUP, "data", [Share(host="aws-1"), Share(host="gcp-1", read_only=True)])
    made = mirrors.create(store, GROUP, "data", FAR)
    host.settle()
    whole = mirrors.find(store, GROUP, "data-mirror").complete
    with pytest.raises(Conflict, match="follows data, which is there"):
        mirrors.promote(store, GROUP, "data-mirror")
    mounting.mount(store, GROUP, "data-mirror", ["aws-1"], "/srv/far")
    # In the middle of a round that has come as far as its own snapshot.
    mirrors.now(store, GROUP, "data-mirror")
    while len(names(store, made.id)) < 2:
        host.look()
    stood = mirrors.promote(store, GROUP, "data-mirror", force=True)
    assert "data-mirror holds what data held at" in stood.loss
    assert mirrors.list_all(store, GROUP) == ()
    assert sharing.shares(store, GROUP, "data-mirror") == (Share(host="aws-1"), Share(host="gcp-1", read_only=True))
    assert not records.wanted_on(store, GROUP, "aws-1")["data-mirror"].read_only
    wish = records.copies(store, GROUP)[made.id].value
    assert (wish.source_id, wish.snapshot, wish.only_copied) == (made.id, whole, True)
    assert volumes.find(store, GROUP, "data-mirror").status == "copying"
    host.look()
    jobs = Jobs()
    jobs.far = CopyReport(files=1, bytes=7, done=True)
    CopyKeeper(store, GROUP, lambda: jobs).keep(records.copies(store, GROUP), [made], host)
    (order,) = jobs.orders
    assert (order.source, order.target, order.before) == (f"{made.path}/.snap/{whole}", made.path, made.path)
    assert order.before_at is None, "only copiers wrote, and they make new inodes"
    assert store.get(keys.volume_state(GROUP, "data-mirror"), VolumeState) is None, "its quota is set now"
    for _ in range(3):
        host.look()
    assert volumes.find(store, GROUP, "data-mirror").status == "ready"
    assert names(store, source.id) == [], "its source keeps nothing for it"
    assert names(store, made.id) == [whole]
    snapshots.delete(store, GROUP, "data-mirror", str(whole))
    assert store.revisions(keys.mirror_states_of(GROUP)) == {}


def test_a_promoted_mirror_has_no_quota_until_it_is_put_back(
    store: Store, source: VolumeSpecification, host: Host
) -> None:
    """What the broken round brought and what the whole state had may not fit into it together."""
    made = mirrors.create(store, GROUP, "data", FAR)
    quotas = list[int]()

    def order(*, make: tuple[tree.Make, ...], count: tuple[str, ...]) -> tree.Answer:
        quotas.extend(one.size_bytes for one in make)
        return tree.Answer(used_bytes=dict.fromkeys(count, 0))

    keeper = VolumeKeeper(store, GROUP, "aws-1")
    keeper._order = order  # type: ignore[method-assign, assignment]
    nothing: Any = None
    plain = replace(made, promise=None)  # its pool is not what this is about
    keeper._make(nothing, nothing, plain)
    host.settle()
    mirrors.promote(store, GROUP, "data-mirror", force=True)
    keeper._make(nothing, nothing, plain)
    wishes = records.copies(store, GROUP)
    CopyKeeper(store, GROUP, lambda: host.jobs).keep(wishes, [made], host)
    assert not volume_plan.is_made(made, store.get(keys.volume_state(GROUP, "data-mirror"), VolumeState))
    keeper._make(nothing, nothing, plain)
    assert quotas == [0, 0, GIB]


def test_the_trouble_of_one_keeps_no_other_waiting(store: Store, source: VolumeSpecification, host: Host) -> None:
    other = volumes.create(store, GROUP, "other", GIB)
    first, second = mirrors.create(store, GROUP, "data", FAR), mirrors.create(store, GROUP, "other", FAR)
    for error in (ProgramFailed("mds.x does not end the sessions"), TimedOut("no answer"), Refused("no")):
        host.stuck = {f"client.copy.{one.id}": error for one in (first, second)}
        for _ in range(3):
            assert not host.look()
        assert [one.problem for one in mirrors.list_all(store, GROUP)] == [error.message] * 2
    host.stuck = {f"client.copy.{first.id}": Unavailable("no quorum")}
    with pytest.raises(Unavailable):
        host.look()
    host.stuck = {}
    host.settle()
    assert [one.problem for one in mirrors.list_all(store, GROUP)] == ["", ""]

    for volume in (source, other):
        copies.clone(store, GROUP, volume.name, f"{volume.name}-copy")
    host.look()
    wishes = records.copies(store, GROUP)
    ready = [item.value for item in records.volumes(store, GROUP).values() if item.value.id in wishes]
    host.stuck = {f"client.copy.{one.id}": ProgramFailed("it does not end") for one in ready}
    keeper = CopyKeeper(store, GROUP, lambda: host.jobs)
    for _ in range(2):
        assert not keeper.keep(records.copies(store, GROUP), ready, host)
    assert [wish.value.problem for wish in records.copies(store, GROUP).values()] == ["it does not end"] * 2
    host.stuck = {}
    keeper.keep(records.copies(store, GROUP), ready, host)
    assert records.copies(store, GROUP) == {}


def test_a_source_that_is_gone_is_told_of_and_needs_no_force(
    store: Store, source: VolumeSpecification, host: Host
) -> None:
    sharing.keep_for(store, GROUP, "data", [Share(host="aws-1")])
    made = mirrors.create(store, GROUP, "data", FAR)
    sharing.keep_for(store, GROUP, "data-mirror", [Share(host="aws-1"), Share(host="gcp-1")])
    host.settle()
    volumes.delete(store, GROUP, "data")
    host.discard("data")
    mirrors.now(store, GROUP, "data-mirror")
    assert host.look()
    view = mirrors.find(store, GROUP, "data-mirror")
    assert (view.status, view.source, "its source is deleted" in view.problem) == ("late", "", True)
    trash.undelete(store, GROUP, "data", name="renamed")
    host.settle()
    assert mirrors.find(store, GROUP, "data-mirror").source == "renamed"
    volumes.delete(store, GROUP, "renamed", keep_s=0)
    host.discard("renamed")
    host.destroy("renamed")
    assert [one.host for one in sharing.shares(store, GROUP, "data-mirror") or ()] == ["aws-1"]
    mirrors.promote(store, GROUP, "data-mirror")
    assert [one.host for one in sharing.shares(store, GROUP, "data-mirror") or ()] == ["aws-1"]
    assert made.id in records.copies(store, GROUP)


def test_stopped_it_stays_and_goes_on_when_asked_again(store: Store, source: VolumeSpecification, host: Host) -> None:
    made = mirrors.create(store, GROUP, "data", FAR)
    host.settle()
    whole = mirrors.find(store, GROUP, "data-mirror").complete
    host.jobs.far = CopyReport(files=0, bytes=1)
    mirrors.now(store, GROUP, "data-mirror")
    for _ in range(3):
        host.look()
    assert host.jobs.running
    mirrors.stop(store, GROUP, "data-mirror")
    host.settle()
    host.look()
    assert not host.jobs.running
    assert names(store, source.id) == [], "a stopped one keeps nothing at its source"
    view = mirrors.find(store, GROUP, "data-mirror")
    assert (view.status, view.complete, view.copying) == ("stopped", whole, None)
    with pytest.raises(Conflict, match="follows no longer"):
        mirrors.now(store, GROUP, "data-mirror")
    host.jobs.far = CopyReport(files=1, bytes=7, done=True)
    mirrors.create(store, GROUP, "data", FAR, every_s=60, keep=1)
    age(store, made.id, timedelta(seconds=61))
    host.settle()
    assert (host.jobs.orders[-1].before, host.jobs.orders[-1].trust_times) == ("", False), "nothing is taken on trust"
    again = mirrors.find(store, GROUP, "data-mirror")
    assert again.every_s == 60
    assert names(store, made.id) == [again.complete]


def test_how_far_it_was_may_be_lost(store: Store, source: VolumeSpecification, host: Host) -> None:
    made = mirrors.create(store, GROUP, "data", FAR)
    host.settle()
    whole = mirrors.find(store, GROUP, "data-mirror").complete
    store.put(keys.mirror_state(GROUP, made.id), "nonsense")
    host.look()
    found = mirror_records.mirror_states_of(store, GROUP)[made.id].value
    assert (found.complete, found.mixed) == (whole, True)
    store.put(keys.mirror_state(GROUP, "99998888"), MirrorState(volume_id="99998888"))
    host.settle()
    assert list(store.revisions(keys.mirror_states_of(GROUP))) == [keys.mirror_state(GROUP, made.id)]


def test_a_mirror_in_the_trash_waits_and_is_destroyed_whole(
    store: Store, source: VolumeSpecification, host: Host
) -> None:
    made = mirrors.create(store, GROUP, "data", FAR)
    host.settle()
    volumes.delete(store, GROUP, "data-mirror")
    host.discard("data-mirror")
    assert [view.status for view in mirrors.list_all(store, GROUP)] == ["trashed"]
    assert mirror_checks.read(store, GROUP) == ()
    age(store, made.id, timedelta(days=1))
    orders = len(host.jobs.orders)
    assert host.look()
    trash.undelete(store, GROUP, "data-mirror")
    host.settle()
    assert len(host.jobs.orders) == orders + 1, "it goes on when it is back"
    volumes.delete(store, GROUP, "data-mirror", keep_s=0)
    host.discard("data-mirror")
    host.destroy("data-mirror")
    host.settle()
    assert store.revisions(keys.mirrors_of(GROUP)) == store.revisions(keys.mirror_states_of(GROUP)) == {}
    host.look()
    assert names(store, source.id) == []


def test_by_commands(store: Store, source: VolumeSpecification, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "of_this_host", lambda: store)
    monkeypatch.setattr(Store, "close", lambda _: None)

    def run(*words: str) -> str:
        done = CliRunner().invoke(volume_command, list(words))
        return done.output + (str(done.exception) if isinstance(done.exception, LarvaError) else "")

    assert "no mirrors yet" in run("mirrors")
    assert "say where the mirror lies" in run("mirror", "data")
    assert "data-mirror follows data, every 15 min: waiting" in run("mirror", "data", "--to", "azure")
    host.settle()
    (view,) = json.loads(run("mirrors", "--json"))
    assert (view["name"], view["status"], view["every_s"]) == ("data-mirror", "in-sync", 900)
    assert f".snap/{view['complete']}" in run("mirrors")
    assert "it follows data and is only read" in run("show", "data-mirror")
    assert "data-mirror follows data" in run("mirror-now", "data-mirror")
    assert run("unmirror", "data-mirror") == ""
    assert "is no mirror" in run("unmirror", "data")
    said = run("promote", "data-mirror", "--yes")
    assert "data-mirror holds what data held at" in said
    assert "volume data-mirror: copying" in said
    assert datetime.now(UTC).strftime("%Y-") in said
