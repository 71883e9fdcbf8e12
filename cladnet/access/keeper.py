"""Access to etcd: every enrolled host is a user with a role of its own, kept so by whoever holds root's certificate.

Users and roles are no keys: they cannot be guarded by revisions or watched. So they are always derived anew from the
enrolment records, and whoever lost a race (two controllers, or one and an enrolment) looks again. All are listed at
the start, after a break and now and then; in between a record that changed costs its own user and role, however many
there are.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet

from cladnet import keys
from cladnet.access import permissions
from cladnet.access.etcd_auth import ROOT, EtcdAuth
from cladnet.access.permissions import EVERYTHING, Source
from cladnet.access.subject import Actual, Subject, plan, subject_of
from cladnet.etcd.mirror import Mirror
from cladnet.etcd.reconciler import Reconciler
from cladnet.etcd.store import Event, Relist, Store
from cladnet.model import EnrolledHost
from larva import codec
from larva.errors import Conflict, LarvaError, MalformedData, Unavailable

log = logging.getLogger(__name__)

AUDIT_S = 600.0
"""So often every role is read again, in case somebody changed it behind our back; etcd logs such a read as a write."""
LIST_S = 60.0
"""So long after a change at the latest users and roles are listed: an enrolment that lost a race may have left some."""
_ATTEMPTS = 20


class AccessKeeper:
    """Makes etcd's users and roles fit the enrolment records; any number may run.

    Args:
        store: a connection with root's certificate.
        sources: who may do what.
    """

    def __init__(
        self,
        store: Store,
        sources: Iterable[Source] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._auth = EtcdAuth(store.cluster)
        self._sources = tuple(permissions.sources() if sources is None else sources)
        self._clock = clock
        self._settled: dict[str, Subject] = {}
        self._next_audit = clock()
        self._records = Mirror(store, {keys.ENROLLED_HOST: EnrolledHost})
        self._lock = threading.Lock()
        self._named: set[str] = set()
        """Users that records named since the last look: also those of records that were gone at once."""
        self._pending: set[str] = set()
        """Hosts whose records changed since the last look that succeeded."""
        self._everybody = True
        """Whether every host's rights may have changed."""
        self._next_list = clock()

    def reconciler(self) -> Reconciler:
        """The loop that keeps access right as hosts come, go and change."""
        watched = [keys.ENROLLED_HOST, *(prefix for source in self._sources for prefix in source.watched)]
        return Reconciler(self._store, watched, self._look, name="access", on_item=self._note)

    def _note(self, item: Event | Relist) -> None:
        """Take what the watch gave, from its thread."""
        self._records.note(item)
        with self._lock:
            if isinstance(item, Relist):
                self._next_list = self._clock()
            elif not item.key.startswith(keys.ENROLLED_HOST):
                self._everybody = True
            else:
                self._next_list = min(self._next_list, self._clock() + LIST_S)
                self._named |= _named_by(item)

    def _look(self) -> float | None:
        """Do what reconcile() does, for what changed."""
        with self._lock:  # before the records: whoever is named here and there no more is gone
            named = frozenset(self._named)
        changed = self._records.catch_up()
        self._pending |= {host for key in changed if (host := keys.child(keys.ENROLLED_HOST, key)) is not None}
        with self._lock:
            everybody, self._everybody = self._everybody, False
            whole = self._clock() >= min(self._next_list, self._next_audit)
            self._next_list = float("inf") if whole else self._next_list
        done = False
        try:
            if whole:
                self.reconcile()
            else:
                self._follow(None if everybody else self._pending, named)
            done = True
        finally:
            with self._lock:
                if done:
                    self._named -= named
                else:
                    self._everybody = True
                    self._next_list = self._clock() if whole else self._next_list
        self._pending.clear()
        return None

    def _follow(self, hosts: AbstractSet[str] | None, named: frozenset[str]) -> None:
        """Settle some hosts, or all, and delete the users that records named and name no more."""
        rights = [source.read(self._store) for source in self._sources]
        records = {
            name: item.value
            for name, item in self._records.children(keys.ENROLLED_HOST, EnrolledHost).items()
            if item.value.host == name
        }
        users = {record.user or record.host for record in records.values()}
        for user in sorted((named | self._settled.keys()) - users - {ROOT}):
            self._drop(user)
        wanted = {
            subject.user: subject
            for name, record in records.items()
            if hosts is None or name in hosts
            if (subject := subject_of(record, permissions.of_host(record, rights))).user != ROOT
        }
        self._settle_all(wanted)

    def _drop(self, user: str) -> None:
        """Delete a user and its role, if they are there."""
        if self._auth.roles_of(user) is not None:
            self._auth.delete_user(user)
            log.info("etcd refuses %s from now on", user)
        if self._auth.permissions_of(user) is not None:
            self._auth.delete_role(user)
        self._settled.pop(user, None)

    def reconcile(self) -> None:
        """Bring users and roles into order once and switch access control on if it is off.

        Raises:
            Conflict: somebody else does the same right now; look again.
        """
        if self._clock() >= self._next_audit:
            self._settled.clear()
            self._next_audit = self._clock() + AUDIT_S
        self._ensure_root()
        users, roles = self._auth.users(), self._auth.roles()  # before the records, which are written before them
        hosts, rights = self._hosts(), [source.read(self._store) for source in self._sources]
        wanted = {
            subject.user: subject
            for host in hosts.values()
            if (subject := subject_of(host, permissions.of_host(host, rights))).user != ROOT
        }
        self._drop_strangers(wanted, users, roles)
        if not _has_control(wanted):
            log.warning("access control stays off: no control node is enrolled yet, it would lock everybody out")
        self._settle_all(wanted)

    def _settle_all(self, wanted: Mapping[str, Subject]) -> None:
        failed: LarvaError | None = None
        for subject in wanted.values():
            try:
                self._settle(subject)
            except Unavailable:
                raise
            except LarvaError as error:  # one host's trouble must not keep the others out
                failed = failed or error
        if _has_control(wanted):
            self._auth.enable()
        if failed is not None:
            raise failed

    def settle(self) -> None:
        """reconcile(), whoever else is at it.

        Raises:
            Unavailable: others kept changing the same users and roles.
        """
        for _ in range(_ATTEMPTS):
            try:
                self.reconcile()
            except Conflict as error:
                log.debug("looking again: %s", error.message)
            else:
                return
        raise Unavailable("somebody else keeps changing users and roles of etcd", hint="try again in a moment")

    def admit(self, host: str) -> None:
        """Give one host its rights now, before it gets its certificate; nothing if it was removed meanwhile."""
        key = keys.enrolled_host(host)
        for _ in range(_ATTEMPTS):
            record = self._store.get(key, EnrolledHost)
            if record is None:
                return
            rights = [source.read(self._store) for source in self._sources]
            try:
                self._settle(subject_of(record.value, permissions.of_host(record.value, rights)))
            except Conflict as error:
                log.debug("%s: %s", host, error.message)
                continue
            again = self._store.get(key, EnrolledHost)
            if again is not None and again.revision == record.revision:
                return
        raise Unavailable(f"somebody else keeps changing the rights of {host}", hint="try again in a moment")

    def _hosts(self) -> Mapping[str, EnrolledHost]:
        found = self._store.children(keys.ENROLLED_HOST, EnrolledHost)
        return {name: item.value for name, item in found.items() if item.value.host == name}

    def _ensure_root(self) -> None:
        roles = self._auth.roles_of(ROOT)
        if roles is None:
            self._auth.add_user(ROOT)
        if ROOT not in (roles or ()):
            self._auth.give_role(ROOT, ROOT)

    def _drop_strangers(self, wanted: Mapping[str, Subject], users: frozenset[str], roles: frozenset[str]) -> None:
        """Delete every user and role that belongs to no enrolled host: etcd is this system's alone."""
        kept = {subject.role for subject in wanted.values()}
        for user in sorted(users - wanted.keys() - {ROOT}):
            self._auth.delete_user(user)
            log.info("etcd refuses %s from now on", user)
        for role in sorted(roles - kept - {ROOT}):
            self._auth.delete_role(role)
        self._settled = {
            user: subject for user, subject in self._settled.items() if user in users and subject.role in roles
        }

    def _settle(self, subject: Subject) -> None:
        if self._settled.get(subject.user) == subject:
            return
        self._settled.pop(subject.user, None)
        actual = Actual(self._auth.roles_of(subject.user), self._auth.permissions_of(subject.role))
        for step in plan(subject, actual):
            log.debug("%s", step.what)
            step.do(self._auth)
        self._settled[subject.user] = subject
        log.info("%s may do in etcd what a host of its CLADNets may: %d rights", subject.user, len(subject.permissions))


def _has_control(wanted: Mapping[str, Subject]) -> bool:
    return any(EVERYTHING in subject.permissions for subject in wanted.values())


def _named_by(event: Event) -> set[str]:
    """The user that a record names."""
    if event.value is None:
        return set()
    try:
        record = codec.decode(event.value, EnrolledHost, source=event.key)
    except MalformedData as error:
        log.warning("left out: %s", error)
        return set()
    return {record.user or record.host}
