"""One CLADNet of this host: the loops that follow its rules, publish, measure on request, and show presence."""

import logging
import threading
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet

from cladnet import keys
from cladnet.agent.keyring import KeyRing, said
from cladnet.agent.metrics import Observed
from cladnet.agent.network import Network
from cladnet.agent.peering import measurable
from cladnet.agent.presence import Presence
from cladnet.agent.publisher import NOBODY_TOLD_S, HostFacts, publish
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
        ring: this host's WireGuard keys; without them it keeps the one it began with.
    """

    def __init__(
        self,
        store: Store,
        facts: HostFacts,
        group: str,
        index: int,
        *,
        revoked: Callable[[], AbstractSet[str]] = frozenset,
        ring: KeyRing | None = None,
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
            ring=ring,
        )
        self._ring = ring
        self._stop = threading.Event()
        self._presence = Presence(
            store, keys.presence(group, self._host), self._host, wanted=lambda: self._network.is_active
        )
        self._following = Reconciler(
            store, self._network.prefixes, self._follow, name=f"network {group}", on_item=self._network.note
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
        if self._ring is not None:
            self._ring.forget(self.group)
        try:
            self._presence.end()
        except LarvaError as error:
            log.info("%s: presence ends with its lease: %s", self.group, error.message)

    def _measurable(self) -> tuple[NetworkView, DatapathKind] | None:
        view, datapath = self._network.view, self._network.datapath
        return (view, datapath.kind) if view is not None and datapath is not None else None

    def _follow(self) -> float | None:
        again = self._network.look()
        if self._ring is not None and self._ring.is_replacing:
            self._information.poke()
        return again

    def _publish(self) -> float | None:
        try:
            publish(self._store, self._facts, self.group, listen_port=self.listen_port, public_keys=self._public_keys)
        except LarvaError:
            self._network.step_back()
            raise
        next_key_s = self._ring.remaining_s() if self._ring is not None and not self._network.is_ahead else None
        if self._facts.knows_its_place:
            return next_key_s
        return NOBODY_TOLD_S if next_key_s is None else min(next_key_s, NOBODY_TOLD_S)

    def _public_keys(self, published: str) -> tuple[str, str]:
        """What to say of this host's keys, just before it is said; from the moment that it is time, the next is in use.

        First here: packets to a peer wait, as WireGuard lets them, until the peer has heard of the key and shakes hands
        with it. Were the peer first, it would turn away what comes by the old one.
        """
        if self._ring is None:
            return self._facts.identity.wireguard_public, ""
        current, following = self._ring.keys()
        if following is not None and published == current.public and self._ring.remaining_s() == 0.0:
            log.info("%s: using the next WireGuard key", self.group)
            self._network.go_ahead()
        return said(published, current, following, ahead=self._network.is_ahead)
