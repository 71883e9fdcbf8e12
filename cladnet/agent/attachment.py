"""One CLADNet of this host: follows its rules, applies them to the data path, measures on request, shows presence."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime

from cladnet import keys
from cladnet.agent.metrics import Observed
from cladnet.agent.peering import Wanted, measurable, wanted
from cladnet.agent.presence import Presence
from cladnet.agent.publisher import HostFacts, publish
from cladnet.agent.rule_cache import NetworkView, RuleCache
from cladnet.agent.status_test import StatusTest
from cladnet.agent.watchman import Watched
from cladnet.datapath import link
from cladnet.datapath.choose import choose
from cladnet.datapath.protocol import Datapath
from cladnet.etcd.mirror import Mirror
from cladnet.etcd.reconciler import Reconciler
from cladnet.etcd.store import Store
from cladnet.model import (
    CladnetSpecification,
    CladnetState,
    Command,
    ControlCommand,
    DatapathKind,
    NetworkingRule,
)
from cladnet.trust.acceptance import accept
from larva.errors import LarvaError, MalformedData, Unavailable

log = logging.getLogger(__name__)

BASE_PORT = 51820
RETRY_S = 5.0
JOIN_S = 15.0


class Attachment:
    """This host in one CLADNet, working in threads of its own between start() and stop().

    Args:
        index: the how-manieth CLADNet of this host: names the interface and the port.
        revoked: serial numbers of the certificates that are good no more.
    """

    def __init__(
        self,
        store: Store,
        facts: HostFacts,
        group: str,
        index: int,
        *,
        revoked: Callable[[], AbstractSet[str]] = frozenset,
    ) -> None:
        self.group = group
        self.interface = f"cbnet{index}"
        self.listen_port = BASE_PORT + index
        self._store = store
        self._facts = facts
        self._revoked = revoked
        self._host = facts.member.host
        self._cache = RuleCache(group)
        self._view: NetworkView | None = None
        self._datapath: Datapath | None = None
        self._chosen: DatapathKind | None = None
        self._applying = threading.Lock()
        self._left = False
        self._read_at: float | None = None
        self._stop = threading.Event()
        self._presence = Presence(store, keys.presence(group, self._host), self._host, wanted=self._is_active)
        configuration, command = keys.configuration(group), keys.command(group, self._host)
        self._mirror = Mirror(
            store,
            {configuration: CladnetSpecification, keys.rules_of(group): NetworkingRule, command: ControlCommand},
        )
        self._network = Reconciler(
            store, self._mirror.prefixes, self._reconcile_network, name=f"network {group}", on_item=self._mirror.note
        )
        self._information = Reconciler(
            store,
            [configuration, keys.host_information(group, self._host)],
            self._publish,
            name=f"information {group}",
        )
        self._tests = StatusTest(store, group, self._host, self.interface, self._measurable)
        loops: list[Callable[[threading.Event], None]] = [
            self._network.run, self._information.run, self._tests.run, self._presence.run
        ]  # fmt: skip
        self._threads = [
            threading.Thread(target=loop, args=(self._stop,), name=f"{group}-{position}", daemon=True)
            for position, loop in enumerate(loops)
        ]

    def start(self) -> None:
        """Come up from the cache, whether etcd is there or not, then follow etcd."""
        self._view = self._cache.load()
        if self._view is not None:
            try:
                with self._applying:
                    self._apply()
                log.info("%s: up from the cached rules on %s", self.group, self.interface)
            except LarvaError as error:
                log.warning("%s: cannot come up from the cached rules: %s", self.group, error)
        for thread in self._threads:
            thread.start()

    def poke(self) -> None:
        """Something changed on this host: look again."""
        self._network.poke()
        self._information.poke()

    def watched(self) -> Watched:
        """This CLADNet's paths from here."""
        view = self._view
        known = frozenset(rule.host for rule in view.rules) if view is not None else None
        return Watched(group=self.group, interface=self.interface, peers=measurable(view, self._host), known=known)

    def observed(self) -> Observed:
        """This CLADNet as it is on this host now; Unavailable or HostUnfit when the data path does not tell."""
        datapath = self._datapath
        return Observed(
            group=self.group,
            host=self._host,
            view=self._view,
            peers=datapath.stats() if datapath is not None else (),
            status=self._tests.row,
            rules_age_s=None if self._read_at is None else time.monotonic() - self._read_at,
        )

    def stop(self) -> None:
        """End the threads; the interface stays and traffic goes on."""
        self._stop.set()
        deadline = time.monotonic() + JOIN_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=max(0.0, deadline - time.monotonic()))

    def leave(self) -> None:
        """stop(), and take the interface down: this host is no longer in the CLADNet. May be repeated."""
        self.stop()
        with self._applying:  # a thread that did not end in time must not bring the interface up again
            self._left = True
            self._view = None
            self._down()
            self._cache.forget()
        try:
            self._presence.end()
        except LarvaError as error:
            log.info("%s: presence ends with its lease: %s", self.group, error.message)

    def _is_active(self) -> bool:
        view = self._view
        return view is not None and view.specification.state == CladnetState.ACTIVE

    def _measurable(self) -> tuple[NetworkView, DatapathKind] | None:
        view, datapath = self._view, self._datapath
        return (view, datapath.kind) if view is not None and datapath is not None else None

    def _publish(self) -> float | None:
        publish(self._store, self._facts, self.group, listen_port=self.listen_port)
        return None

    def _reconcile_network(self) -> float | None:
        try:
            view, again = self._read(), None
            self._read_at = time.monotonic()
        except LarvaError as error:  # etcd is away, or holds what cannot be read: the tunnel still has to be kept up
            level = logging.INFO if isinstance(error, Unavailable) else logging.WARNING
            log.log(level, "%s: going on with the rules known: %s", self.group, error.message)
            view, again = self._view, RETRY_S
        with self._applying:
            if self._left:
                return None
            self._view = view
            try:
                self._apply()
            finally:
                if view is None:
                    self._cache.forget()
                else:
                    self._cache.save(view)
        return again

    def _read(self) -> NetworkView | None:
        mirror, configuration = self._mirror, keys.configuration(self.group)
        if not mirror.catch_up():
            self._store.exists(configuration)  # nothing to read: whether etcd is there is still worth knowing
        for key in (configuration, keys.command(self.group, self._host)):
            if mirror.unreadable(key):
                raise MalformedData(f"{key} cannot be read")
        specification = mirror.get(configuration, CladnetSpecification)
        if specification is None:
            return None
        rules = mirror.children(keys.rules_of(self.group), NetworkingRule)
        command = mirror.get(keys.command(self.group, self._host), ControlCommand)
        return NetworkView(
            specification=specification.value,
            rules=self._accepted(rule.value for host, rule in rules.items() if rule.value.host == host),
            command=command.value.command if command else Command.UP,
        )

    def _accepted(self, read: Iterable[NetworkingRule]) -> tuple[NetworkingRule, ...]:
        """The rules that count, of those that the CA signed."""
        if not self._store.is_signed:
            return tuple(read)
        known = self._view.rules if self._view is not None else ()
        accepted = accept(read, known, revoked=self._revoked(), now=datetime.now(UTC))
        for host, why in accepted.refused.items():
            log.warning("%s: the rule of %s does not count: %s", self.group, host, why)
        return accepted.rules

    def _apply(self) -> None:
        desired = wanted(
            self._view, self._host, private_key=self._facts.identity.wireguard_private, listen_port=self.listen_port
        )
        if desired is None or self._view is None:
            self._down()
        else:
            self._up(desired, self._view.specification.datapath)

    def _up(self, desired: Wanted, kind: DatapathKind) -> None:
        if self._datapath is None or self._chosen != kind:
            chosen = choose(kind, self.interface)
            if self._datapath is not None and self._datapath.kind != chosen.kind:
                self._datapath.down()
            self._datapath, self._chosen = chosen, kind
        self._datapath.up(desired.tunnel)
        self._datapath.sync(desired.peers)

    def _down(self) -> None:
        """Take down whatever data path the interface has, also one that an earlier agent left."""
        if self._datapath is not None:
            self._datapath.down()
        else:
            link.delete(self.interface)  # a program that carries it ends with its interface
        self._datapath = self._chosen = None
