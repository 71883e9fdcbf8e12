"""Updates of several hosts on a real etcd: one at a time, whoever is killed or frozen, and everybody gets there.

`LARVA_SEED=7 .venv/bin/pytest tests/system/test_update_turns.py` plays another history.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import updater

from cbstorage.updating import order, update
from cbstorage.updating.update import Due, Guard, Pace
from cladnet.etcd.store import Store
from cladnet.etcd.turn import Turn
from cladnet.keys import UPDATE_TURN
from larva.errors import Conflict, TimedOut, Unavailable
from larva.packages import Upgrade

SEED = int(os.environ.get("LARVA_SEED", "1"))
HOSTS = ("aws-1", "azure-1", "gcp-1")
TTL_S = 2
PATIENCE_S = 90.0
KILLS = 4


class Updaters:
    """Processes that update hosts, and the directory that is their cluster."""

    def __init__(self, etcd: Any, place: Path) -> None:
        self._endpoint = etcd.endpoints[0]
        self.place = place
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, host: str, *, busy_s: float = 0.3, sees: str = "all") -> subprocess.Popen[bytes]:
        argv = [sys.executable, updater.__file__, self._endpoint, str(self.place), host, str(busy_s), str(TTL_S), sees]
        with (self.place / f"{host}.log").open("ab") as log:
            self.running[host] = subprocess.Popen(argv, stdout=log, stderr=log)
        return self.running[host]

    def stop(self) -> None:
        for process in self.running.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(timeout=20)

    def log(self, host: str) -> str:
        return (self.place / f"{host}.log").read_text()

    def is_done(self, host: str) -> bool:
        return (self.place / f"fresh-{host}").exists()

    def restarts(self) -> list[list[str]]:
        """Each restart: the host, and whoever else was down then."""
        told = self.place / "restarts"
        return [line.split(" ") for line in told.read_text().splitlines()] if told.exists() else []


def wait_for(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture
def updaters(etcd: Any, tmp_path: Path) -> Iterator[Updaters]:
    place = tmp_path / "cluster"
    place.mkdir()
    made = Updaters(etcd, place)
    with contextlib.closing(contextlib.ExitStack()) as stack:
        stack.callback(made.stop)
        yield made


def test_hosts_that_start_together_go_one_after_the_other(updaters: Updaters) -> None:
    """Also when none of them sees what is down: the turn alone keeps them apart."""
    for host in HOSTS:
        updaters.start(host, busy_s=1.0, sees="nothing")
    for host in HOSTS:
        assert updaters.running[host].wait(PATIENCE_S) == 0, updaters.log(host)
    assert sorted(updaters.restarts()) == [[host, ""] for host in HOSTS]


def test_whoever_is_killed_comes_again_and_two_are_never_down(updaters: Updaters) -> None:
    """Each is killed amid packages and amid a restart, some at any moment; what was being restarted stays down for
    longer than the lease of whoever was at it."""
    chance = random.Random(SEED)
    to_kill = {(host, moment) for host in HOSTS for moment in ("upgrading", "down")}
    at_any_moment = KILLS
    down_since: dict[str, float] = {}
    deadline = time.monotonic() + PATIENCE_S
    while not all(map(updaters.is_done, HOSTS)) or updaters.running:
        assert time.monotonic() < deadline, [updaters.log(host)[-500:] for host in HOSTS]
        for host in HOSTS:
            process = updaters.running.get(host)
            if process is None:
                if not updaters.is_done(host) and host not in down_since:
                    updaters.start(host)
                continue
            if (code := process.poll()) is not None:
                assert code in (0, -signal.SIGKILL), updaters.log(host)
                del updaters.running[host]
                (updaters.place / f"upgrading-{host}").unlink(missing_ok=True)
                if (updaters.place / f"down-{host}").exists():
                    down_since[host] = time.monotonic()
                continue
            amid = {one for one in to_kill if one[0] == host and (updaters.place / f"{one[1]}-{host}").exists()}
            if amid or (at_any_moment and chance.random() < 0.02):
                process.kill()
                to_kill -= amid
                at_any_moment -= not amid
        for host, since in list(down_since.items()):
            if time.monotonic() - since > TTL_S + 1:  # somebody has mended it
                (updaters.place / f"down-{host}").unlink()
                del down_since[host]
        time.sleep(0.02)
    assert not to_kill
    assert {host for host, _ in updaters.restarts()} == set(HOSTS)
    assert [others for _, others in updaters.restarts() if others] == []


def test_who_was_frozen_for_too_long_restarts_nothing(updaters: Updaters) -> None:
    slow, other = HOSTS[:2]
    process = updaters.start(slow, busy_s=1.0)
    wait_for("it has begun", lambda: (updaters.place / f"upgrading-{slow}").exists())
    process.send_signal(signal.SIGSTOP)
    updaters.start(other)
    assert updaters.running[other].wait(PATIENCE_S) == 0, updaters.log(other)
    process.send_signal(signal.SIGCONT)
    assert process.wait(PATIENCE_S) != 0
    assert "turn is over" in updaters.log(slow)
    assert updaters.restarts() == [[other, ""]]
    assert updaters.start(slow).wait(PATIENCE_S) == 0, updaters.log(slow)
    assert updaters.restarts() == [[other, ""], [slow, ""]]


def test_nobody_begins_while_something_is_down(updaters: Updaters) -> None:
    broken = updaters.place / "down-gcp-2"
    broken.touch()
    process = updaters.start(HOSTS[0])
    wait_for("it waits", lambda: "waiting for storage: down-gcp-2" in updaters.log(HOSTS[0]))
    assert updaters.restarts() == []
    assert not (updaters.place / f"upgraded-{HOSTS[0]}").exists()
    broken.unlink()
    assert process.wait(PATIENCE_S) == 0, updaters.log(HOSTS[0])
    assert updaters.restarts() == [[HOSTS[0], ""]]


def test_a_turn_ends_with_its_lease_and_names_who_has_it(etcd: Any) -> None:
    with etcd.store() as one, etcd.store() as other:
        mine = Turn(one, "turns/", "a", ttl_s=TTL_S)
        with mine.taken(patience_s=5, look_s=0.05):
            mine.holds()
            waiting = Turn(other, "turns/", "b", ttl_s=TTL_S)
            with pytest.raises(TimedOut, match="it was a's turn"), waiting.taken(patience_s=0.3, look_s=0.05):
                pass
            _forget(other, "turns/a")
            with pytest.raises(Conflict, match="turn is over"):
                mine.holds()
        assert one.revisions("turns/") == {}


def test_who_lost_its_place_while_it_waited_queues_up_again(etcd: Any) -> None:
    """As of a lease that ended while the host was frozen."""
    with etcd.store() as one, etcd.store() as other, contextlib.ExitStack() as ahead:
        ahead.enter_context(Turn(one, "turns/", "a", ttl_s=TTL_S).taken(patience_s=5, look_s=0.05))
        with waiting(other, "b") as (took, leave):
            wait_for("it stands in the queue", lambda: "turns/b" in one.revisions("turns/"))
            before = one.revisions("turns/")["turns/b"]
            _forget(one, "turns/b")
            wait_for("it stands there again", lambda: one.revisions("turns/").get("turns/b", before) > before)
            assert not took.is_set()
            ahead.close()
            wait_for("it has its turn", took.is_set)
            leave.set()
        assert one.revisions("turns/") == {}


def test_a_wait_outlives_an_etcd_that_is_away_for_a_while(etcd: Any) -> None:
    with etcd.store() as one, etcd.store(timeout=0.3) as other, contextlib.ExitStack() as ahead:
        ahead.enter_context(Turn(one, "turns/", "a", ttl_s=60).taken(patience_s=5, look_s=0.05))
        with waiting(other, "b") as (took, leave):
            wait_for("it stands in the queue", lambda: "turns/b" in one.revisions("turns/"))
            etcd.freeze(0)
            with pytest.raises(Unavailable), etcd.store(timeout=1.5) as third:  # longer than the wait's own calls
                third.revisions("turns/")
            etcd.thaw(0)
            etcd.wait()
            assert not took.is_set()
            ahead.close()
            wait_for("it has its turn", took.is_set)
            leave.set()


@contextlib.contextmanager
def waiting(store: Store, host: str) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Let a host wait for its turn: the first event is set when it came, the second ends it."""
    took, leave = threading.Event(), threading.Event()

    def take() -> None:
        with Turn(store, "turns/", host, ttl_s=TTL_S).taken(patience_s=PATIENCE_S, look_s=0.05):
            took.set()
            assert leave.wait(PATIENCE_S)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(take)
        try:
            yield took, leave
        finally:
            leave.set()
        running.result(PATIENCE_S)


def _forget(store: Store, key: str) -> None:
    assert store.delete(key)


@pytest.mark.parametrize("mends", [True, False])
def test_an_interrupted_update_is_finished_even_if_that_is_why_something_lacks(etcd: Any, *, mends: bool) -> None:
    """More than that only when all is whole then."""
    done: list[str] = []
    pace = Pace(patience_s=0.5, settled_s=0.1, ttl_s=TTL_S, look_s=0.05)

    def look() -> Due:
        new = (Upgrade(name="libssl", old="1", new="2"),)
        if "finish" in done:
            return Due(upgrades=new, restarts=order.restarts([]))
        return Due(upgrades=(), unfinished=("ceph-osd",), restarts=order.restarts([]))

    def lacks() -> str:
        return "" if mends and "finish" in done else "osd.0 is down"

    with etcd.store() as store, contextlib.ExitStack() as ends:
        guard = Guard(what="storage", prefix="turns/", store=store, lacks=lacks)
        if not mends:
            ends.enter_context(pytest.raises(TimedOut, match=r"osd\.0 is down"))
        update.run(
            [guard], "a", pace=pace, look=look, finish=lambda: done.append("finish"),
            upgrade=lambda: done.append("upgrade"),
        )  # fmt: skip
    assert done == (["finish", "upgrade"] if mends else ["finish"])


def test_a_control_node_restarts_its_etcd_in_its_turn_and_waits_for_it(control_node: Any, as_host: Any) -> None:
    """By the guard that this host's own roles give it, root's connection to etcd included."""
    restarted: list[str] = []
    todo = Due(upgrades=(), restarts=order.restarts(["larva-etcd.service"]))
    pace = Pace(patience_s=PATIENCE_S, settled_s=0.5, ttl_s=TTL_S * 5, look_s=0.1)

    def restart(unit: str) -> None:
        restarted.append(unit)
        control_node.etcd.kill()
        control_node.etcd.wait(timeout=20)
        control_node.start_etcd()

    with as_host(control_node.directory), update.guards_of_this_host() as guards:
        (guard,) = guards
        assert (guard.what, guard.lacks()) == ("the control plane", "")
        update.run(guards, "control-1", pace=pace, look=lambda: todo, restart=restart)
        assert restarted == ["larva-etcd.service"]
        assert guard.lacks() == ""
        assert guard.store.revisions(UPDATE_TURN) == {}
        other = Turn(guard.store, UPDATE_TURN, "control-2")
        with other.taken(patience_s=5), pytest.raises(TimedOut, match="control-2's turn"):
            update.run(guards, "control-1", pace=replace(pace, patience_s=0.5), look=lambda: todo, restart=restart)
        assert restarted == ["larva-etcd.service"]
