"""CLADNets as a state machine on a real etcd: hosts that come, go, crash and are cut off, controllers that are killed.

The agents and controllers are the real ones; what is not is their surroundings: the data path is a table in memory, the
kernel's word about interfaces is made up, clocks are moved by hand, and the loops of an agent are run one look at a
time by the machine instead of by threads, so that what it found can be played again.

In CI the same histories are tried every time. For others, as many as wanted (hours of them):

    LARVA_EXAMPLES=2000 .venv/bin/pytest tests/system/test_cladnet_machine.py --timeout=0

A failure prints the history, and `@reproduce_failure(...)` to put above a machine's class.
"""

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from etcd3 import etcdrpc
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from cladnet import keys, network_hosts, networks, rules
from cladnet.agent import agent, attachment, datapath_keeper, network, presence, publisher
from cladnet.agent.agent import Agent
from cladnet.agent.discovery import Metadata
from cladnet.agent.peering import wanted
from cladnet.agent.presence import Presence
from cladnet.agent.rule_cache import NetworkView
from cladnet.control.controller import GRACE_S, SWEEP_S, Controller
from cladnet.datapath.protocol import Peer, Tunnel
from cladnet.enrol import enrolment, membership
from cladnet.enrol.authority import Authority, new_key, signing_request
from cladnet.etcd.store import Event, Put, Relist, Store
from cladnet.member import Identity, Member, prepare_state
from cladnet.model import (
    CladnetSpecification,
    CladnetState,
    CloudFacts,
    Command,
    ControlCommand,
    ControlPlane,
    DatapathKind,
    HostNetworkInformation,
    HostState,
    NetworkingRule,
    NetworkInterface,
    Role,
)
from larva import settings as larva_settings
from larva.errors import HostUnfit, LarvaError, NotFound, Unavailable

EXAMPLES = int(os.environ.get("LARVA_EXAMPLES", "0"))
PATIENCE_S = 30.0
HOSTS = 3
CONTROLLERS = 2
CALLS = 8
"""A look makes fewer calls of etcd than this, unless it lists everything."""
WATCHED = (f"{keys.ROOT}/", "larva/")
MARKS = tuple(f"{prefix}machine" for prefix in WATCHED)
"""Written to find the present in a watch, whose prefixes are each told by itself."""
MOST_ROUNDS = 8
"""Of everybody's looks until nobody has anything to change."""

hosts_ = st.integers(0, HOSTS - 1)
nets_ = st.integers(0, 2)
WISHES = (
    "create_network", "grow_network", "delete_network", "enrol", "join", "leave", "remove", "take_down", "take_up",
    "move", "end_lease",
)  # fmt: skip
"""Methods of the machine that may ask something of etcd."""
AT_HOSTS = (
    "start_agent", "crash_agent", "reboot", "reinstall", "move", "cut_off", "reconnect", "look", "start_controller",
    "kill_controller", "jump", "control",
)  # fmt: skip
"""And those that happen whether etcd is there or not."""
ANYTHING = (*WISHES, *AT_HOSTS, "break_data_path", "compact")


class Killed(BaseException):
    """The process ends here and now: nothing in it may see this and go on."""


class Link(Store):
    """A connection to etcd that can be cut, and in whose calls something can happen.

    Args:
        at_call: set by the machine: the how-manieth call from now, and what is done just before it (`Killed` among
            others), or `lose` to carry it out and lose the answer.
    """

    def __init__(self, endpoints: list[str]) -> None:
        super().__init__(endpoints, timeout=PATIENCE_S)
        self.is_cut = False
        self.lose = False
        self.at_call: tuple[int, Callable[[], object]] | None = None
        self._real_call = self.cluster.call
        self.cluster.call = self._call  # type: ignore[method-assign]

    def _call(self, doing: str, function: Any) -> Any:
        if self.at_call is not None:
            number, action = self.at_call
            self.at_call = (number - 1, action) if number > 1 else None
            if number == 1:
                action()
        if self.is_cut:
            raise Unavailable(f"cannot {doing}: cut off")
        answer = self._real_call(doing, function)
        if self.lose:
            self.lose = False
            raise Unavailable(f"cannot {doing}: the answer was lost")
        return answer


class Process:
    """A program that the machine starts and kills: its connection to etcd, and its loops, which the machine runs."""

    acting: ClassVar["Process"]
    """Whose code runs at this moment: one at a time does."""

    def __init__(self, endpoints: list[str]) -> None:
        self.link = Link(endpoints)
        self.loops: list[Stepped | SteppedPresence] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def act(self) -> Iterator[None]:
        """Be this process, as whoever was acting before is again afterwards."""
        before = getattr(Process, "acting", self)
        Process.acting = self
        try:
            yield
        finally:
            Process.acting = before

    @property
    def runs(self) -> bool:
        return self._thread is not None

    def begin(self, main: Callable[[threading.Event], None], awaited: str) -> None:
        """Start it; its loop of this name waits for the machine when this returns."""
        self._stop, self.loops = threading.Event(), []
        self._thread = threading.Thread(target=main, args=(self._stop,), daemon=True)
        self._thread.start()
        deadline = time.monotonic() + PATIENCE_S
        while not any(isinstance(loop, Stepped) and loop.started and loop.name == awaited for loop in self.loops):
            assert self._thread.is_alive(), f"{awaited} ended while it came up"
            assert time.monotonic() < deadline, f"{awaited} does not come up"
            time.sleep(0.001)

    def kill(self) -> None:
        """End it without a word to anybody."""
        if self._thread is None:
            return
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self._thread, self.link.at_call, self.link.lose = None, None, False

    def look(self, history: "History | None") -> None:
        """Every loop looks once; what etcd does not answer is looked at again another time.

        Args:
            history: what its watches tell it before; None when they are late.
        """
        try:
            for loop in tuple(self.loops):
                if loop.ended:
                    continue
                with self.act(), suppress(LarvaError):
                    if history is not None and isinstance(loop, Stepped):
                        loop.hear(history)
                    loop.look()
        except Killed:
            self.kill()


class Control(Process):
    """A controller."""

    def __init__(self, endpoints: list[str]) -> None:
        super().__init__(endpoints)
        self.now = 1000.0
        """Its clock: seconds that only grow, by leaps."""

    def start(self) -> None:
        with self.act():
            self.begin(Controller(self.link, clock=lambda: self.now).run, "controller")


class Host(Process):
    """One machine: what its kernel has, what is on its disk, and the agent that may run on it."""

    acting: ClassVar["Host"]  # type: ignore[assignment]

    def __init__(self, name: str, number: int, directory: Path, endpoints: list[str]) -> None:
        super().__init__(endpoints)
        self.name, self.number, self.directory = name, number, directory
        self.kernel: dict[str, tuple[Tunnel, frozenset[Peer]]] = {}
        self.public = IPv4Address(f"203.0.113.{number + 1}")
        self.moves = 0
        self.broken = False
        """Its data path refuses the next change."""
        self.key = new_key()

    def information(self, listen_port: int) -> HostNetworkInformation:
        """What it says of itself when it is asked now."""
        with self.act():
            facts = publisher.HostFacts(Member.load(), Identity.load())
            return facts.look(listen_port=listen_port, known=None)

    def move(self) -> None:
        """Its provider gives it another public address."""
        self.moves += 1
        self.public = IPv4Address(f"203.0.{self.moves % 200}.{self.number + 1}")

    def start(self) -> None:
        """Start the agent; it has come up from what is on disk when this returns."""
        with self.act():
            self.begin(Agent(self.link, Member.load(), Identity.load()).run, "agent")

    def wipe(self) -> None:
        """Another machine takes the place of this one, under its name."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
        self.kernel.clear()
        self.key = new_key()


class Stepped:
    """Stands for a Reconciler: it hears what its watch would tell, and looks, when the machine says so."""

    def __init__(
        self, store: Link, prefixes: Sequence[str], reconcile: Callable[[], float | None], *, name: str,
        on_item: Callable[[Event | Relist], None] | None = None, resync_s: float = 0.0,
    ) -> None:  # fmt: skip
        self.look, self.name = reconcile, name
        self.started = self.ended = False
        self.heard: int | None = None
        """The revision up to which it was told everything; None before its watch stands, and after a gap."""
        self._link, self._prefixes, self._on_item = store, tuple(prefixes), on_item or (lambda _: None)
        Process.acting.loops.append(self)

    def run(self, stop: threading.Event) -> None:
        self.started = True
        stop.wait()
        self.ended = True

    def hear(self, history: "History") -> None:
        """Be told what happened since it was told last."""
        if self._link.is_cut:
            return
        if self.heard is None or self.heard < history.compacted:
            for prefix in self._prefixes:
                self._on_item(Relist(history.revision, prefix))
        else:
            for event in history.events:
                if event.revision > self.heard and any(_covers(prefix, event.key) for prefix in self._prefixes):
                    self._on_item(event)
        self.heard = history.revision

    def poke(self) -> None: ...


def _covers(prefix: str, key: str) -> bool:
    return key.startswith(prefix) if prefix.endswith("/") else key == prefix


class History:
    """Everything that was ever written, in order, as a watch tells it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.events: list[Event] = []
        self.revision = self._mark()
        self.compacted = 0
        self._watch = store.watch(WATCHED, start_revision=self.revision + 1)
        self._told = iter(self._watch)

    def close(self) -> None:
        """Watch no longer."""
        self._watch.close()

    def _mark(self) -> int:
        assert self._store.transact([], [Put(mark, 0) for mark in MARKS])
        return self._store.revisions(MARKS[0])[MARKS[0]]

    def catch_up(self) -> int:
        """Read on to the present, and return how much has happened."""
        newest, new, left = self._mark(), [], set(MARKS)
        while left:
            item = next(self._told)
            assert isinstance(item, Event)
            if item.key not in MARKS:
                new.append(item)
            elif item.revision == newest:
                left.remove(item.key)
        self.events += sorted(new, key=lambda event: event.revision)
        self.revision = newest
        return len(new)


class SteppedPresence(Presence):
    """Presence that refreshes when the machine says so."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.started = self.ended = False
        Process.acting.loops.append(self)

    def run(self, stop: threading.Event) -> None:
        self.started = True
        stop.wait()
        self.ended = True

    def look(self) -> None:
        once = threading.Event()
        super().run(SimpleNamespace(is_set=once.is_set, wait=lambda _: once.set()))  # type: ignore[arg-type]


class Unmeasured:
    """Stands for what measures: that is another machine's matter."""

    row = records = None

    def __init__(self, *_: Any) -> None: ...

    def reconcile(self) -> None: ...

    def run(self, stop: threading.Event, *_: Any) -> None:
        stop.wait()


class Table:
    """A data path in memory: one interface of the acting host. It outlives the agent, as a kernel's does."""

    def __init__(self, kind: DatapathKind, interface: str) -> None:
        self.kind, self.interface = DatapathKind.WIREGUARD, interface
        self._host = Process.acting
        self._kernel = self._host.kernel

    def up(self, tunnel: Tunnel) -> None:
        self._kernel[self.interface] = (tunnel, self._kernel.get(self.interface, (tunnel, frozenset()))[1])

    def sync(self, peers: Sequence[Peer]) -> None:
        self._break()
        self._kernel[self.interface] = (self._kernel[self.interface][0], frozenset(peers))

    def change(self, changed: Sequence[Peer], removed: Sequence[str]) -> None:
        tunnel, before = self._kernel[self.interface]
        others = {*removed, *(peer.public_key for peer in changed)}
        kept = frozenset(peer for peer in before if peer.public_key not in others)
        self._kernel[self.interface] = tunnel, kept
        self._break()
        self._kernel[self.interface] = tunnel, kept | frozenset(changed)

    def stats(self) -> tuple[()]:
        return ()

    def down(self) -> None:
        self._break()
        self._kernel.pop(self.interface, None)

    def _break(self) -> None:
        if self._host.broken:
            self._host.broken = False
            raise HostUnfit("the kernel refuses")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an agent finds around itself, of the host that is acting."""

    def deaf() -> None:
        raise OSError("this kernel tells nothing")

    def own() -> tuple[NetworkInterface, ...]:
        inside = IPv4Interface(f"172.20.0.{Process.acting.number + 1}/24")
        return (NetworkInterface(name="eth0", mtu=1500, addresses=(inside,)),)

    monkeypatch.setattr(larva_settings, "state_directory", lambda: Process.acting.directory)
    for module in [each for name, each in sys.modules.items() if name.startswith("cladnet.")]:
        if hasattr(module, "Reconciler"):
            monkeypatch.setattr(module, "Reconciler", Stepped)
    monkeypatch.setattr(attachment, "Presence", SteppedPresence)
    monkeypatch.setattr(datapath_keeper, "take", lambda kind, interface, _: Table(kind, interface))
    monkeypatch.setattr(network, "SAVE_S", 0.0)  # what is written later would depend on how fast this machine is
    monkeypatch.setattr(datapath_keeper, "clear", lambda interface: Process.acting.kernel.pop(interface, None))
    for name in ("StatusTest", "Watchman", "Reporter"):
        monkeypatch.setattr(agent if hasattr(agent, name) else attachment, name, Unmeasured)
    monkeypatch.setattr(agent.discovery, "Changes", deaf)
    monkeypatch.setattr(publisher.discovery, "interfaces", own)
    monkeypatch.setattr(publisher.discovery, "metadata", lambda: Metadata(CloudFacts(), None))
    monkeypatch.setattr(publisher.discovery, "public_address", lambda *_, **__: Process.acting.public)
    monkeypatch.setattr(publisher, "ASK_AGAIN_S", -1.0)
    monkeypatch.setattr(presence, "TTL_S", 3600)  # leases end when the machine ends them


class Machine(RuleBasedStateMachine):
    """Everything that happens to a system, in any order, and what holds whenever it has come to rest."""

    cluster: ClassVar[Any]
    authority: ClassVar[Authority]
    directory: ClassVar[Path]

    @initialize()
    def found(self) -> None:
        self.down = False
        self.store = Link(self.cluster.endpoints)
        for prefix in (f"{keys.ROOT}/", "larva/"):
            self.store.delete_prefix(prefix)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.store.put(
            keys.CONTROL_PLANE, ControlPlane(server="https://[::1]:1", ca="", etcd_endpoints=("http://[::1]:1",))
        )
        self.history = History(self.store)
        self.controllers = [Control(self.cluster.endpoints) for _ in range(CONTROLLERS)]
        self.hosts = [Host(f"h{n}", n, self.directory / f"h{n}", self.cluster.endpoints) for n in range(HOSTS)]
        self.members: dict[str, set[str]] = {}
        self.served: set[tuple[str, str]] = set()
        self.made = 0
        self.groups: list[str] = []
        self.gone: list[str] = []
        self.create_network()
        self.create_network()
        self.start_controller(0)
        for h in range(HOSTS):
            self.enrol(h, 0)
        for h in range(HOSTS - 1):
            self.join(h, 1)
        self.come_to_rest()

    def teardown(self) -> None:
        if not hasattr(self, "down"):
            return
        try:
            if self.down:
                self.start_etcd()
            if sys.exc_info()[0] is None:  # nothing has failed yet
                for host in self.hosts:
                    host.link.is_cut = False
                    self.start_agent(host.number)
                self.come_to_rest()
        finally:
            for process in (*self.controllers, *self.hosts):
                process.kill()
                process.link.close()
            self.history.close()
            self.store.close()

    # --- what people ask for

    def create_network(self, *_: int) -> None:
        if len(self.groups) == 3:
            return
        self.made += 1
        self.groups.append(networks.create(self.store, name=f"net-{self.made}", cidr=f"10.{self.made}.4.0/24").id)

    def grow_network(self, _: int, n: int) -> None:
        if not self.groups:
            return
        group = self.groups[n % len(self.groups)]
        now = networks.find(self.store, group).cidr
        if now.prefixlen > 20:
            networks.update(self.store, group, cidr=str(now.supernet()))

    def delete_network(self, _: int, n: int) -> None:
        if not self.groups:
            return
        group = self.groups.pop(n % len(self.groups))
        networks.delete(self.store, group)
        self.gone.append(group)
        for groups in self.members.values():
            groups.discard(group)

    @rule(n=nets_)
    def delete_network_at_rest(self, n: int) -> None:
        if not self.groups:
            return
        self.come_to_rest()
        group = self.groups[n % len(self.groups)]
        others = self.keys_outside(group)
        kernels = [dict(host.kernel) for host in self.hosts]
        address = networks.find(self.store, group).cidr
        self.delete_network(0, n)
        self.come_to_rest()
        assert self.keys_outside(group) == others
        for host, before in zip(self.hosts, kernels, strict=True):
            kept = {name: has for name, has in before.items() if has[0].addresses[0].ip not in address}
            assert {name: host.kernel.get(name) for name in kept} == kept

    def enrol(self, h: int, n: int) -> None:
        host = self.hosts[h]
        if host.name in self.members or not self.groups:
            return
        group = self.groups[n % len(self.groups)]
        host.kill()
        secret = enrolment.create_token(self.store, group=group, roles=[Role.MEMBER], ttl_s=600, uses=1)
        enrolment.redeem(
            self.store, self.authority, secret=secret, csr_pem=signing_request(host.key, host.name), host=host.name,
            roles=[Role.MEMBER],
        )  # fmt: skip
        with host.act():
            prepare_state()
            Member(
                host=host.name, groups=(group,), roles=(Role.MEMBER,), server="https://[::1]:1",
                etcd_endpoints=tuple(self.cluster.endpoints),
            ).save()  # fmt: skip
        self.members[host.name] = {group}
        host.start()

    def join(self, h: int, n: int) -> None:
        name = self.hosts[h].name
        if name in self.members and self.groups:
            group = self.groups[n % len(self.groups)]
            membership.join_group(self.store, host=name, group=group)
            self.members[name].add(group)

    def leave(self, h: int, n: int) -> None:
        name = self.hosts[h].name
        for group in sorted(self.members.get(name, ()))[-1 - n :][:1]:
            membership.leave_group(self.store, host=name, group=group)
            self.members[name].discard(group)
            self.served.discard((name, group))

    def remove(self, h: int, _: int = 0) -> None:
        name = self.hosts[h].name
        if self.members.pop(name, None) is not None:
            membership.remove_host(self.store, name)
            self.served = {pair for pair in self.served if pair[0] != name}

    def take_down(self, h: int, n: int) -> None:
        self.command(h, n, Command.DOWN)

    def take_up(self, h: int, n: int) -> None:
        self.command(h, n, Command.UP)

    def command(self, h: int, n: int, command: Command) -> None:
        if self.groups:
            with suppress(NotFound):
                network_hosts.control(self.store, self.groups[n % len(self.groups)], self.hosts[h].name, command)

    # --- what happens to hosts

    def start_agent(self, h: int, _: int = 0) -> None:
        host = self.hosts[h]
        if not host.runs and (host.directory / "member.toml").exists():
            host.start()

    def crash_agent(self, h: int, _: int = 0) -> None:
        self.hosts[h].kill()

    def reboot(self, h: int, _: int = 0) -> None:
        host = self.hosts[h]
        if not host.runs:
            return
        host.kill()
        host.broken, before = False, dict(host.kernel)
        host.kernel.clear()
        host.start()
        if self.down or host.link.is_cut:
            assert host.kernel == before, "a host that cannot ask comes up as it was"

    def reinstall(self, h: int, _: int = 0) -> None:
        if self.hosts[h].name not in self.members:
            self.hosts[h].wipe()

    def move(self, h: int, _: int = 0) -> None:
        self.hosts[h].move()

    def break_data_path(self, h: int, _: int = 0) -> None:
        self.hosts[h].broken = not self.hosts[h].link.is_cut

    def cut_off(self, h: int, _: int = 0) -> None:
        self.hosts[h].link.is_cut = True

    def reconnect(self, h: int, _: int = 0) -> None:
        self.hosts[h].link.is_cut = False

    def end_lease(self, h: int, n: int) -> None:
        if not self.groups:
            return
        key = keys.presence(self.groups[n % len(self.groups)], self.hosts[h].name).encode()
        found, _ = self.store.cluster.call("look", lambda end, s: end.kv.Range(etcdrpc.RangeRequest(key=key)))
        for item in found.kvs:
            gone = etcdrpc.LeaseRevokeRequest(ID=item.lease)
            self.store.cluster.call("revoke", lambda end, s, gone=gone: end.lease.LeaseRevoke(gone))

    def look(self, h: int, n: int = 0) -> None:
        late = n == 2
        host = self.hosts[h]
        before = dict(host.kernel)
        host.look(None if late else self.hear())
        if self.down or host.link.is_cut:
            assert host.kernel == before, "losing the control plane touched the traffic"

    # --- what happens to the control plane

    def start_controller(self, n: int, _: int = 0) -> None:
        if not self.controllers[n % CONTROLLERS].runs:
            self.controllers[n % CONTROLLERS].start()

    def kill_controller(self, n: int, _: int = 0) -> None:
        self.controllers[n % CONTROLLERS].kill()

    def jump(self, n: int, leap: int) -> None:
        self.controllers[n % CONTROLLERS].now += (1.0, GRACE_S, 1e6)[leap]

    def control(self, n: int, late: int = 0) -> None:
        self.controllers[n % CONTROLLERS].look(None if late == 2 else self.hear())

    def compact(self, *_: int) -> None:
        self.history.catch_up()
        self.store.compact(self.history.revision)
        self.history.compacted = self.history.revision

    def kill_etcd(self) -> None:
        self.cluster.kill()
        self.down = True
        self.bound_calls(0.05)

    def start_etcd(self) -> None:
        self.cluster.start()
        self.down = False
        self.bound_calls(PATIENCE_S)

    # --- histories

    @rule(steps=st.lists(st.tuples(st.sampled_from(ANYTHING), hosts_, nets_), min_size=1, max_size=6))
    def happen(self, steps: list[tuple[str, int, int]]) -> None:
        self.go_through(steps)

    @rule(
        before=st.lists(st.tuples(st.sampled_from(AT_HOSTS), hosts_, nets_), max_size=2),
        steps=st.lists(st.tuples(st.sampled_from(AT_HOSTS), hosts_, nets_), min_size=1, max_size=5),
    )
    def etcd_is_away(self, before: list[tuple[str, int, int]], steps: list[tuple[str, int, int]]) -> None:
        self.go_through(before)
        self.kill_etcd()
        self.go_through(steps)
        for h in range(HOSTS):
            self.look(h)
        self.start_etcd()

    @rule(
        before=st.lists(st.tuples(st.sampled_from(WISHES), hosts_, nets_), min_size=1, max_size=3),
        h=hosts_, n=nets_, of_controller=st.booleans(), call=st.integers(1, CALLS), late=nets_,
        what=st.sampled_from([*ANYTHING, "killed", "answer lost"]),
    )  # fmt: skip
    def in_the_middle_of_a_look(
        self, before: list[tuple[str, int, int]], h: int, n: int, of_controller: bool, call: int, late: int, what: str
    ) -> None:
        """Just before the how-manieth call of a look something else happens, or its process ends."""
        self.go_through(before)
        looking: Process = self.controllers[n % CONTROLLERS] if of_controller else self.hosts[h]
        if not looking.runs:
            return

        def interrupt() -> None:
            if what == "killed":
                raise Killed
            if what == "answer lost":
                looking.link.lose = True
            elif what in ("look", "reboot", "crash_agent", "reinstall", "enrol", "control", "kill_controller"):
                others = [each for each in range(HOSTS) if of_controller or each != h]
                self.go_through([("look", other, 0) for other in others])
            else:
                self.go_through([(what, h, n)])

        looking.link.at_call = (call, interrupt)
        if of_controller:
            self.control(n, late)
        else:
            self.look(h, late)
        looking.link.at_call, looking.link.lose = None, False

    def go_through(self, steps: list[tuple[str, int, int]]) -> None:
        for name, h, n in steps:
            getattr(self, name)(h, n)

    # --- rest

    @rule()
    def come_to_rest(self) -> None:
        """Everybody looks until nobody changes anything; then everything holds."""
        if not any(controller.runs for controller in self.controllers):
            self.start_controller(0)
        for number in range(MOST_ROUNDS):
            before = len(self.history.events)
            for process in (*self.hosts, *self.controllers):
                process.look(self.hear())
            for controller in self.controllers:
                controller.now += GRACE_S + SWEEP_S
            self.history.catch_up()
            changes = len(self.history.events) - before
            if number >= 2 and changes == 0:
                break
        else:
            raise AssertionError(f"it does not come to rest within {MOST_ROUNDS} rounds")
        self.check()

    def check(self) -> None:
        """What holds at rest."""
        for key in self.store.revisions(f"{keys.ROOT}/"):
            assert not any(group in key for group in self.gone), f"{key} is left of a CLADNet that was deleted"
        records = {record.host: record for record in membership.enrolled_hosts(self.store)}
        assert {name: set(record.groups) for name, record in records.items()} == self.members
        assert {each.id for each in networks.list_all(self.store)} == set(self.groups)
        expected: dict[str, dict[str, tuple[Tunnel, frozenset[Peer]]]] = {host.name: {} for host in self.hosts}
        for group in self.groups:
            self.check_network(group, expected)
        for host in self.hosts:
            if self.hears(host):
                assert host.kernel == expected[host.name], f"the data path of {host.name}"

    def check_network(self, group: str, expected: dict[str, dict[str, tuple[Tunnel, frozenset[Peer]]]]) -> None:
        specification = self.store.get(keys.configuration(group), CladnetSpecification)
        assert specification is not None
        assert specification.value.state == CladnetState.ACTIVE
        cidr = specification.value.cidr
        given = {name: each.value for name, each in self.store.children(keys.rules_of(group), NetworkingRule).items()}
        told = self.store.children(keys.hosts_of(group), HostNetworkInformation)
        commands = self.store.children(keys.commands_of(group), ControlCommand)
        present = {keys.last_segment(key) for key in self.store.revisions(keys.presences_of(group))}
        claims = {
            IPv4Address(keys.last_segment(claim.key)): claim.value
            for claim in self.store.list(keys.addresses_of(group), str).items
        }
        members = {name for name, groups in self.members.items() if group in groups}
        assert told.keys() <= members, "a host that left is still told of"
        assert given.keys() == told.keys(), "one rule for each host, none for others"
        assert commands.keys() <= given.keys(), "a command outlives its host's membership"
        assert {rule.address: name for name, rule in given.items()} == claims, "each address is one host's"
        assert {name for name, of in self.served if of == group} <= given.keys(), "a host that vanished is forgotten"
        for name, each in given.items():
            assert each.address in cidr
            assert each.public_key == told[name].value.public_key
            assert each.endpoints == rules.candidates(told[name].value, cidr)
            down = name in commands and commands[name].value.command == Command.DOWN
            there = HostState.ACTIVE if name in present else HostState.UNREACHABLE
            assert each.state == (HostState.DOWN if down else there)
        for host in self.hosts:
            if host.name in members and self.hears(host):
                assert host.name in given, "a live host has its rule"
                assert host.name in present
                port = told[host.name].value.listen_port
                assert told[host.name].value == host.information(port)
                command = commands[host.name].value.command if host.name in commands else Command.UP
                view = NetworkView(specification=specification.value, rules=tuple(given.values()), command=command)
                with host.act():
                    private = Identity.load().wireguard_private
                desired = wanted(view, host.name, private_key=private, listen_port=port)
                if desired is not None:
                    interface = f"cbnet{port - attachment.BASE_PORT}"
                    assert interface not in expected[host.name], "two CLADNets on one interface"
                    expected[host.name][interface] = (desired.tunnel, frozenset(desired.peers))
        self.served = {pair for pair in self.served if pair[1] != group} | {(name, group) for name in given}

    def hears(self, host: Host) -> bool:
        """Whether its agent runs and reaches etcd."""
        return host.runs and not host.link.is_cut

    def hear(self) -> History | None:
        """What watches can tell now."""
        if self.down:
            return None
        self.history.catch_up()
        return self.history

    def keys_outside(self, group: str) -> dict[str, int]:
        found = self.store.revisions(f"{keys.ROOT}/")
        return {key: revision for key, revision in found.items() if group not in key and key not in MARKS}

    def bound_calls(self, seconds: float) -> None:
        for link in (self.store, *(process.link for process in (*self.controllers, *self.hosts))):
            link.cluster.timeout = seconds


@pytest.mark.parametrize("size", [1, 3])
def test_whatever_happens_the_network_comes_to_rest_as_it_should(etcd_factory: Any, tmp_path: Path, size: int) -> None:
    class OfThis(Machine):
        cluster = etcd_factory(size=size)
        authority = Authority.found(tmp_path / "ca")
        directory = tmp_path / "hosts"

    run_state_machine_as_test(
        OfThis,
        settings=settings(
            max_examples=EXAMPLES or (10 if size == 1 else 3),
            stateful_step_count=12,
            derandomize=not EXAMPLES,
            database=None,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
