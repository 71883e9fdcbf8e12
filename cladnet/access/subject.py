"""What etcd should know of a host as its user, and the calls that bring it there: pure functions."""

from collections.abc import Callable
from dataclasses import dataclass

from cladnet.access.etcd_auth import EtcdAuth
from cladnet.access.permissions import Permission
from cladnet.model import EnrolledHost


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
