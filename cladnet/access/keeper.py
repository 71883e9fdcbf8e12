"""Access to etcd: every enrolled host is a user with a role of its own, kept so by whoever holds root's certificate.

Users and roles are no keys: they cannot be guarded by revisions or watched. So they are always derived anew from the
enrolment records, and whoever lost a race (two controllers, or one and an enrolment) looks again.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from cladnet import keys
from cladnet.access import permissions
from cladnet.access.etcd_auth import ROOT, EtcdAuth
from cladnet.access.permissions import EVERYTHING, Permission, Source
from cladnet.etcd.reconciler import Reconciler
from cladnet.etcd.store import Store
from cladnet.model import EnrolledHost
from larva.errors import Conflict, LarvaError, Unavailable

log = logging.getLogger(__name__)

AUDIT_S = 600.0
"""So often every role is read again, in case somebody changed it behind our back; etcd logs such a read as a write."""
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Subject:
    """What etcd should know of one host."""

    user: str
    role: str
    permissions: frozenset[Permission]


@dataclass(frozen=True, slots=True)
class Actual:
    """What etcd knows of it; None where there is no such user or role."""

    roles: frozenset[str] | None
    permissions: frozenset[Permission] | None


@dataclass(frozen=True, slots=True)
class Step:
    """One call of etcd's Auth service, in words and as a deed."""

    what: str
    do: Callable[[EtcdAuth], None]


def subject_of(host: EnrolledHost, granted: frozenset[Permission]) -> Subject:
    """Return what etcd should know of a host: its user is the name in its certificate, and so is its role.

    A role named after the host would give its rights back to the certificate of a removed host of that name.
    """
    user = host.user or host.host
    return Subject(user, user, granted)


def plan(wanted: Subject, actual: Actual) -> tuple[Step, ...]:
    """Return the calls that make a host's user and role what they should be; none if they are.

    What is too much goes first, and a new user gets its role last: it never has half of its rights.
    """
    user, role = wanted.user, wanted.role
    steps = [_take(user, each) for each in sorted((actual.roles or frozenset()) - {role})]
    has = actual.permissions or frozenset()
    places = {(one.key, one.range_end) for one in wanted.permissions}
    steps += [_revoke(role, one) for one in sorted(has) if (one.key, one.range_end) not in places]
    if actual.permissions is None:
        steps.append(Step(f"add role {role}", lambda auth: auth.add_role(role)))
    steps += [_grant(role, one) for one in sorted(wanted.permissions - has)]
    if actual.roles is None:
        steps.append(Step(f"add user {user}", lambda auth: auth.add_user(user)))
    if role not in (actual.roles or frozenset()):
        steps.append(Step(f"give {user} {role}", lambda auth: auth.give_role(user, role)))
    return tuple(steps)


def _take(user: str, role: str) -> Step:
    return Step(f"take {role} from {user}", lambda auth: auth.take_role(user, role))


def _revoke(role: str, permission: Permission) -> Step:
    return Step(f"revoke {permission} of {role}", lambda auth: auth.revoke(role, permission))


def _grant(role: str, permission: Permission) -> Step:
    return Step(f"grant {role} {permission}", lambda auth: auth.grant(role, permission))


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

    def reconciler(self) -> Reconciler:
        """The loop that keeps access right as hosts come, go and change."""
        watched = [keys.ENROLLED_HOST, *(prefix for source in self._sources for prefix in source.watched)]
        return Reconciler(self._store, watched, self.reconcile, name="access")

    def reconcile(self) -> float | None:
        """Bring users and roles into order once and switch access control on if it is off.

        Raises:
            Conflict: somebody else does the same right now; look again.
        """
        if self._clock() >= self._next_audit:
            self._settled.clear()
            self._next_audit = self._clock() + AUDIT_S
        self._ensure_root()
        hosts, rights = self._hosts(), [source.read(self._store) for source in self._sources]
        wanted = {
            subject.user: subject
            for host in hosts.values()
            if (subject := subject_of(host, permissions.of_host(host, rights))).user != ROOT
        }
        self._drop_strangers(wanted)
        failed: LarvaError | None = None
        for subject in wanted.values():
            try:
                self._settle(subject)
            except Unavailable:
                raise
            except LarvaError as error:  # one host's trouble must not keep the others out
                failed = failed or error
        if any(EVERYTHING in subject.permissions for subject in wanted.values()):
            self._auth.enable()
        else:
            log.warning("access control stays off: no control node is enrolled yet, it would lock everybody out")
        if failed is not None:
            raise failed
        return None

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
        if ROOT not in self._auth.users():
            self._auth.add_user(ROOT)
        if ROOT not in self._auth.roles_of(ROOT):
            self._auth.give_role(ROOT, ROOT)

    def _drop_strangers(self, wanted: Mapping[str, Subject]) -> None:
        """Delete every user and role that belongs to no enrolled host: etcd is this system's alone."""
        kept = {subject.role for subject in wanted.values()}
        users, roles = self._auth.users(), self._auth.roles()
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
        users, roles = self._auth.users(), self._auth.roles()
        actual = Actual(
            self._auth.roles_of(subject.user) if subject.user in users else None,
            self._auth.permissions_of(subject.role) if subject.role in roles else None,
        )
        for step in plan(subject, actual):
            log.debug("%s", step.what)
            step.do(self._auth)
        self._settled[subject.user] = subject
        log.info("%s may do in etcd what a host of its CLADNets may: %d rights", subject.user, len(subject.permissions))
