"""Whether the system gives its word for a host's place in a CLADNet, and for how long: pure functions."""

from collections.abc import Container, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ec

from cladnet.enrol import authority
from cladnet.etcd.store import Versioned
from cladnet.model import EnrolledHost, HostNetworkInformation, NetworkingRule
from cladnet.trust.trust import read_carried
from larva.errors import MalformedData

VALIDITY = timedelta(days=7)
"""A rule that is renewed no more, since its host left, can be written back into etcd for so long at most."""
RENEWAL = VALIDITY / 2
_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Objection:
    """Why a host gets no rule, and none is renewed."""

    why: str
    final: bool
    """The rule that it may have goes too; otherwise it stays until it expires."""


@lru_cache(maxsize=8192)
def _read(certificate: str) -> tuple[str, str, datetime]:
    """Serial number, digest of the key and end of a certificate; that it is the CA's was seen as it was read."""
    read = read_carried(certificate)
    public = read.public_key()
    digest = authority.key_digest(public) if isinstance(public, ec.EllipticCurvePublicKey) else ""
    return f"{read.serial_number:x}", digest, read.not_valid_after_utc


def objections(
    group: str,
    informations: Mapping[str, Versioned[HostNetworkInformation]],
    records: Mapping[str, Versioned[EnrolledHost]],
    *,
    revoked: AbstractSet[str],
    now: datetime,
) -> dict[str, Objection]:
    """Return the hosts of a CLADNet for which the system does not give its word."""
    found = {}
    for host, item in informations.items():
        record = records[host].value if host in records else None
        problem = objection(group, item.value, record, revoked=revoked, now=now)
        if problem is not None:
            found[host] = problem
    return found


def due(
    informations: Mapping[str, Versioned[HostNetworkInformation]],
    rules: Mapping[str, Versioned[NetworkingRule]],
    objected: Container[str],
    *,
    now: datetime,
) -> frozenset[str]:
    """Return the hosts whose rule has to be renewed, even if it says nothing new."""
    return frozenset(
        host
        for host, rule in rules.items()
        if host in informations and host not in objected and is_due(rule.value, informations[host].value, now=now)
    )


def objection(
    group: str,
    information: HostNetworkInformation,
    record: EnrolledHost | None,
    *,
    revoked: AbstractSet[str],
    now: datetime,
) -> Objection | None:
    """Return why the system cannot give its word for what a host says of itself; None if it can.

    Args:
        record: its enrolment, which like the information was seen to be signed.
        revoked: serial numbers of certificates that are good no more.
    """
    if record is None or record.host != information.host or group not in record.groups:
        return Objection("it is not enrolled in this CLADNet", final=True)
    try:
        serial, digest, until = _read(information.certificate)
    except MalformedData as error:
        return Objection(error.message, final=False)
    if serial in revoked:
        return Objection("its certificate was revoked", final=True)
    if digest != record.key_digest:
        return Objection("its certificate is for another key than the one it enrolled with", final=False)
    if until <= now:
        return Objection(f"its certificate expired on {until:%Y-%m-%d}", final=False)
    return None


def is_due(rule: NetworkingRule, information: HostNetworkInformation, *, now: datetime) -> bool:
    """Whether a rule has to be renewed: its half-time is over, or its host has another certificate."""
    serial, _, _ = _read(information.certificate)
    return rule.certificate != serial or rule.valid_until is None or rule.valid_until - now < RENEWAL


def warranted(
    rule: NetworkingRule, before: NetworkingRule | None, information: HostNetworkInformation, *, now: datetime
) -> NetworkingRule:
    """Return a rule with the certificate it stands and falls with, good for a while, and longer than the one before."""
    serial, _, _ = _read(information.certificate)
    valid_until = now + VALIDITY
    if before is not None and before.valid_until is not None:
        valid_until = max(valid_until, before.valid_until + _TICK)
    return replace(rule, certificate=serial, valid_until=valid_until)
