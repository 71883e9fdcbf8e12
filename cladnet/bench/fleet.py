"""Many agents in one process: the agent's own network logic, each with a watch of its own, over a data path of memory.

What they do is `agent.publisher.publish` and `agent.network.Network`, woken by `etcd.watch.Dialogue`. What differs from
as many hosts: one thread serves them all, over a few connections with the control node's certificate, and a value is
decoded and its signature checked once for all of them, as their own processors would do side by side. Their looks at
the whole data path twice a minute are left out; `lone_agent` measures what they cost.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from typing import Any, TypeVar

import grpc.aio
from etcd3 import etcdrpc

from cladnet import seal
from cladnet.agent.network import Network
from cladnet.agent.publisher import publish
from cladnet.agent.rule_cache import NetworkView, RuleCache
from cladnet.bench.site import Site
from cladnet.datapath.protocol import Peer, PeerStatus, Tunnel
from cladnet.etcd.cluster import TlsFiles
from cladnet.etcd.reconciler import SETTLE_S
from cladnet.etcd.store import Store
from cladnet.etcd.watch import REQUIRE_LEADER, Dialogue
from cladnet.member import Identity, Member
from cladnet.model import CloudFacts, DatapathKind, HostNetworkInformation, Role
from cladnet.trust.trust import Trust, own_certificate

T = TypeVar("T")

PORT = 51820
CHANNELS = 4


@dataclass
class Board:
    """Who has which peer at which endpoint, and since when."""

    wanted: tuple[str, Any] | None = None
    reached: dict[str, float] = field(default_factory=dict)
    """Host → when it had what is wanted, in monotonic seconds."""

    def saw(self, host: str, peer: Peer) -> None:
        """A host's data path was told of a peer."""
        if self.wanted == (peer.public_key, peer.endpoint):
            self.reached.setdefault(host, time.monotonic())


class Driver:
    """A data path that carries nothing."""

    kind = DatapathKind.WIREGUARD

    def __init__(self, host: str, board: Board) -> None:
        self.interface = "bench"
        self._host, self._board = host, board
        self.peers: dict[str, Peer] = {}

    def up(self, tunnel: Tunnel) -> None:
        """Nothing is there to be configured."""

    def sync(self, peers: Sequence[Peer]) -> None:
        """Have exactly these."""
        self.peers = {peer.public_key: peer for peer in peers}
        for peer in peers:
            self._board.saw(self._host, peer)

    def change(self, changed: Sequence[Peer], removed: Sequence[str]) -> None:
        """Have these, and those no more."""
        for key in removed:
            self.peers.pop(key, None)
        for peer in changed:
            self.peers[peer.public_key] = peer
            self._board.saw(self._host, peer)

    def stats(self) -> tuple[PeerStatus, ...]:
        """Nobody is ever heard."""
        return ()

    def down(self) -> None:
        """Have none."""
        self.peers = {}


class NoCache(RuleCache):
    """A thousand caches on one disk would measure the disk."""

    def load(self) -> NetworkView | None:
        """There is none."""
        return None

    def save(self, view: NetworkView) -> None:
        """Kept nowhere."""

    def forget(self) -> None:
        """There was none."""


class SharedStore(Store):
    """One host's store over a connection that others use too, with its own key for what it signs."""

    def __init__(self, shared: Store, tls: TlsFiles, decoded: dict[tuple[str, bytes], Any]) -> None:
        self._shared = shared
        self._cluster = shared.cluster
        self._trust = Trust(tls)
        self._decoded = decoded

    def decode(self, key: str, raw: bytes, kind: type[T]) -> T:
        """As the other hosts of this process found it."""
        place = (key, bytes(raw))
        if place not in self._decoded:
            self._decoded[place] = self._shared.decode(key, raw, kind)
        value: T = self._decoded[place]
        return value


class Facts:
    """What a simulated host knows of itself: its public address is what changes."""

    def __init__(self, host: str, number: int, tls: TlsFiles) -> None:
        private, public = seal.new_pair()
        self.member = Member(host=host, groups=(), roles=(Role.MEMBER,), server="", etcd_endpoints=())
        self.identity = Identity(wireguard_private=private, wireguard_public=public, seal_private="", seal_public="")
        self.information = HostNetworkInformation(
            host=host, public_address=IPv4Address("198.18.0.0") + number, interfaces=(), listen_port=PORT,
            public_key=public, seal_key=public, certificate=own_certificate(tls),
            cloud=CloudFacts(provider="aws", region=f"region-{number % 9}", zone="a", network_id=f"vpc-{number % 30}"),
        )  # fmt: skip

    def look(self, **_: object) -> HostNetworkInformation:
        """As discovery would tell."""
        return self.information

    def move(self) -> None:
        """Have another public address."""
        address = self.information.public_address
        if address is None:
            raise AssertionError("a simulated host has a public address")
        self.information = replace(self.information, public_address=address + (1 << 12))


class Agent:
    """One simulated host."""

    def __init__(
        self, site: Site, shared: Store, name: str, number: int, decoded: dict[tuple[str, bytes], Any]
    ) -> None:
        self.name = name
        tls = site.enrol(shared, name)
        self.facts = Facts(name, number, tls)
        self.store = SharedStore(shared, tls, decoded)
        self._site = site
        self._looking: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.stands = asyncio.Event()

    def publish(self) -> None:
        """Say what changed."""
        publish(self.store, self.facts, self._site.group, listen_port=PORT)  # type: ignore[arg-type]

    def follow(self, channel: grpc.aio.Channel, board: Board) -> None:
        """Begin to follow the CLADNet, with nothing known."""
        self.driver = Driver(self.name, board)
        self.network = Network(
            self.store, self._site.group, self.name, interface="larva-bench",
            private_key=self.facts.identity.wireguard_private, listen_port=PORT, cache=NoCache(self._site.group),
            choose_datapath=lambda *_: self.driver, clock=lambda: 0.0,
        )  # fmt: skip
        self.stands.clear()
        self._task = asyncio.get_running_loop().create_task(self._watch(channel))

    async def _watch(self, channel: grpc.aio.Channel) -> None:
        watch = self.store.watch(self.network.prefixes)
        dialogue, standing = Dialogue(watch), 0
        call = etcdrpc.WatchStub(channel).Watch(metadata=REQUIRE_LEADER)
        for request in watch.requests():
            await call.write(request)
        async for response in call:
            for item in dialogue.take(response):
                if item is not None:
                    self.network.note(item)
            standing += response.created
            if self._looking is None and standing >= len(self.network.prefixes):
                self._looking = asyncio.get_running_loop().call_later(SETTLE_S, self._look)

    def _look(self) -> None:
        self._looking = None
        self.network.look()
        self.stands.set()

    async def end(self) -> None:
        """Follow no more."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None


def channels(tls: TlsFiles, endpoint: str) -> list[grpc.aio.Channel]:
    """A few connections for many watches."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=tls.ca.read_bytes(), private_key=tls.key.read_bytes(),
        certificate_chain=tls.certificate.read_bytes(),
    )  # fmt: skip
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
    target = endpoint.removeprefix("https://")
    return [grpc.aio.secure_channel(target, credentials, options=options) for _ in range(CHANNELS)]
