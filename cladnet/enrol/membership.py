"""Who is in the system and in which CLADNets: the enrolment records, read and changed."""

from dataclasses import replace
from datetime import UTC, datetime

from cladnet import keys
from cladnet.etcd.store import Condition, Delete, Operation, Put, Store, Versioned
from cladnet.model import CladnetSpecification, CladnetState, EnrolledHost, RevokedCertificate
from larva.errors import Conflict, NotFound

_ATTEMPTS = 20
"""Transactions that lost a race are tried again."""


def enrolled_hosts(store: Store) -> tuple[EnrolledHost, ...]:
    """Return every host that holds a client certificate."""
    return tuple(item.value for item in store.list(keys.ENROLLED_HOST, EnrolledHost).items)


def remove_host(store: Store, host: str) -> None:
    """Take a host out of the system and of its CLADNets, and free its name; NotFound if there is none.

    The controller, watching, frees its addresses and rules and makes its certificates useless.
    """
    for _ in range(_ATTEMPTS):
        found = _require_host(store, host)
        gone: list[Operation] = [Delete(found.key)]
        revoked = RevokedCertificate(host=host, revoked_at=datetime.now(UTC))
        serials = {found.value.certificate_serial, *found.value.earlier_serials}
        gone += [Put(keys.revoked(serial), revoked) for serial in serials if keys.is_segment(serial)]
        for group in filter(keys.is_segment, found.value.groups):
            gone += [Delete(keys.host_information(group, host)), Delete(keys.presence(group, host))]
        if store.transact([Condition(found.key, found.revision)], gone):
            return
    raise Conflict(f"somebody else keeps changing {host}", hint="try again")


def join_group(store: Store, *, host: str, group: str) -> EnrolledHost:
    """Put a host into a further CLADNet; its agent, watching, joins. No error if it is in it already.

    Raises:
        NotFound: no such host or CLADNet.
    """
    for _ in range(_ATTEMPTS):
        found = _require_host(store, host)
        if group in found.value.groups:
            return found.value
        network = require_active(store, group)
        changed = replace(found.value, groups=(*found.value.groups, group))
        conditions = [Condition(found.key, found.revision), Condition(network.key, network.revision)]
        if store.transact(conditions, [Put(found.key, changed)]):
            return changed
    raise Conflict(f"somebody else keeps changing {host}", hint="try again")


def leave_group(store: Store, *, host: str, group: str) -> EnrolledHost:
    """Take a host out of a CLADNet; the controller frees its address. NotFound if it is not in it."""
    for _ in range(_ATTEMPTS):
        found = _require_host(store, host)
        if group not in found.value.groups:
            raise NotFound(f"{host} is not in {group}", hint="`larva enrol hosts` shows who is where")
        changed = replace(found.value, groups=tuple(each for each in found.value.groups if each != group))
        gone = [Delete(keys.host_information(group, host)), Delete(keys.presence(group, host))]
        if store.transact([Condition(found.key, found.revision)], [Put(found.key, changed), *gone]):
            return changed
    raise Conflict(f"somebody else keeps changing {host}", hint="try again")


def require_active(store: Store, group: str) -> Versioned[CladnetSpecification]:
    """Return a CLADNet that hosts may join; NotFound if there is none, or it is being deleted."""
    found = store.get(keys.configuration(group), CladnetSpecification)
    if found is None or found.value.state is not CladnetState.ACTIVE:
        raise NotFound(f"there is no CLADNet {group}", hint="`larva net list` shows them, `larva net create` makes one")
    return found


def _require_host(store: Store, host: str) -> Versioned[EnrolledHost]:
    found = store.get(keys.enrolled_host(host), EnrolledHost)
    if found is None:
        raise NotFound(f"there is no host {host}", hint="`larva enrol hosts` shows them")
    return found
