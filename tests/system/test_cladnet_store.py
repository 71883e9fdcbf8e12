"""The store against real etcd that is killed, restarted, frozen, cut to a minority and compacted."""

import itertools
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from cladnet.etcd.store import Condition, Delete, Event, Put, Relist, Store, Watch
from larva.errors import Conflict, InvalidInput, LarvaError, NotFound, Unavailable

PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Thing:
    """A value."""

    number: int
    name: str = ""


@contextmanager
def following(watch: Watch) -> Iterator["queue.Queue[Event | Relist]"]:
    """What the watch gives, collected by a thread of its own that has to end with it."""
    items: queue.Queue[Event | Relist] = queue.Queue()

    def collect() -> None:
        for item in watch:
            items.put(item)

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        yield items
    finally:
        watch.close()
        thread.join(timeout=PATIENCE_S)
        assert not thread.is_alive()


def eventually_put(store: Store, key: str, value: object) -> int:
    """Write, however long etcd needs to come back."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return store.put(key, value)
        except Unavailable:
            assert time.monotonic() < deadline


def test_values_come_back_typed_and_writes_are_guarded(etcd) -> None:
    with etcd.store() as store:
        first = store.create("a/1", Thing(1, "one"))
        with pytest.raises(Conflict):
            store.create("a/1", Thing(2))
        found = store.get("a/1", Thing)
        assert found is not None
        assert (found.value, found.revision) == (Thing(1, "one"), first)
        second = store.replace(found, Thing(3))
        assert second > first
        with pytest.raises(Conflict):
            store.replace(found, Thing(4))
        assert store.get("a/none", Thing) is None
        store.put("a/2", Thing(2))
        store.put("ab", Thing(9))
        snapshot = store.list("a/", Thing)
        assert [(item.key, item.value.number) for item in snapshot.items] == [("a/1", 3), ("a/2", 2)]
        assert snapshot.revision >= second
        with pytest.raises(Conflict):
            store.delete("a/1", revision=first)
        assert store.delete("a/1", revision=second)
        assert not store.delete("a/1", revision=second)
        assert not store.delete("a/1")
        assert store.delete_prefix("a/") == 1
        assert store.get("ab", Thing) is not None


def test_a_malformed_value_is_left_out_of_a_list(etcd) -> None:
    with etcd.store() as store:
        store.put("t/good", Thing(1))
        store.put("t/bad", "no thing")
        assert [item.key for item in store.list("t/", Thing).items] == ["t/good"]


def test_a_transaction_is_done_whole_or_not_at_all(etcd) -> None:
    with etcd.store() as store:
        revision = store.put("x", Thing(1))
        wrong = [Condition("x", revision), Condition("y", revision)]
        assert not store.transact(wrong, [Put("x", Thing(2)), Put("y", Thing(2))])
        assert store.get("y", Thing) is None
        assert store.transact([Condition("x", revision), Condition("y", 0)], [Delete("x"), Put("y", Thing(2))])
        assert store.get("x", Thing) is None


def test_of_many_writers_at_once_each_increment_counts(etcd) -> None:
    with etcd.store() as store:
        store.create("counter", 0)

        def increment() -> None:
            done = 0
            while done < 20:
                current = store.get("counter", int)
                assert current is not None
                try:
                    store.replace(current, current.value + 1)
                    done += 1
                except Conflict:
                    pass

        threads = [threading.Thread(target=increment) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=PATIENCE_S)
        found = store.get("counter", int)
        assert found is not None
        assert found.value == 80


def test_a_key_on_a_lease_vanishes_with_it(etcd) -> None:
    with etcd.store() as store:
        lease = store.lease(60)
        store.create("presence", "me", lease=lease)
        assert lease.refresh()
        lease.revoke()
        assert store.get("presence", str) is None
        assert not lease.refresh()
        lease.revoke()
        with pytest.raises(NotFound):
            store.put("presence", "me", lease=lease)


def test_calls_to_a_dead_etcd_end_within_their_bound(etcd) -> None:
    with etcd.store() as patient, etcd.store(timeout=1.0) as store:
        patient.put("x", 1)
        etcd.kill()
        for call in (lambda: store.get("x", int), lambda: store.put("x", 2), lambda: store.lease(5)):
            with pytest.raises(Unavailable) as error:
                call()
            assert error.value.hint
        etcd.start()
        found = patient.get("x", int)
        assert found is not None
        assert found.value == 1


def test_calls_to_a_frozen_etcd_end_within_their_bound(etcd) -> None:
    with etcd.store() as patient, etcd.store(timeout=1.0) as store:
        patient.put("x", 1)
        etcd.freeze(0)
        try:
            with pytest.raises(Unavailable):
                store.get("x", int)
        finally:
            etcd.thaw(0)


def test_a_watch_resumes_after_etcd_was_killed(etcd) -> None:
    with etcd.store() as store, following(store.watch(["w/"])) as items:
        assert isinstance(items.get(timeout=PATIENCE_S), Relist)
        for round_number in range(3):
            store.put("w/before", round_number)
            etcd.kill()
            etcd.start()
            eventually_put(store, "w/after", round_number)
        seen = [items.get(timeout=PATIENCE_S) for _ in range(6)]
        assert [item.key for item in seen if isinstance(item, Event)] == ["w/before", "w/after"] * 3
        revisions = [item.revision for item in seen]
        assert revisions == sorted(set(revisions))


def test_a_watch_starts_at_the_snapshot_it_is_given(etcd) -> None:
    with etcd.store() as store:
        store.put("w/1", 1)
        snapshot = store.list("w/", int)
        store.put("w/2", 2)
        store.delete("w/1")
        with following(store.watch(["w/"], start_revision=snapshot.revision + 1)) as items:
            first, second = items.get(timeout=PATIENCE_S), items.get(timeout=PATIENCE_S)
        assert first == Event("w/2", b"2", snapshot.revision + 1)
        assert second == Event("w/1", None, snapshot.revision + 2)


def test_a_watch_whose_history_was_compacted_says_so_and_goes_on(etcd) -> None:
    with etcd.store() as store:
        start = store.put("w/1", 1)
        for number in range(5):
            latest = store.put("w/1", number)
        store.compact(latest)
        with following(store.watch(["w/"], start_revision=start)) as items:
            assert isinstance(items.get(timeout=PATIENCE_S), Relist)
            assert store.list("w/", int).items[0].value == 4
            revision = store.put("w/1", 99)
            assert items.get(timeout=PATIENCE_S) == Event("w/1", b"99", revision)


def test_several_prefixes_are_watched_at_once_and_nothing_else(etcd) -> None:
    with etcd.store() as store, following(store.watch(["a/", "b/", "d"])) as items:
        assert isinstance(items.get(timeout=PATIENCE_S), Relist)
        assert isinstance(items.get(timeout=PATIENCE_S), Relist)
        assert isinstance(items.get(timeout=PATIENCE_S), Relist)
        for key in ("a/1", "c/1", "b/1", "a", "d/1", "d", "dd"):
            store.put(key, 0)
        last = store.put("a/2", 0)
        seen = {items.get(timeout=PATIENCE_S) for _ in range(4)}
        assert {item.key for item in seen if isinstance(item, Event)} == {"a/1", "b/1", "d", "a/2"}
        assert max(item.revision for item in seen) == last


def test_calls_and_watches_go_on_while_any_two_of_three_nodes_live(etcd_factory) -> None:
    cluster = etcd_factory(size=3)
    with cluster.store(timeout=10) as store, following(store.watch(["w/"])) as items:
        assert isinstance(items.get(timeout=PATIENCE_S), Relist)
        written = []
        for number in range(3):
            cluster.kill(number)
            written.append(eventually_put(store, f"w/{number}", number))
            cluster.start(number)
        seen = [items.get(timeout=PATIENCE_S) for _ in range(3)]
        assert [item.revision for item in seen] == written


def test_a_watch_leaves_a_frozen_node(etcd_factory) -> None:
    cluster = etcd_factory(size=3)
    with (
        cluster.store(timeout=10) as store,
        cluster.store(timeout=10) as other,
        following(store.watch(["w/"])) as items,
    ):
        assert isinstance(items.get(timeout=PATIENCE_S), Relist)
        frozen = cluster.endpoints.index(store._cluster.preferred().url)  # whom the watch is with
        cluster.freeze(frozen)
        try:
            revision = eventually_put(other, "w/1", 1)
            assert items.get(timeout=PATIENCE_S).revision == revision
        finally:
            cluster.thaw(frozen)


def test_endpoints_are_replaced_while_calls_and_watches_run(etcd_factory) -> None:
    """From one node to the others and on: nothing that runs fails, no event is missed, the last one left is closed."""
    cluster = etcd_factory(size=3)
    written: list[int] = []
    stop, failures = threading.Event(), []

    def write(store: Store) -> None:
        while not stop.is_set():
            try:
                written.append(store.put("w/x", len(written)))
            except (LarvaError, ValueError) as error:
                failures.append(error)
                return

    with Store(cluster.endpoints[:1], timeout=10) as store, following(store.watch(["w/"])) as items:
        assert isinstance(items.get(timeout=PATIENCE_S), Relist)
        writer = threading.Thread(target=write, args=(store,))
        writer.start()
        for round_ in range(40):
            kept = cluster.endpoints[round_ % 3]
            assert store.cluster.replace([kept, cluster.endpoints[(round_ + 1) % 3]])
            assert not store.cluster.replace([kept, cluster.endpoints[(round_ + 1) % 3]])
            seen = len(written)
            until_more = time.monotonic() + PATIENCE_S
            while len(written) < seen + 3 and not failures:
                assert time.monotonic() < until_more
        left = store.cluster.endpoints
        store.cluster.replace([cluster.endpoints[1]])
        stop.set()
        writer.join(timeout=PATIENCE_S)
        assert not failures
        assert store.cluster.preferred().url == cluster.endpoints[1]
        for endpoint in left:
            with endpoint.call() as begun:
                assert begun == (endpoint.url == cluster.endpoints[1])
        for revision in written:
            assert items.get(timeout=PATIENCE_S).revision == revision
        with pytest.raises(InvalidInput):
            store.cluster.replace(["ftp://nonsense"])
        with pytest.raises(InvalidInput):
            store.cluster.replace([])
        assert store.cluster.preferred().url == cluster.endpoints[1]


def test_clients_spread_over_the_endpoints_unless_one_is_their_own() -> None:
    urls = [f"http://127.0.0.{number}:1" for number in range(1, 4)]
    drawn = set()
    for _ in range(200):
        with Store(urls) as store:
            drawn.add(store.cluster.preferred().url)
        with Store(urls, first=True) as own:
            assert own.cluster.preferred().url == urls[0]
    assert drawn == set(urls)


def test_some_clients_move_to_an_endpoint_that_is_new() -> None:
    old, new = "http://127.0.0.1:1", "http://127.0.0.2:1"
    drawn = set()
    for _ in range(200):
        with Store([old]) as store:
            store.cluster.replace([old, new])
            drawn.add(store.cluster.preferred().url)
    assert drawn == {old, new}


def test_a_minority_refuses_and_a_watch_there_does_not_stay_silent(etcd_factory) -> None:
    cluster = etcd_factory(size=3)
    with cluster.store(timeout=3) as store, following(store.watch(["w/"])) as items:
        assert isinstance(items.get(timeout=PATIENCE_S), Relist)
        cluster.kill(0, 1)
        with pytest.raises(Unavailable):
            store.put("w/1", 1)
        cluster.start(0)
        revision = eventually_put(store, "w/2", 2)
        for item in iter(lambda: items.get(timeout=PATIENCE_S), None):
            if item.revision == revision:
                break


def test_tls_wants_a_certificate_of_the_authority(etcd_factory, tmp_path) -> None:
    ours, foreign = etcd_factory(tls=True), etcd_factory(tls=True)
    with ours.store() as store:
        store.put("x", 1)
    with Store(ours.endpoints, tls=foreign.tls, timeout=1) as stranger, pytest.raises(Unavailable):
        stranger.get("x", int)


@pytest.mark.parametrize("url", ["127.0.0.1:2379", "https://127.0.0.1:2379", "http://"])
def test_an_endpoint_that_cannot_be_meant_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as error:
        Store([url])
    assert "http://ADDRESS:PORT" in error.value.hint


def test_closing_ends_watches_and_calls(etcd) -> None:
    store = etcd.store()
    with following(store.watch(["w/"])) as items:
        assert isinstance(items.get(timeout=PATIENCE_S), Relist)
        store.close()
        with pytest.raises(Unavailable):
            store.get("x", int)


def test_threads_do_not_pile_up_over_many_breaks(etcd) -> None:
    with etcd.store() as store, following(store.watch(["w/"])) as items:
        assert isinstance(items.get(timeout=PATIENCE_S), Relist)
        counts = []
        for number in range(4):
            etcd.kill()
            etcd.start()
            revision = eventually_put(store, "w/x", number)
            assert items.get(timeout=PATIENCE_S).revision == revision
            counts.append(threading.active_count())
        assert all(later <= counts[0] + 1 for later in itertools.islice(counts, 1, None))
