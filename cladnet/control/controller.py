"""The controller: gives hosts addresses and rules, marks those that vanished, empties deleted CLADNets.

Any number of controllers may run at once: each step is one transaction on the revisions it was decided on.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from ipaddress import AddressValueError, IPv4Address
from typing import Any, TypeVar

from cladnet import keys
from cladnet.control.planning import World, plan
from cladnet.enrol.membership import enrolled_hosts, leave_group
from cladnet.etcd.reconciler import Reconciler
from cladnet.etcd.store import Condition, Delete, Store, Versioned
from cladnet.model import (
    CladnetSpecification,
    CladnetState,
    CloudFacts,
    ControlCommand,
    HostNetworkInformation,
    NetworkingRule,
    ReleasedAddress,
)
from cladnet.networks import specifications
from larva.errors import InvalidInput, LarvaError, NotFound, Unavailable
from larva.metrics import REGISTRY

log = logging.getLogger(__name__)

T = TypeVar("T")

GRACE_S = 10.0
"""A host is called unreachable when its presence has been missing for this long; the lease's own time comes on top."""
SWEEP_S = 30.0
RETRY_S = 10.0
STEPS = REGISTRY.counter("larva_controller_steps_total", "Transactions tried; one that is overtaken changes nothing.")
_PER_TRANSACTION = 100
"""etcd's default bound is 128 operations."""
_PER_GROUP = (
    keys.HOST_INFORMATION, keys.ADDRESS, keys.RELEASED, keys.RULE, keys.COMMAND, keys.TEST_SPECIFICATION, keys.STATUS,
    keys.PRESENCE, keys.CLOUD_OVERRIDE,
)  # fmt: skip
WATCHED = (
    keys.CONFIGURATION, keys.HOST_INFORMATION, keys.ADDRESS, keys.RULE, keys.COMMAND, keys.PRESENCE,
    keys.CLOUD_OVERRIDE,
)  # fmt: skip


class Controller:
    """One controller; run() until `stop` is set.

    Args:
        grace_s: seconds for which a host's presence may be missing before it is marked unreachable.
        clock: seconds that only grow.
        today: the wall clock, for what has to outlive the controller.
    """

    def __init__(
        self,
        store: Store,
        *,
        grace_s: float = GRACE_S,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._grace_s = grace_s
        self._clock = clock
        self._today = today
        self._missing_since: dict[tuple[str, str], float] = {}
        self._next_sweep = clock()

    def run(self, stop: threading.Event) -> None:
        """Reconcile until `stop` is set."""
        Reconciler(self._store, WATCHED, self.reconcile, name="controller").run(stop)

    def reconcile(self) -> float | None:
        """Bring every CLADNet into order once; return the seconds after which a missing host's grace ends."""
        configurations = specifications(self._store)
        again: float | None = None
        for group, configuration in configurations.items():
            try:
                remaining = self._bring_into_order(group, configuration)
            except Unavailable:
                raise
            except LarvaError as error:  # what is wrong with one CLADNet must not stop the work for the others
                log.warning("%s: %s", group, error.message)
                remaining = RETRY_S
            if remaining is not None:
                again = remaining if again is None else min(again, remaining)
        self._missing_since = {key: since for key, since in self._missing_since.items() if key[0] in configurations}
        if self._clock() >= self._next_sweep:
            self._sweep(configurations.keys())
            self._next_sweep = self._clock() + SWEEP_S
        return again

    def _bring_into_order(self, group: str, configuration: Versioned[CladnetSpecification]) -> float | None:
        if configuration.value.state == CladnetState.DELETING:
            self._empty(group, configuration)
            return None
        return self._keep(configuration)

    def _keep(self, configuration: Versioned[CladnetSpecification]) -> float | None:
        world, remaining = self._look(configuration)
        for step in plan(world):
            try:
                done = self._store.transact(step.conditions, step.operations)
            except InvalidInput as error:  # what one host says must not stop the work for the others
                log.warning("%s: cannot %s: %s", configuration.value.id, step.why, error.message)
                continue
            STEPS.add(result="done" if done else "overtaken")
            log.info("%s: %s%s", configuration.value.id, step.why, "" if done else ": overtaken")
        return remaining  # a step that was overtaken needs no haste: what overtook it wakes us

    def _look(self, configuration: Versioned[CladnetSpecification]) -> tuple[World, float | None]:
        group, store = configuration.value.id, self._store
        rules = store.children(keys.rules_of(group), NetworkingRule)
        claims = store.list(keys.addresses_of(group), str).items
        released = store.list(keys.released_of(group), ReleasedAddress).items
        informations = store.children(keys.hosts_of(group), HostNetworkInformation)
        present = frozenset(keys.last_segment(key) for key in store.revisions(keys.presences_of(group)))
        commands = store.children(keys.commands_of(group), ControlCommand)
        clouds = store.children(keys.cloud_overrides_of(group), CloudFacts)
        lost, remaining = self._lost(group, informations.keys() - present)
        world = World(
            specification=configuration,
            informations=informations,
            claims=_by_address(claims),
            released=_by_address(released),
            rules=rules,
            commands={host: command.value for host, command in commands.items()},
            present=present,
            now=self._today(),
            lost=lost,
            clouds=clouds,
            unreadable=self._unreadable(rules.values(), keys.rules_of(group))
            | self._unreadable(claims, keys.addresses_of(group))
            | self._unreadable(released, keys.released_of(group)),
        )
        return world, remaining

    def _unreadable(self, found: Iterable[Versioned[Any]], prefix: str) -> dict[str, int]:
        """Keys under a prefix, named as they should be, whose values were left out when they were listed."""
        readable = {item.key: item.revision for item in found}
        return {
            key: revision
            for key, revision in self._store.revisions(prefix).items()
            if key not in readable and (keys.child(prefix, key) or _address(key))
        }

    def _lost(self, group: str, missing: Iterable[str]) -> tuple[frozenset[str], float | None]:
        """Of the missing hosts those whose grace is over, and the seconds until the next one's is."""
        now, absent = self._clock(), set(missing)
        for known in [key for key in self._missing_since if key[0] == group and key[1] not in absent]:
            del self._missing_since[known]
        lost, remaining = set(), None
        for host in absent:
            left = self._missing_since.setdefault((group, host), now) + self._grace_s - now
            if left <= 0:
                lost.add(host)
            else:
                remaining = left if remaining is None else min(remaining, left)
        return frozenset(lost), remaining

    def _empty(self, group: str, configuration: Versioned[CladnetSpecification]) -> None:
        """Delete everything of a CLADNet, its configuration last, and take its hosts out of it."""
        guard = Condition(configuration.key, configuration.revision)
        # Rules go first: that is what makes the agents drop their interfaces.
        prefixes = [keys.RULE, *(prefix for prefix in _PER_GROUP if prefix != keys.RULE)]
        for prefix in prefixes:
            if not self._delete_group(prefix, group, guard):
                return
        for host in enrolled_hosts(self._store):
            if group in host.groups:
                try:
                    leave_group(self._store, host=host.host, group=group)
                except NotFound:
                    log.debug("%s left %s by itself", host.host, group)
        if self._store.transact([guard], [Delete(configuration.key)]):
            log.info("%s: emptied and deleted", group)

    def _sweep(self, known: AbstractSet[str]) -> None:
        """Delete what was written late into a CLADNet that is gone, by an agent that did not know yet."""
        for prefix in _PER_GROUP:
            for key, revision in self._store.revisions(prefix).items():
                group = _group(prefix, key)
                if group not in known:
                    gone = Condition(f"{keys.CONFIGURATION}{group}", 0)
                    self._store.transact([gone, Condition(key, revision)], [Delete(key)])

    def _delete_group(self, prefix: str, group: str, guard: Condition) -> bool:
        mine = [key for key in self._store.revisions(prefix) if _group(prefix, key) == group]
        for start in range(0, len(mine), _PER_TRANSACTION):
            chunk = mine[start : start + _PER_TRANSACTION]
            if not self._store.transact([guard], [Delete(key) for key in chunk]):
                return False
        return True


def _group(prefix: str, key: str) -> str:
    return key.removeprefix(prefix).split("/", 1)[0]


def _by_address(items: Iterable[Versioned[T]]) -> dict[IPv4Address, Versioned[T]]:
    return {address: item for item in items if (address := _address(item.key)) is not None}


def _address(key: str) -> IPv4Address | None:
    try:
        return IPv4Address(keys.last_segment(key))
    except AddressValueError:
        log.warning("left out: %s is no address", key)
        return None
