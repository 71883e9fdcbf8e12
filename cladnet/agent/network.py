"""One CLADNet's rules, from etcd to this host's data path and cache: only what changed is touched."""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from ipaddress import IPv4Address

from cladnet import keys
from cladnet.agent.datapath_keeper import DatapathKeeper
from cladnet.agent.kept_peering import Delta, KeptPeering
from cladnet.agent.keyring import KeyRing
from cladnet.agent.peering import doors, moved
from cladnet.agent.rule_cache import NetworkView, RuleCache
from cladnet.datapath.greeting import greet
from cladnet.datapath.protocol import Datapath
from cladnet.etcd.mirror import Mirror
from cladnet.etcd.store import Store
from cladnet.model import (
    CladnetSpecification,
    CladnetState,
    Command,
    ControlCommand,
    DatapathKind,
    Encryption,
    HostState,
    NetworkingRule,
)
from cladnet.trust.acceptance import accept, is_earlier
from larva.errors import LarvaError, Unavailable

log = logging.getLogger(__name__)

RETRY_S = 5.0
AHEAD_S = 20.0
"""How long this host uses a key that its own rule does not have yet; a controller takes milliseconds."""
SAVE_S = 2.0
SAVE_S_PER_RULE = 0.002
"""The cache on disk is written whole: the more there is to write the less often, but every SAVE_S seconds. What came
after the last writing is lost to a crash."""


class Network:
    """look() whenever the watch of `prefixes` gave something to note(), and when it said so; from one thread.

    Args:
        revoked: serial numbers of the certificates that are good no more.
        ring: this host's keys; without them `private_key` for good.
        choose_datapath: the driver for an interface; what this host offers without it.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        store: Store,
        group: str,
        host: str,
        *,
        interface: str,
        private_key: str,
        listen_port: int,
        cache: RuleCache,
        revoked: Callable[[], AbstractSet[str]] = frozenset,
        ring: KeyRing | None = None,
        choose_datapath: Callable[[DatapathKind, str, Encryption], Datapath] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._group = group
        self._host = host
        self._interface = interface
        self._cache = cache
        self._revoked = revoked
        self._ring = ring
        self._ahead_since: float | None = None
        """Since when the next key is used though this host's own rule has the present one."""
        self._greeted: set[IPv4Address] = set()
        """Peers that have another key now."""
        self._clock = clock
        self._rules: dict[str, NetworkingRule] = {}
        self._specification: CladnetSpecification | None = None
        self._command = Command.UP
        self._peering = KeptPeering(host, self._rules, private_key=private_key, listen_port=listen_port)
        self._configuration_key, self._command_key = keys.configuration(group), keys.command(group, host)
        self._rules_prefix = keys.rules_of(group)
        self._mirror = Mirror(
            store,
            {
                self._configuration_key: CladnetSpecification,
                self._rules_prefix: NetworkingRule,
                self._command_key: ControlCommand,
            },
        )
        self.prefixes = self._mirror.prefixes
        self.note = self._mirror.note
        self.read_at: float | None = None
        """When etcd last said what is so."""
        self._from_etcd = False
        self._version = 0
        self._shown: tuple[int, NetworkView | None] = 0, None
        """The view and the version it is of: many ask for it more often than it changes."""
        self._keeper = DatapathKeeper(interface, choose=choose_datapath, clock=clock)
        self._unsaved = False
        self._in_contact = True
        """Whether etcd was there at the last look; a watch that stands is silent about it."""
        self._pending: frozenset[str] = frozenset()
        """Hosts whose rules were taken in and whose peers were not made of them yet: a look may fail in between."""
        self._saved_at = -SAVE_S
        self._applying = threading.Lock()
        self._left = False

    @property
    def view(self) -> NetworkView | None:
        """The CLADNet as this host knows it, from any thread."""
        version, (known, view) = self._version, self._shown
        if known != version:
            view = self._peering.view(self._specification, self._command)
            self._shown = version, view
        return view

    @property
    def datapath(self) -> Datapath | None:
        """The driver of its interface; None while it has none."""
        return self._keeper.datapath

    @property
    def is_active(self) -> bool:
        """Whether the CLADNet is known and not being deleted."""
        specification = self._specification
        return specification is not None and specification.state == CladnetState.ACTIVE and not self._left

    def come_up(self) -> None:
        """Be what the cache says, whether etcd is there or not."""
        view = self._cache.load()
        if view is None:
            return
        self._specification, self._command = view.specification, view.command
        self._rules.update((rule.host, rule) for rule in view.rules)
        self._version += 1
        try:
            with self._applying:
                self._use_key()
                self._apply(self._peering.update(self._specification, self._command, self._rules))
            log.info("%s: up from the cached rules on %s", self._group, self._interface)
        except LarvaError as error:
            log.warning("%s: cannot come up from the cached rules: %s", self._group, error)

    def look_at_all(self) -> None:
        """Compare the whole data path at the next look; from any thread."""
        self._keeper.ask_whole()

    def look(self) -> float | None:
        """Bring the data path and the cache up to what etcd says; return the seconds after which to look again."""
        again: float | None = None
        try:
            self._pending |= self._read()
            self.read_at = self._clock()
        except LarvaError as error:  # etcd is away, or forbids it: the tunnel still has to be kept up
            level = logging.INFO if isinstance(error, Unavailable) else logging.WARNING
            log.log(level, "%s: going on with the rules known: %s", self._group, error.message)
            again = RETRY_S
        with self._applying:
            if self._left:
                return None
            try:
                alone = again is not None
                self._note_keys(alone=alone)
                self._pending |= self._notice_moves() if alone else frozenset()
                delta = self._peering.update(self._specification, self._command, self._pending)
                self._pending = frozenset()
                self._apply(delta, alone=alone)
                greeted, self._greeted = self._greeted, set()
                greet(greeted)
            finally:
                due = self._save_in_time()
        return due if again is None else again if due is None else min(again, due)

    @property
    def is_ahead(self) -> bool:
        """Whether the next key is used before this host's own rule has it."""
        return self._ahead_since is not None

    def go_ahead(self) -> None:
        """Use the next key from now on; look() goes back to the present one if nobody takes the change up in time."""
        self._set_ahead(self._clock())

    def step_back(self) -> None:
        """Use the key that this host's own rule has."""
        if self.is_ahead:
            self._set_ahead(None)

    def _set_ahead(self, since: float | None) -> None:
        with self._applying:
            self._ahead_since = since
            self._use_key()
            if not self._left and self.datapath is not None:
                self._apply(Delta((), ()))

    def _use_key(self) -> None:
        if self._ring is not None:
            self._peering.use(self._ring.private(self._rules.get(self._host), ahead=self.is_ahead))

    def _note_keys(self, *, alone: bool) -> None:
        """Tell the ring what this host's own rule says, and go by the rule again if nobody took up what was told.

        While the control plane does not answer nobody can know whether it did, and the next key stays.
        """
        if self._ring is None:
            return
        own, (_, following) = self._rules.get(self._host), self._ring.keys()
        if self._ahead_since is not None and not alone:
            taken_up = own is not None and following is not None and own.public_key == following.public
            if taken_up or self._clock() - self._ahead_since > AHEAD_S:
                self._ahead_since = None
        encrypts = self._specification is not None and self._specification.encryption is Encryption.ON
        absent = (  # without encryption nobody is reached by a key, and who is away misses none
            following is not None
            and encrypts
            and any(rule.state == HostState.UNREACHABLE for rule in self._rules.values())
        )
        self._ring.note(self._group, own, absent=absent, certain=not alone)
        self._use_key()

    def _notice_moves(self) -> frozenset[str]:
        """The hosts that use their next key, as their handshakes tell; their rules say so from now on."""
        if self.datapath is None or not any(rule.next_public_key for rule in self._rules.values()):
            return frozenset()
        found = {rule.host: rule for rule in moved(self._rules.values(), self.datapath.stats())}
        self._rules.update(found)
        self._version += bool(found)
        return frozenset(found)

    def flush(self) -> None:
        """Have on disk what is known."""
        with self._applying:
            if self._unsaved and not self._left:
                self._save()

    def leave(self) -> None:
        """Take the interface down and forget the rules; look() does nothing from now on."""
        with self._applying:
            self._left = True
            self._specification = None
            self._rules.clear()
            self._version += 1
            self._keeper.down()
            self._cache.forget()

    def _read(self) -> frozenset[str]:
        """Take in what etcd says; return the hosts whose rules may be others."""
        mirror = self._mirror
        changed = mirror.catch_up()
        terms = self._specification, self._command
        if not changed and (self._keeper.is_whole_due or not self._in_contact):
            self._in_contact = False  # unless it answers
            self._store.exists(self._configuration_key)  # nothing new: is etcd there at all?
        self._in_contact = True
        self._read_terms()
        first, self._from_etcd = not self._from_etcd, True
        if first or self._keeper.is_whole_due:
            # What the cache said may be of hosts that are gone, and what counts may have become another.
            changed |= {*mirror.revisions(self._rules_prefix), *(self._rules_prefix + host for host in self._rules)}
        hosts = (host for key in changed if (host := keys.child(self._rules_prefix, key)) is not None)
        others = self._take_up(hosts)
        if others or first or terms != (self._specification, self._command):
            self._unsaved = True
            self._version += 1
        return others

    def _take_up(self, hosts: Iterable[str]) -> frozenset[str]:
        """Have the rules of these hosts as they are in etcd, where they count; return those that are others now."""
        read = {}
        for host in hosts:
            rule = self._mirror.get(self._rules_prefix + host, NetworkingRule)
            read[host] = rule.value if rule is not None and rule.value.host == host else None
        there = [rule for rule in read.values() if rule is not None]
        if self._store.is_signed:
            known = [self._rules[host] for host in read if host in self._rules]
            accepted = accept(there, known, revoked=self._revoked(), now=datetime.now(UTC))
            for host, why in accepted.refused.items():
                log.warning("%s: the rule of %s does not count: %s", self._group, host, why)
            there = list(accepted.rules)
        rules = {rule.host: rule for rule in there}
        others = frozenset(host for host in read if _says(rules.get(host)) != _says(self._rules.get(host)))
        for host in others:
            before, after = self._rules.get(host), rules.get(host)
            if before is not None and after is not None and before.public_key != after.public_key:
                self._greeted.add(after.address)
            if host in rules:
                self._rules[host] = rules[host]
            else:
                del self._rules[host]
        return others

    def _read_terms(self) -> None:
        """The specification and the command; those known where what stands there cannot be read."""
        for key in (self._configuration_key, self._command_key):
            if self._mirror.unreadable(key):
                log.warning("%s: going on with the rules known: %s cannot be read", self._group, key)
        if not self._mirror.unreadable(self._configuration_key):
            specification = self._mirror.get(self._configuration_key, CladnetSpecification)
            if specification is not None and is_earlier(specification.value, self._specification):
                log.warning("%s: going on with the specification known: etcd has an earlier one", self._group)
            else:
                self._specification = specification.value if specification is not None else None
        if not self._mirror.unreadable(self._command_key):
            command = self._mirror.get(self._command_key, ControlCommand)
            self._command = command.value.command if command is not None else Command.UP

    def _apply(self, delta: Delta, *, alone: bool = False) -> None:
        tunnel, specification = self._peering.tunnel, self._specification
        if tunnel is None or specification is None:
            self._keeper.down()
            return
        peers, encrypted = self._peering.peers, specification.encryption
        let_in = tuple(doors(peers, self._rules.values())) if alone and encrypted is Encryption.ON else ()
        self._keeper.keep(tunnel, peers.values(), delta, (specification.datapath, encrypted), besides=let_in)

    def _save_in_time(self) -> float | None:
        """Save what changed, or return the seconds until it is time."""
        if not self._unsaved:
            return None
        left = self._saved_at + min(SAVE_S, SAVE_S_PER_RULE * len(self._rules)) - self._clock()
        if left > 0 and self._specification is not None:
            return left
        self._save()
        return None

    def _save(self) -> None:
        view = self.view
        if view is None:
            self._cache.forget()
        else:
            self._cache.save(view)
        self._unsaved, self._saved_at = False, self._clock()


def _says(rule: NetworkingRule | None) -> tuple[object, ...] | None:
    """A rule with what equality takes no notice of: whose word it is, and until when."""
    return (rule, rule.certificate, rule.valid_until) if rule is not None else None
