"""Keeps measuring the paths to this host's peers, at a low rate, and remembers what it found.

One for the host, not one for each CLADNet: the budget of echoes is the host's.
"""

import asyncio
import contextlib
import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from cladnet.agent.cadence import Cadence
from cladnet.agent.history_file import HistoryFile
from cladnet.agent.probe import Echoes
from cladnet.agent.record import Record
from larva.errors import HostUnfit

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often it looks at the rules known, and whether it should end."""
LOOK_PEER_S = 0.01
"""Added for each peer before the next look at the rules: it costs more with many, and one more is less urgent."""
IDLE_S = 100.0
"""WireGuard begins a new session when the old one is older than 120 s. The echo that waits for it measures the
handshake: after such a pause one goes before that is not counted."""
SAVE_S = 60.0
SAVE_PEER_S = 0.3
"""Added for each peer: a thousand are saved every six minutes."""
SAVE_ALARM_S = 5.0
"""After an alarm was raised or cleared."""
RETRY_S = 5.0


def save_pause_s(peers: int) -> float:
    """Return the seconds after which everything is saved again."""
    return SAVE_S + SAVE_PEER_S * peers


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """One CLADNet of this host, as far as its paths are concerned."""

    group: str
    interface: str
    peers: Mapping[str, IPv4Address]
    """Those to measure."""
    known: frozenset[str] | None
    """Every host that the rules name; None while there are no rules."""


@dataclass(frozen=True, slots=True)
class _Target:
    group: str
    interface: str
    host: str
    address: IPv4Address


class Watchman:
    """Works in run(); what it found may be read from any thread.

    Args:
        watched: the CLADNets of this host now.
    """

    def __init__(self, watched: Callable[[], tuple[Watched, ...]]) -> None:
        self._watched = watched
        self._on_alarm: Callable[[], None] = lambda: None
        self._records: dict[str, Record] = {}
        self._cadence: Cadence[_Target] = Cadence(random.uniform)
        self._asked_at: dict[_Target, float] = {}
        self._echoes: dict[str, tuple[int, Echoes]] = {}
        self._save_at = 0.0

    def records(self) -> dict[str, Record]:
        """What is known of each CLADNet's paths."""
        return dict(self._records)

    def run(self, stop: threading.Event, on_alarm: Callable[[], None]) -> None:
        """Measure until `stop` is set; what was found is then on disk.

        Args:
            on_alarm: called when an alarm was raised or cleared.
        """
        self._on_alarm = on_alarm
        while not stop.is_set():
            try:
                asyncio.run(self._work(stop))
            except Exception:  # a defect of ours must not end the measuring for good; it is logged in full
                log.exception("measuring: unexpected failure")
                stop.wait(RETRY_S)
        self._save()

    async def _work(self, stop: threading.Event) -> None:
        loop = asyncio.get_running_loop()
        self._cadence, self._asked_at = Cadence(random.uniform), {}
        self._save_at, look_at = loop.time() + SAVE_S, loop.time()
        with contextlib.ExitStack() as stack:
            stack.callback(self._close)
            async with asyncio.TaskGroup() as under_way:
                while not stop.is_set():
                    now = loop.time()
                    if now >= look_at:
                        self._follow(now)
                        look_at = now + LOOK_S + LOOK_PEER_S * len(self._asked_at)
                    if now >= self._save_at:
                        await asyncio.to_thread(self._save)
                        self._save_at = now + save_pause_s(len(self._asked_at))
                    target = self._cadence.take(now)
                    if target is not None:
                        under_way.create_task(self._ask(target))
                    following = self._cadence.next_at()
                    pause = LOOK_S if following is None else min(LOOK_S, max(0.0, following - loop.time()))
                    await asyncio.sleep(pause)

    def _follow(self, now: float) -> None:
        """Take up the CLADNets and peers there are now."""
        networks = {network.group: network for network in self._watched()}
        for group in self._records.keys() - networks.keys():
            del self._records[group]
            HistoryFile(group).forget()
        targets = []
        for group, network in networks.items():
            record = self._records.get(group)
            if record is None:
                record = self._records[group] = Record(group, HistoryFile(group).load())
            if network.known is None:
                continue
            if record.follow(network.peers.keys(), network.known):
                self._note_alarm()
            targets += [_Target(group, network.interface, *peer) for peer in network.peers.items()]
        self._cadence.follow(targets, now)
        for gone in self._asked_at.keys() - set(targets):
            del self._asked_at[gone]

    async def _ask(self, target: _Target) -> None:
        loop, soon = asyncio.get_running_loop(), False
        try:
            echoes = self._over(target.interface)
            if echoes is None:
                return  # nothing is lost where nothing can be sent
            if loop.time() - self._asked_at.get(target, -IDLE_S) >= IDLE_S:
                await echoes.send(target.address)
            self._asked_at[target] = loop.time()
            rtt_ms = await echoes.send(target.address)
            record = self._records.get(target.group)
            if record is None or self._over(target.interface) is not echoes:
                return  # it was left, or its interface is another one by now
            heard = record.heard(target.host, time.time(), rtt_ms)
            soon = heard.undecided
            if heard.alarmed:
                self._note_alarm()
        finally:
            self._cadence.done(target, loop.time(), soon=soon)

    def _note_alarm(self) -> None:
        self._save_at = min(self._save_at, asyncio.get_running_loop().time() + SAVE_ALARM_S)
        self._on_alarm()

    def _over(self, interface: str) -> Echoes | None:
        """What sends over the interface as it is now; None when it is not there."""
        try:
            index = socket.if_nametoindex(interface)
        except OSError:
            index = 0
        known = self._echoes.get(interface)
        if known is not None and known[0] != index:
            del self._echoes[interface]
            known[1].__exit__(None, None, None)
            known = None
        if known is None and index:
            try:
                known = (index, Echoes(interface).__enter__())
            except HostUnfit as error:
                log.debug("%s", error.message)
                return None
            self._echoes[interface] = known
        return known[1] if known is not None else None

    def _close(self) -> None:
        for _, echoes in self._echoes.values():
            echoes.__exit__(None, None, None)
        self._echoes.clear()

    def _save(self) -> None:
        for group, record in list(self._records.items()):
            HistoryFile(group).save(record.saved())
