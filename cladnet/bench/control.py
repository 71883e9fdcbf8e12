"""`larva bench control`: joins and changes at a growing number of hosts, and the original's algorithm beside them."""

import asyncio
import gc
import resource
import time
from collections.abc import Callable, Sequence
from typing import Any
from unittest import mock

from cladnet import keys
from cladnet.agent import datapath_keeper
from cladnet.bench import cost, original, site
from cladnet.bench.figures import Measured, Original, results
from cladnet.bench.fleet import Agent, Board, channels
from cladnet.bench.site import Site, wait_until
from cladnet.etcd.store import Event, Lease, Store
from larva.bench import Result
from larva.errors import TimedOut

SIZES = (10, 100, 300, 1000)
QUICK = (10, 40)
ORIGINAL = (10, 30, 100, 200)
ORIGINAL_AT_MOST_S = 20.0
"""Slower than this, and the original is not asked for more hosts."""
PATIENCE_S = 60.0


def control(*, quick: bool) -> list[Result]:
    """Measure the control plane.

    Args:
        quick: few hosts, few rounds.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))
    # No interface of this machine is a simulated host's: none is deleted.
    with mock.patch.object(datapath_keeper, "clear"), site.running() as place:
        return asyncio.run(_measure(place, QUICK if quick else SIZES, quick=quick))


async def _measure(place: Site, sizes: Sequence[int], *, quick: bool) -> list[Result]:
    measured = []
    with place.store() as shared:
        fleet = Fleet(place, shared)
        for size in sizes:
            await fleet.grow(size)
            await fleet.follow()
            measured.append(await fleet.measure(joins=3 if quick else 10, changes=5 if quick else 20))
            await fleet.rest()
        hosts = [agent.name for agent in fleet.agents]
        alone = await asyncio.to_thread(cost.measure, place, shared, hosts, idle_s=5.0 if quick else 30.0)
        theirs = await _originals(fleet, [size for size in ORIGINAL if size <= sizes[-1]])
        await fleet.close()
    return results(measured, theirs, alone)


class Fleet:
    """The simulated hosts."""

    def __init__(self, place: Site, shared: Store) -> None:
        self.agents: list[Agent] = []
        self.channels = channels(place.tls, place.endpoint)
        self.shared = shared
        self._place = place
        self._board = Board()
        self._decoded: dict[tuple[str, bytes], Any] = {}
        self._lease: Lease = shared.lease(3600)

    async def grow(self, size: int) -> None:
        """Have this many hosts in the CLADNet, with rules."""
        while len(self.agents) < size:
            agent = self._enrol()
            await asyncio.to_thread(agent.publish)
            self.agents.append(agent)
        rules = keys.rules_of(self._place.group)
        await asyncio.to_thread(wait_until, "every host has a rule", lambda: len(self.shared.revisions(rules)) >= size)

    def _enrol(self) -> Agent:
        number = len(self.agents)
        agent = Agent(self._place, self.shared, f"host-{number:04}", number, self._decoded)
        self.shared.put(keys.presence(self._place.group, agent.name), agent.name, lease=self._lease)
        return agent

    async def follow(self) -> None:
        """Let every host follow the CLADNet, with nothing known at first."""
        for agent in self.agents:
            self._follow(agent)
        for agent in self.agents:
            await asyncio.wait_for(agent.stands.wait(), PATIENCE_S * 5)
        await self._until(lambda: all(len(agent.driver.peers) == len(self.agents) - 1 for agent in self.agents))
        gc.collect()
        gc.freeze()  # a thousand copies in one process are nobody's everyday heap

    def _follow(self, agent: Agent) -> None:
        agent.follow(self.channels[int(agent.name[-1]) % len(self.channels)], self._board)

    async def rest(self) -> None:
        """Follow no more."""
        for agent in self.agents:
            await agent.end()
        gc.unfreeze()

    async def close(self) -> None:
        """Give the connections back."""
        for channel in self.channels:
            await channel.close()

    async def measure(self, *, joins: int, changes: int) -> Measured:
        """Let hosts join and change, one after the other."""
        found = Measured(len(self.agents))
        for _ in range(joins):
            await self._join(found)
        for number in range(changes):
            agent = self.agents[number * 7 % len(self.agents)]
            agent.facts.move()
            address = agent.facts.information.public_address
            found.change_s += await self._spread(agent, (address, 51820), lambda: len(self.agents) - 1)
        found.transactions /= joins
        found.stored /= joins
        found.reads /= joins
        return found

    async def _join(self, found: Measured) -> None:
        agent = self._enrol()
        self.agents.append(agent)
        self._follow(agent)
        await asyncio.wait_for(agent.stands.wait(), PATIENCE_S)
        await asyncio.sleep(0.1)
        before, revision = self._place.counters(), self.shared.raw("there-is-none").revision
        address = agent.facts.information.public_address
        started = time.monotonic()
        found.join_s += await self._spread(agent, (address, 51820), lambda: len(self.agents) - 1)
        await self._until(lambda: len(agent.driver.peers) == len(self.agents) - 1)
        found.join_s.append(time.monotonic() - started)
        after = self._place.counters()
        found.reads += after["etcd_debugging_mvcc_range_total"] - before["etcd_debugging_mvcc_range_total"]
        transactions, stored = await asyncio.to_thread(written, self.shared, f"{keys.ROOT}/", revision)
        found.transactions += transactions
        found.stored += stored

    async def _spread(self, agent: Agent, endpoint: object, hosts: Callable[[], int]) -> list[float]:
        """Let a host say where it is now; return the seconds after which each other one goes by it."""
        self._board.reached.clear()
        self._board.wanted = (agent.facts.identity.wireguard_public, endpoint)
        started = time.monotonic()
        await asyncio.to_thread(agent.publish)
        await self._until(lambda: len(self._board.reached) >= hosts())
        self._board.wanted = None
        return [moment - started for moment in self._board.reached.values()]

    async def _until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline:
                raise TimedOut("the simulated hosts did not come to the same in time")
            await asyncio.sleep(0.005)


def written(store: Store, prefix: str, since: int) -> tuple[int, int]:
    """Return how many transactions wrote under a prefix after a revision, and the bytes of keys and values."""
    end = store.put(f"{prefix}end", 0)  # of the same watch, hence told in its turn
    revisions, size = set(), 0
    with store.watch([prefix], start_revision=since + 1) as watch:
        for item in watch:
            if isinstance(item, Event) and item.revision == end:
                break
            if isinstance(item, Event):
                revisions.add(item.revision)
                size += len(item.key.encode()) + len(item.value or b"")
    return len(revisions), size


async def _originals(fleet: Fleet, sizes: Sequence[int]) -> list[Original]:
    found: list[Original] = []
    for size in sizes:
        agents = original.Agents(fleet.channels, size)
        if await agents.join() is None:  # the first one fills what every agent has written before
            break
        revision = fleet.shared.raw("there-is-none").revision
        seconds = await agents.join()
        if seconds is None:
            break
        transactions, stored = await asyncio.to_thread(written, fleet.shared, f"{original.ROOT}/", revision)
        found.append(Original(size, seconds, transactions, stored))
        if seconds > ORIGINAL_AT_MOST_S:
            break
    return found
