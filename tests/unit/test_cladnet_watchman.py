"""The measuring itself: its budget, interfaces that come and go, what is kept over a restart. In virtual time."""

import asyncio
import socket
import threading
from collections.abc import Callable
from ipaddress import IPv4Address
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest

from cladnet.agent import watchman as watchman_module
from cladnet.agent.cadence import GAP_S
from cladnet.agent.history_file import HistoryFile
from cladnet.agent.watchman import IDLE_S, Watched, Watchman
from cladnet.quality import AlarmKind, Figures, Window

START = 1_800_000_000.0
PEERS = {host: IPv4Address(f"10.77.0.{number}") for number, host in enumerate("bcd", start=2)}
Run = Callable[..., tuple[Any, float]]


class World:
    """Stands for the kernel, the clock and the peers."""

    def __init__(self) -> None:
        self.indexes = {"cbnet0": 7}
        self.silent: set[IPv4Address] = set()
        self.sent: list[tuple[float, IPv4Address]] = []
        self.opened = 0
        self.offset = 0.0
        self.networks = (self.network(PEERS),)
        self.alarms = 0

    @staticmethod
    def network(peers: dict[str, IPv4Address], group: str = "mesh") -> Watched:
        return Watched(group=group, interface="cbnet0", peers=peers, known=frozenset({"a", *peers}))

    def time(self) -> float:
        return START + self.offset + asyncio.get_running_loop().time()

    def if_nametoindex(self, name: str) -> int:
        if name not in self.indexes:
            raise OSError(f"no {name}")
        return self.indexes[name]

    def __call__(self, _interface: str) -> Self:
        self.opened += 1
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.opened -= 1

    async def send(self, address: IPv4Address) -> float | None:
        self.sent.append((self.offset + asyncio.get_running_loop().time(), address))
        lost = address in self.silent
        await asyncio.sleep(2.0 if lost else 0.01)
        return None if lost else 10.0

    def raised(self) -> None:
        self.alarms += 1


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    made = World()
    monkeypatch.setenv("LARVA_STATE", str(tmp_path))
    monkeypatch.setattr(watchman_module, "Echoes", made)
    monkeypatch.setattr(watchman_module, "time", made)
    monkeypatch.setattr(watchman_module, "SAVE_S", 1e9)  # no thread in virtual time; what is saved is saved at the end
    monkeypatch.setattr(watchman_module, "SAVE_ALARM_S", 1e9)
    monkeypatch.setattr(socket, "if_nametoindex", made.if_nametoindex)
    return made


def watching(world: World) -> Watchman:
    watchman = Watchman(lambda: world.networks)
    watchman._on_alarm = world.raised
    return watchman


def let_run(
    run_virtually: Run, world: World, watchman: Watchman, seconds: float, *events: tuple[float, Callable[[], Any]]
) -> None:
    """Measure for so long, and have things happen after so many seconds of it."""
    stop = threading.Event()

    async def work() -> None:
        loop = asyncio.get_running_loop()
        for after, happen in (*events, (seconds, stop.set)):
            loop.call_later(after, happen)
        await watchman._work(stop)

    _, took = run_virtually(work())
    world.offset += took


def over(watchman: Watchman, host: str, world: World, window: Window = Window.HOUR) -> Figures:
    return watchman.records()["mesh"].figures(window, START + world.offset)[host]


def test_every_peer_is_measured_and_the_budget_holds(run_virtually: Run, world: World) -> None:
    watchman = watching(world)
    let_run(run_virtually, world, watchman, 600)
    for host in PEERS:
        figures = over(watchman, host, world)
        assert figures.sent == figures.received >= 600 / 5 / 1.25
        assert figures.avg_ms == 10.0
    times = [at for at, _ in world.sent[len(PEERS) * 2 :]]
    assert all(later - earlier >= GAP_S - 1e-6 for earlier, later in pairwise(times))
    assert world.opened == 0, "what was opened is closed"
    assert world.alarms == 0


def test_a_tunnel_that_has_been_idle_is_woken_by_an_echo_that_does_not_count(run_virtually: Run, world: World) -> None:
    watchman = watching(world)
    let_run(run_virtually, world, watchman, 60)
    sent = sum(over(watchman, host, world).sent for host in PEERS)
    assert len(world.sent) == sent + len(PEERS), "one before the first to each"
    assert IDLE_S > 60


def test_where_nothing_can_be_sent_nothing_is_lost(run_virtually: Run, world: World) -> None:
    watchman = watching(world)
    let_run(
        run_virtually, world, watchman, 300,
        (100, world.indexes.clear), (200, lambda: world.indexes.update(cbnet0=9)),
    )  # fmt: skip
    for host in PEERS:
        figures = over(watchman, host, world)
        assert figures.sent == figures.received
        assert 20 < figures.sent < 55
    assert not [at for at, _ in world.sent if 101 < at < 200]
    assert world.alarms == 0


def test_a_silent_peer_alarms_and_a_restart_knows_since_when(run_virtually: Run, world: World) -> None:
    watchman = watching(world)
    lost = PEERS["c"]
    let_run(run_virtually, world, watchman, 300, (200, lambda: world.silent.add(lost)))
    (alarm,) = watchman.records()["mesh"].alarms()
    assert (alarm.kind, alarm.destination, world.alarms) == (AlarmKind.UNREACHABLE, "c", 1)
    assert 200 < alarm.since.timestamp() - START < 240
    watchman._save()
    assert HistoryFile("mesh").path.stat().st_mode & 0o777 == 0o600

    again = watching(world)
    before = over(watchman, "b", world).sent
    let_run(run_virtually, world, again, 30)
    assert again.records()["mesh"].alarms()[0].since == alarm.since
    assert over(again, "b", world).sent > before
    world.silent.clear()
    let_run(run_virtually, world, again, 60)
    assert again.records()["mesh"].alarms() == ()


def test_a_network_that_was_left_is_forgotten_on_disk_too(run_virtually: Run, world: World) -> None:
    watchman = watching(world)
    let_run(run_virtually, world, watchman, 20)
    watchman._save()
    assert HistoryFile("mesh").path.exists()
    world.networks = (World.network(PEERS, group="other"),)
    let_run(run_virtually, world, watchman, 20)
    assert watchman.records().keys() == {"other"}
    assert not HistoryFile("mesh").path.exists()


def test_a_disk_that_takes_nothing_and_a_file_that_is_none_harm_nothing(
    run_virtually: Run, world: World, tmp_path: Path
) -> None:
    (tmp_path / "probes").write_text("no directory")  # what a full or read-only disk does to root: OSError
    watchman = watching(world)
    let_run(run_virtually, world, watchman, 20)
    watchman._save()
    (tmp_path / "probes").unlink()
    (tmp_path / "probes").mkdir()
    for rubbish in (b"", b"[]", b'{"b": {"history": "AAAA", "state": {}}}', b"\xff" * 1000):
        HistoryFile("mesh").path.write_bytes(rubbish)
        let_run(run_virtually, world, watching(world), 20)
    assert watchman.records()["mesh"].size() == len(PEERS)
