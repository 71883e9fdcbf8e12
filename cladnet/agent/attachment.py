"""One CLADNet of this host: the loops that follow its rules, publish, measure on request, and show presence."""

import logging
import threading
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from cladnet import keys
from cladnet.agent.metrics import Observed
from cladnet.agent.network import Network
from cladnet.agent.peering import measurable
from cladnet.agent.presence import Presence
from cladnet.agent.publisher import HostFacts, publish
from cladnet.agent.rule_cache import NetworkView, RuleCache
from cladnet.agent.status_test import StatusTest
from cladnet.agent.watchman import Watched
from cladnet.etcd.reconciler import Reconciler
from cladnet.etcd.store import Store
from cladnet.model import DatapathKind
from larva.errors import LarvaError

log = logging.getLogger(__name__)

BASE_PORT = 51820
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
        self._host = facts.member.host
        self._network = Network(
            store,
            group,
            self._host,
            interface=self.interface,
            private_key=facts.identity.wireguard_private,
            listen_port=self.listen_port,
            cache=RuleCache(group),
            revoked=revoked,
        )
        self._stop = threading.Event()
        self._presence = Presence(
            store, keys.presence(group, self._host), self._host, wanted=lambda: self._network.is_active
        )
        self._following = Reconciler(
            store, self._network.prefixes, self._network.look, name=f"network {group}", on_item=self._network.note
        )
        self._information = Reconciler(
            store,
            [keys.configuration(group), keys.host_information(group, self._host)],
            self._publish,
            name=f"information {group}",
        )
        self._tests = StatusTest(store, group, self._host, self.interface, self._measurable)
        loops: list[Callable[[threading.Event], None]] = [
            self._following.run, self._information.run, self._tests.run, self._presence.run
        ]  # fmt: skip
        self._threads = [
            threading.Thread(target=loop, args=(self._stop,), name=f"{group}-{position}", daemon=True)
            for position, loop in enumerate(loops)
        ]

    def start(self) -> None:
        """Come up from the cache, whether etcd is there or not, then follow etcd."""
        self._network.come_up()
        for thread in self._threads:
            thread.start()

    def poke(self) -> None:
        """Something changed on this host: look again."""
        self._network.look_at_all()
        self._following.poke()
        self._information.poke()

    def watched(self) -> Watched:
        """This CLADNet's paths from here."""
        view = self._network.view
        known = frozenset(rule.host for rule in view.rules) if view is not None else None
        return Watched(group=self.group, interface=self.interface, peers=measurable(view, self._host), known=known)

    def observed(self) -> Observed:
        """This CLADNet as it is on this host now; Unavailable or HostUnfit when the data path does not tell."""
        network, datapath = self._network, self._network.datapath
        return Observed(
            group=self.group,
            host=self._host,
            view=network.view,
            peers=datapath.stats() if datapath is not None else (),
            status=self._tests.row,
            rules_age_s=None if network.read_at is None else time.monotonic() - network.read_at,
        )

    def stop(self) -> None:
        """End the threads; the interface stays and traffic goes on."""
        self._stop.set()
        deadline = time.monotonic() + JOIN_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=max(0.0, deadline - time.monotonic()))
        self._network.flush()

    def leave(self) -> None:
        """stop(), and take the interface down: this host is no longer in the CLADNet. May be repeated."""
        self.stop()
        self._network.leave()  # a thread that did not end in time does not bring the interface up again
        try:
            self._presence.end()
        except LarvaError as error:
            log.info("%s: presence ends with its lease: %s", self.group, error.message)

    def _measurable(self) -> tuple[NetworkView, DatapathKind] | None:
        view, datapath = self._network.view, self._network.datapath
        return (view, datapath.kind) if view is not None and datapath is not None else None

    def _publish(self) -> float | None:
        publish(self._store, self._facts, self.group, listen_port=self.listen_port)
        return None
