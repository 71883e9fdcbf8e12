"""The mirror against real etcd: killed, compacted, restored from a backup, closed for a while, filled with rubbish."""

import contextlib
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from etcd3 import etcdrpc

from cladnet.access.etcd_auth import ROOT, EtcdAuth
from cladnet.access.permissions import Access, Permission
from cladnet.etcd.mirror import LISTED, Mirror
from cladnet.etcd.store import Condition, Delete, Put, Store, Versioned
from cladnet.etcd.watch import Relist
from larva.errors import Refused, Unavailable

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Thing:
    """A value."""

    number: int
    unseen: int = field(default=0, compare=False)
    """What equality takes no notice of, as of a rule's certificate."""


KINDS = {"a/": Thing, "b/": Thing, "c": Thing}


def write_raw(store: Store, key: str, value: bytes) -> None:
    """Write what is no JSON."""
    request = etcdrpc.PutRequest(key=key.encode(errors="surrogateescape"), value=value)
    store.cluster.call("write", lambda end, seconds: end.kv.Put(request, timeout=seconds))


class Follower:
    """A mirror whose watch runs in a thread, as a reconciler's does, refused or not."""

    def __init__(self, store: Store) -> None:
        self.mirror = Mirror(store, KINDS)
        self.relists = 0
        self.refusals = 0
        self.news = threading.Event()
        self._watch = store.watch(self.mirror.prefixes)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._end.is_set():
            try:
                for item in self._watch:
                    self.mirror.note(item)
                    self.relists += isinstance(item, Relist)
                    self.news.set()
            except Refused:
                self.refusals += 1
                self._end.wait(0.05)

    @contextlib.contextmanager
    def running(self) -> Iterator["Follower"]:
        self._thread.start()
        try:
            yield self
        finally:
            self.end()

    def end(self) -> None:
        """Watch no more."""
        self._end.set()
        self._watch.close()
        self._thread.join(timeout=PATIENCE_S)
        assert not self._thread.is_alive()

    def until(self, condition: Callable[[], object]) -> None:
        """Catch up at every news until the condition holds."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            self.news.clear()
            with contextlib.suppress(Unavailable, Refused):
                self.mirror.catch_up()
            if condition():
                return
            assert time.monotonic() < deadline, contents(self.mirror)
            self.news.wait(0.1)


@contextlib.contextmanager
def following(store: Store) -> Iterator[Follower]:
    """A follower whose watch stands and which lists no more."""
    with Follower(store).running() as follower:
        follower.until(lambda: follower.relists == len(KINDS))
        follower.mirror.catch_up()
        yield follower


def contents(mirror: Mirror) -> tuple[dict[str, Versioned[Thing]], dict[str, int]]:
    """Everything that a mirror shows."""
    items = {item.key: item for prefix in ("a/", "b/") for item in mirror.list(prefix, Thing)}
    single = mirror.get("c", Thing)
    if single is not None:
        items["c"] = single
    return items, {key: revision for prefix in KINDS for key, revision in mirror.unreadable(prefix).items()}


def listed(store: Store) -> tuple[dict[str, Versioned[Thing]], dict[str, int]]:
    """The same, by a mirror that begins now."""
    fresh = Mirror(store, KINDS)
    fresh.catch_up()
    return contents(fresh)


def lists() -> float:
    """How often this process listed a prefix for a mirror."""
    return sum(value for family in LISTED.families() for _, value in family.samples)


def eventually(write: Callable[[], object]) -> None:
    """Write, however long etcd needs to come back."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            write()
        except Unavailable:
            assert time.monotonic() < deadline
        else:
            return


def test_what_changes_is_told_and_nothing_is_listed_again(etcd) -> None:
    with etcd.store() as store:
        store.put("a/old", Thing(0))
        with following(store) as follower:
            mirror, before = follower.mirror, lists()
            store.put("a/x", Thing(1))
            store.put("other", Thing(1))
            store.put("b/y", Thing(2))
            follower.until(lambda: mirror.get("b/y", Thing))
            assert mirror.catch_up() == frozenset()
            store.delete("a/old")
            store.put("c", Thing(3))
            changed: set[str] = set()
            deadline = time.monotonic() + PATIENCE_S
            while changed != {"a/old", "c"}:
                assert time.monotonic() < deadline
                follower.news.wait(0.1)
                changed |= mirror.catch_up()
            assert contents(mirror) == listed(store)
            assert set(mirror.children("a/", Thing)) == {"x"}
            assert lists() - before == len(KINDS)  # by listed() alone


def test_without_a_watch_it_is_right_all_the_same(etcd) -> None:
    with etcd.store() as store:
        mirror = Mirror(store, KINDS)
        assert mirror.catch_up() == frozenset()
        store.put("a/x", Thing(1))
        assert mirror.catch_up() == {"a/x"}
        store.delete("a/x")
        assert mirror.catch_up() == {"a/x"}
        assert contents(mirror) == ({}, {})


def test_a_value_that_is_listed_again_is_held_once_and_never_for_another(etcd) -> None:
    with etcd.store() as store:
        store.put("a/same", Thing(1))
        store.put("a/other", Thing(1))
        mirror = Mirror(store, KINDS)
        mirror.catch_up()
        same, other = mirror.get("a/same", Thing), mirror.get("a/other", Thing)
        revision = store.put("a/other", Thing(1, unseen=7))
        assert mirror.catch_up() == {"a/other"}
        assert mirror.get("a/same", Thing) is same
        found = mirror.get("a/other", Thing)
        assert (found.revision, found.value.unseen) == (revision, 7)
        assert other.value == found.value


def test_it_goes_on_after_etcd_was_killed(etcd) -> None:
    with etcd.store() as store, following(store) as follower:
        before = lists()
        for number in range(3):
            store.put("a/before", Thing(number))
            etcd.kill()
            etcd.start()
            eventually(lambda number=number: store.put("a/after", Thing(number)))
        follower.until(lambda: (found := follower.mirror.get("a/after", Thing)) and found.value.number == 2)
        assert lists() == before
        assert contents(follower.mirror) == listed(store)


def test_history_that_was_compacted_is_listed_and_compared(etcd) -> None:
    """etcd forgets, while it cannot be reached, what a key was deleted by."""
    with etcd.store() as store, etcd.store() as other, following(store) as follower:
        store.put("a/kept", Thing(1))
        store.put("a/gone", Thing(1))
        follower.until(lambda: follower.mirror.get("a/gone", Thing))
        follower.end()  # whoever watches next begins where this one ended
        next_revisions = list(follower._watch._next)
        other.delete("a/gone")
        other.put("a/new", Thing(2))
        other.compact(other.put("b/x", Thing(3)))
        again = Follower(store)
        again.mirror, again._watch._next = follower.mirror, next_revisions
        with again.running():
            again.until(lambda: again.relists and again.mirror.get("a/new", Thing))
            again.until(lambda: again.mirror.get("b/x", Thing))
            assert contents(again.mirror) == listed(store)
            assert again.mirror.get("a/gone", Thing) is None


def test_what_cannot_be_read_is_left_out_and_remembered_with_its_revision(etcd) -> None:
    with etcd.store() as store:
        write_raw(store, "a/old", b"rubbish")
        store.put("a/good", Thing(1))
        with following(store) as follower:
            mirror = follower.mirror
            assert mirror.unreadable("a/") == {"a/old": store.revisions("a/")["a/old"]}
            write_raw(store, "a/good", b'{"number":"many"}')
            write_raw(store, "a/\udcff", b"\xff")
            write_raw(store, "b/x", b"[")
            follower.until(lambda: "b/x" in mirror.unreadable("b/"))
            assert mirror.list("a/", Thing) == ()
            assert mirror.unreadable("a/") == mirror.revisions("a/") == store.revisions("a/")
            assert len(mirror.unreadable("a/")) == 3
            store.put("a/good", Thing(2))
            store.delete("a/\udcff")
            store.delete("a/old")
            follower.until(lambda: not mirror.unreadable("a/") and mirror.get("a/good", Thing))
            assert contents(mirror) == listed(store)


def test_both_halves_of_a_transaction_arrive(etcd) -> None:
    with etcd.store() as store, following(store) as follower:
        for number in range(50):
            store.transact([], [Put("a/rule", Thing(number)), Put("b/claim", Thing(number))])
        store.transact([], [Delete("a/rule"), Put("b/claim", Thing(99))])
        mirror = follower.mirror
        follower.until(lambda: (claim := mirror.get("b/claim", Thing)) and claim.value.number == 99)
        follower.until(lambda: mirror.get("a/rule", Thing) is None)
        assert contents(mirror) == listed(store)


def test_what_it_wrote_itself_is_known_at_once_and_its_echo_is_no_news(etcd) -> None:
    with etcd.store() as store, following(store) as follower:
        mirror = follower.mirror
        assert mirror.transact([Condition("a/x", 0)], [Put("a/x", Thing(1)), Put("elsewhere", Thing(1))])
        assert mirror.catch_up() == {"a/x"}
        assert mirror.get("a/x", Thing) == store.get("a/x", Thing)
        assert mirror.transact([], [Delete("a/x"), Put("b/y", Thing(2))])
        assert mirror.catch_up() == {"a/x", "b/y"}
        assert not mirror.transact([Condition("b/y", 0)], [Delete("b/y")])
        news: set[str] = set()
        store.put("c", Thing(9))
        while mirror.get("c", Thing) is None:  # all echoes came before
            follower.news.wait(0.1)
            news |= mirror.catch_up()
        assert news == {"c"}
        assert contents(mirror) == listed(store)


def snapshot(cluster, path) -> None:
    """Back etcd up."""
    argv = ["etcdctl", f"--endpoints={cluster.endpoints[0]}", "snapshot", "save", str(path)]
    subprocess.run(argv, check=True, capture_output=True, env={**os.environ, "ETCDCTL_API": "3"})


def restore(cluster, path, *options: str) -> None:
    """Give a cluster of one that is not running the data of a backup."""
    node = cluster._nodes[0]
    shutil.rmtree(node.directory)
    argv = [
        "etcdctl", "snapshot", "restore", str(path), "--data-dir", str(node.directory), "--name", node.name,
        "--initial-cluster", f"{node.name}={node.peer}", "--initial-advertise-peer-urls", node.peer, *options,
    ]  # fmt: skip
    subprocess.run(argv, check=True, capture_output=True, env={**os.environ, "ETCDCTL_API": "3"})


@pytest.mark.parametrize(
    ("options", "writes_after"),
    [((), 0), (("--initial-cluster-token", "anew"), 0), (("--initial-cluster-token", "anew"), 9)],
    ids=["the same cluster that is behind", "another cluster", "another cluster that is ahead"],
)
def test_an_etcd_restored_from_a_backup_is_listed_anew(etcd, tmp_path, options, writes_after: int) -> None:
    """Also where a key has the revision that it had, and another value."""
    with etcd.store() as store, following(store) as follower:
        mirror = follower.mirror
        store.put("a/kept", Thing(1))
        store.put("a/changed", Thing(1))
        snapshot(etcd, tmp_path / "backup")
        lost = store.put("a/changed", Thing(2))
        store.put("a/lost", Thing(3))
        follower.until(lambda: mirror.get("a/lost", Thing))
        etcd.kill()
        restore(etcd, tmp_path / "backup", *options)
        etcd.start()
        with etcd.store() as other:
            if writes_after:
                assert other.put("a/changed", Thing(7)) == lost
            for number in range(writes_after):
                other.put("b/after", Thing(number))
            follower.until(lambda: contents(mirror) == listed(other))
            assert mirror.get("a/lost", Thing) is None
            other.put("b/later", Thing(5))
            follower.until(lambda: mirror.get("b/later", Thing))
            assert contents(mirror) == listed(other)


def test_a_right_that_comes_late_is_waited_for(etcd_factory) -> None:
    """A host that just enrolled is refused for a moment, at one of its prefixes or at all."""
    cluster = etcd_factory(tls=True)
    with cluster.store() as first:
        auth = EtcdAuth(first.cluster)
        for user in (ROOT, "host"):
            auth.add_user(user)
        auth.add_role("host")
        auth.grant("host", Permission.on("a/", Access.READ))
        auth.give_role(ROOT, ROOT)
        auth.give_role("host", "host")
        first.put("b/x", Thing(1))
        auth.enable()
    with (
        Store(cluster.endpoints, tls=cluster.user_files(ROOT)) as root,
        Store(cluster.endpoints, tls=cluster.user_files("host")) as store,
        Follower(store).running() as follower,
    ):
        with pytest.raises(Refused):
            follower.mirror.catch_up()
        follower.until(lambda: follower.refusals)
        auth = EtcdAuth(root.cluster)
        auth.grant("host", Permission.on("b/", Access.READ))
        auth.grant("host", Permission.on("c", Access.READ))
        follower.until(lambda: follower.mirror.get("b/x", Thing))
        follower.until(lambda: follower.relists >= len(KINDS))
        root.put("c", Thing(2))
        follower.until(lambda: follower.mirror.get("c", Thing))


def test_a_listing_that_fails_is_made_up_for(etcd) -> None:
    with etcd.store(timeout=1) as store:
        mirror = Mirror(store, KINDS)
        store.put("a/x", Thing(1))
        etcd.kill()
        with pytest.raises(Unavailable):
            mirror.catch_up()
        etcd.start()
        assert mirror.catch_up() == {"a/x"}


def test_now_and_then_everything_is_listed_again(etcd) -> None:
    now = [0.0]
    with etcd.store() as store:
        mirror = Mirror(store, KINDS, relist_s=100, clock=lambda: now[0])
        mirror.note(Relist(1))
        mirror.catch_up()
        store.put("a/x", Thing(1))  # an event that gets lost
        assert mirror.catch_up() == frozenset()
        now[0] += 126
        assert mirror.catch_up() == {"a/x"}
        store.delete("a/x")
        now[0] += 74
        assert mirror.catch_up() == frozenset()
        now[0] += 52
        assert mirror.catch_up() == {"a/x"}


@pytest.mark.parametrize("seed", range(3))
def test_after_any_writes_and_breaks_it_is_what_a_fresh_listing_is(etcd, seed: int) -> None:
    chance = random.Random(seed)
    names = ["a/1", "a/2", "a/3", "b/1", "b/2", "c", "d"]
    with etcd.store(timeout=2) as store, following(store) as follower:
        mirror = follower.mirror

        def write() -> None:
            key = chance.choice(names)
            deed = chance.randrange(6)
            if deed == 0:
                write_raw(store, key, b"rubbish")
            elif deed == 1:
                store.delete(key)
            elif deed == 2:
                store.transact([], [Put(key, Thing(chance.randrange(99))), Delete(chance.choice(["a/9", "b/9"]))])
            elif deed == 3 and key in KINDS:
                mirror.transact([], [Put(key, Thing(chance.randrange(99)))])
            else:
                store.put(key, Thing(chance.randrange(99)))

        for _ in range(4):
            for _ in range(chance.randrange(40)):
                eventually(write)
                if chance.random() < 0.2:
                    mirror.catch_up()
            if chance.random() < 0.7:
                etcd.kill()
                etcd.start()
            if chance.random() < 0.7:
                eventually(lambda: store.compact(store.raw("a/").revision))
        eventually(lambda: store.put("a/end", Thing(seed)))
        eventually(lambda: store.put("b/end", Thing(seed)))
        eventually(lambda: store.put("c", Thing(1000)))
        follower.until(lambda: mirror.get("a/end", Thing))
        follower.until(lambda: mirror.get("b/end", Thing))
        follower.until(lambda: (found := mirror.get("c", Thing)) and found.value.number == 1000)
        assert contents(mirror) == listed(store)
