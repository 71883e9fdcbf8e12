"""The joining host's side of enrolment: pin the CA, send a request for a fresh key, keep the certificate."""

import hmac
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from cladnet.enrol import authority, console_client
from cladnet.enrol.console_client import TemporaryFailure
from cladnet.enrol.enrolment import Enrolment
from cladnet.enrol.join_file import Join, JoinFile
from cladnet.member import Member, member_file, prepare_state, tls_files
from larva import backoff, codec, files
from larva.errors import Conflict, MalformedData, Refused, Unavailable

log = logging.getLogger(__name__)

PATIENCE_S = 840.0
"""How long a booting VM waits for its control node, which may boot at the same time; larva-boot.service allows more."""

RENEWAL = timedelta(days=60)
"""A certificate with less than this left is asked for anew at boot; a server that does not answer then holds nobody up
as long as the old one is good."""


CA_PATH = "/v1/ca.pem"
ENROL_PATH = "/v1/enrol"


class WrongAuthority(Refused):
    """The server shows another CA than the one that was pinned."""

    code = "ca-mismatch"


def enrol(wanted: JoinFile, *, patience_s: float = PATIENCE_S) -> Member:
    """Return this host's membership, enrolling it first if needed.

    Every step is kept on disk and skipped when it is done, so that a call that was killed anywhere is finished by the
    next one; the same key makes the server answer again without counting the token's use twice.

    Args:
        wanted: a join file with `[join]`.
        patience_s: seconds for which a server that does not answer is tried again.

    Raises:
        WrongAuthority: the server is not the one that was meant.
        Refused, Conflict, InvalidInput: the server refuses; trying again would not help.
        Unavailable: it did not answer in time.
    """
    if wanted.join is None:
        raise ValueError("a host without [join] founds, it does not enrol")
    known = _enrolled(wanted.join)
    host = known.host if known else wanted.host_name()
    answer = None
    if known is None:
        prepare_state()
        answer = _ask(wanted, wanted.join, host, patience_s=patience_s)
    elif (left := _left(tls_files().certificate)) < RENEWAL:
        try:
            answer = _ask(wanted, wanted.join, host, patience_s=patience_s if left <= timedelta(0) else 0.0)
        except Unavailable as error:
            if left <= timedelta(0):
                raise
            log.warning("the certificate ends in %d days and cannot be renewed now: %s", left.days, error.message)
    if answer is not None:
        files.write_if_changed(tls_files().ca, answer.ca_pem)
        files.write_if_changed(tls_files().certificate, answer.certificate_pem)
        groups: tuple[str, ...] = (answer.group,) if answer.group else ()
        endpoints = answer.etcd_endpoints
        log.info("enrolled as %s in %s", host, answer.group)
    elif known is not None:
        groups, endpoints = known.groups, known.etcd_endpoints
    member = Member(
        host=host,
        groups=groups,
        roles=wanted.roles,
        server=wanted.join.server,
        etcd_endpoints=endpoints,
        cloud=wanted.cloud,
        storage_devices=wanted.storage.devices,
    )
    member.save()
    return member


def _enrolled(join: Join) -> Member | None:
    if not member_file().exists():
        return None
    member = Member.load()
    pem = tls_files().ca.read_text()
    if not hmac.compare_digest(authority.fingerprint_of(pem, source=str(tls_files().ca)), join.ca):
        raise Conflict(
            f"this host is enrolled with another system, at {member.server}",
            hint=f"to leave that one for good, delete {member_file()} and {tls_files().ca.parent}, then join again",
        )
    return member


def _left(certificate: Path) -> timedelta:
    """How long the certificate is still good."""
    ends = authority.read_certificate(certificate.read_text(), source=str(certificate)).not_valid_after_utc
    return ends - datetime.now(UTC)


def _ask(wanted: JoinFile, join: Join, host: str, *, patience_s: float) -> Enrolment:
    key = authority.read_or_create_key(tls_files().key)
    body = codec.encode(
        {"token": join.token, "csr": authority.signing_request(key, host), "host": host, "roles": wanted.roles}
    )

    def attempt() -> Enrolment:
        ca_pem = console_client.get_unverified(join.server, CA_PATH).decode(errors="replace")
        found = authority.fingerprint_of(ca_pem, source=join.server + CA_PATH)
        if not hmac.compare_digest(found, join.ca):
            raise WrongAuthority(
                f"{join.server} shows another CA than the one to join: wanted {join.ca}, found {found}",
                hint="check the address and the fingerprint; if both are right, somebody stands in between",
            )
        answer = console_client.post_verified(join.server, ENROL_PATH, ca_pem=ca_pem, body=body)
        return _checked(codec.decode(answer, Enrolment, source=join.server + ENROL_PATH), join, host, key)

    return backoff.retry(attempt, on=TemporaryFailure, patience_s=patience_s, doing=f"enrol at {join.server}")


def _checked(answer: Enrolment, join: Join, host: str, key: ec.EllipticCurvePrivateKey) -> Enrolment:
    """Nothing is written to disk that would not work: the right CA, our name, our key, somewhere to go."""
    source = join.server + ENROL_PATH
    certificate = authority.read_certificate(answer.certificate_pem, source=source)
    if not hmac.compare_digest(authority.fingerprint_of(answer.ca_pem, source=source), join.ca):
        raise WrongAuthority(f"{source}: the answer holds another CA than the one that was pinned")
    if answer.host != host or certificate.public_key() != key.public_key() or not answer.etcd_endpoints:
        raise MalformedData(f"{source}: the answer is not for this host's request")
    return answer
