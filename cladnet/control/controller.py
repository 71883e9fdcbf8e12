"""The controller: gives hosts addresses and rules, marks those that vanished, empties deleted CLADNets.

Any number of controllers may run at once: each step is one transaction on the revisions it was decided on. What is
decided on is a mirror of etcd: a look reads nothing of it, however many hosts there are.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from ipaddress import AddressValueError, IPv4Address
from typing import TypeVar

from cladnet import keys
from cladnet.control import notary
from cladnet.control.planning import World, plan
from cladnet.enrol.membership import enrolled_hosts, leave_group
from cladnet.etcd.mirror import Mirror
from cladnet.etcd.reconciler import Reconciler
from cladnet.etcd.store import Condition, Delete, Operation, Put, Store, Versioned
from cladnet.model import (
    CladnetSpecification,
    CladnetState,
    CloudOverride,
    ControlCommand,
    EnrolledHost,
    HostNetworkInformation,
    NetworkingRule,
    ReleasedAddress,
)
from cladnet.networks import under_their_ids
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
    keys.QUALITY, keys.PRESENCE, keys.CLOUD_OVERRIDE,
)  # fmt: skip
MIRRORED = {
    keys.CONFIGURATION: CladnetSpecification, keys.HOST_INFORMATION: HostNetworkInformation, keys.ADDRESS: str,
    keys.RELEASED: ReleasedAddress, keys.RULE: NetworkingRule, keys.COMMAND: ControlCommand, keys.PRESENCE: str,
    keys.CLOUD_OVERRIDE: CloudOverride, keys.ENROLLED_HOST: EnrolledHost,
}  # fmt: skip


class Controller:
    """One controller; run() until `stop` is set.

    Args:
        grace_s: seconds for which a host's presence may be missing before it is marked unreachable.
        clock: seconds that only grow.
        today: the wall clock, for what has to outlive the controller.
        revoked: serial numbers of certificates that are good no more, as this control node keeps them by itself.
    """

    def __init__(
        self,
        store: Store,
        *,
        grace_s: float = GRACE_S,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], datetime] = lambda: datetime.now(UTC),
        revoked: Callable[[], AbstractSet[str]] = frozenset,
    ) -> None:
        self._store = store
        self._mirror = Mirror(store, MIRRORED)
        self._revoked = revoked
        self._grace_s = grace_s
        self._clock = clock
        self._today = today
        self._due: dict[str, float] = {}
        """CLADNet → when it has to be looked at though nothing changes."""
        self._missing_since: dict[tuple[str, str], float] = {}
        self._next_sweep = clock()

    def run(self, stop: threading.Event) -> None:
        """Reconcile until `stop` is set."""
        Reconciler(
            self._store, self._mirror.prefixes, self.reconcile, name="controller", on_item=self._mirror.note
        ).run(stop)

    def reconcile(self) -> float | None:
        """Bring what changed into order, or every CLADNet; return the seconds after which one has to be looked at."""
        changed = self._mirror.catch_up()
        configurations = under_their_ids(self._mirror.children(keys.CONFIGURATION, CladnetSpecification))
        sweeping = self._clock() >= self._next_sweep
        touched = {group for key in changed for group in self._groups_of(key)}
        for group in configurations if sweeping or not changed else touched & configurations.keys():
            self._due[group] = self._clock()  # what fails in between is looked at again
        for group in [group for group, due in self._due.items() if due <= self._clock()]:
            self._look_at(group, configurations)
        self._missing_since = {key: since for key, since in self._missing_since.items() if key[0] in configurations}
        if sweeping:
            self._sweep(configurations.keys())
            self._next_sweep = self._clock() + SWEEP_S
        return min((due - self._clock() for due in self._due.values()), default=None)

    def _groups_of(self, key: str) -> Iterable[str]:
        """The CLADNets that a key is about."""
        if key.startswith(keys.ENROLLED_HOST):
            record = self._mirror.get(key, EnrolledHost)  # that of one that left them is told by what goes with it
            return record.value.groups if record is not None else ()
        return (_group(prefix, key) for prefix in MIRRORED if key.startswith(prefix))

    def _look_at(self, group: str, configurations: Mapping[str, Versioned[CladnetSpecification]]) -> None:
        """Bring one CLADNet into order, and note when it has to be looked at next."""
        remaining: float | None = None
        try:
            if group in configurations:
                remaining = self._bring_into_order(group, configurations[group])
        except Unavailable:
            raise
        except LarvaError as error:  # what is wrong with one CLADNet must not stop the work for the others
            log.warning("%s: %s", group, error.message)
            remaining = RETRY_S
        del self._due[group]
        if remaining is not None:
            self._due[group] = self._clock() + remaining

    def _bring_into_order(self, group: str, configuration: Versioned[CladnetSpecification]) -> float | None:
        if configuration.value.state == CladnetState.DELETING:
            self._empty(group, configuration)
            return None
        return self._keep(configuration)

    def _keep(self, configuration: Versioned[CladnetSpecification]) -> float | None:
        world, remaining = self._look(configuration)
        for step in plan(world):
            try:
                done = self._mirror.transact(step.conditions, self._warranted(world, step.operations))
            except InvalidInput as error:  # what one host says must not stop the work for the others
                log.warning("%s: cannot %s: %s", configuration.value.id, step.why, error.message)
                continue
            STEPS.add(result="done" if done else "overtaken")
            log.info("%s: %s%s", configuration.value.id, step.why, "" if done else ": overtaken")
        return remaining  # a step that was overtaken needs no haste: what overtook it wakes us

    def _warranted(self, world: World, operations: Iterable[Operation]) -> list[Operation]:
        """The same, with every rule saying how long it is good; the store signs it."""
        return [
            Put(each.key, self._with_warrant(world, each.value))
            if isinstance(each, Put) and isinstance(each.value, NetworkingRule)
            else each
            for each in operations
        ]

    def _with_warrant(self, world: World, rule: NetworkingRule) -> NetworkingRule:
        if not self._store.is_signed:
            return rule
        before = world.rules.get(rule.host)
        information = world.informations[rule.host].value
        return notary.warranted(rule, before.value if before else None, information, now=self._today())

    def _look(self, configuration: Versioned[CladnetSpecification]) -> tuple[World, float | None]:
        group, mirror = configuration.value.id, self._mirror
        rules, claims, released = keys.rules_of(group), keys.addresses_of(group), keys.released_of(group)
        informations = mirror.children(keys.hosts_of(group), HostNetworkInformation)
        present = frozenset(keys.last_segment(key) for key in mirror.revisions(keys.presences_of(group)))
        commands = mirror.children(keys.commands_of(group), ControlCommand)
        lost, remaining = self._lost(group, informations.keys() - present)
        objections, due = self._warrants(group, informations, mirror.children(rules, NetworkingRule))
        world = World(
            specification=configuration,
            informations=informations,
            claims=_by_address(mirror.list(claims, str)),
            released=_by_address(mirror.list(released, ReleasedAddress)),
            rules=mirror.children(rules, NetworkingRule),
            commands={host: command.value for host, command in commands.items()},
            present=present,
            now=self._today(),
            lost=lost,
            clouds=mirror.children(keys.cloud_overrides_of(group), CloudOverride),
            unreadable={
                key: revision
                for prefix in (rules, claims, released)
                for key, revision in mirror.unreadable(prefix).items()
                if keys.child(prefix, key) or _address(key)  # named as they should be
            },
            objections=objections,
            due=due,
        )
        return world, remaining

    def _warrants(
        self,
        group: str,
        informations: Mapping[str, Versioned[HostNetworkInformation]],
        rules: Mapping[str, Versioned[NetworkingRule]],
    ) -> tuple[Mapping[str, notary.Objection], AbstractSet[str]]:
        """For whom the system does not give its word, and to whom it has to give it anew."""
        if not self._store.is_signed:
            return {}, frozenset()
        records, now = self._mirror.children(keys.ENROLLED_HOST, EnrolledHost), self._today()
        objections = notary.objections(group, informations, records, revoked=self._revoked(), now=now)
        return objections, notary.due(informations, rules, objections, now=now)

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
            found = self._mirror.revisions(prefix) if prefix in MIRRORED else self._store.revisions(prefix)
            for key, revision in found.items():
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
