"""The joining host's side of enrolment: pin the CA, send a request for a fresh key, keep the certificate."""

import hmac
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from cladnet import seal
from cladnet.enrol import authority, console_client, handover
from cladnet.enrol.console_client import TemporaryFailure
from cladnet.enrol.enrolment import Enrolment
from cladnet.enrol.join_file import Join, JoinFile
from cladnet.member import Member, member_file, prepare_state, tls_files
from cladnet.model import Role
from larva import backoff, codec, files
from larva.errors import Conflict, LarvaError, MalformedData, Refused, Unavailable

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


def enrol(wanted: JoinFile, *, patience_s: float = PATIENCE_S, anew: bool = False) -> Member:
    """Return this host's membership, enrolling it first if needed.

    Every step is kept on disk and skipped when it is done, so that a call that was killed anywhere is finished by the
    next one; the same key makes the server answer again without counting the token's use twice.

    Args:
        wanted: a join file with `[join]`.
        patience_s: seconds for which a server that does not answer is tried again.
        anew: ask the server though this host is enrolled. One that was restored from an older backup does not know it
            and takes the token; one that does know it counts no use, and tells where etcd is now.

    Raises:
        WrongAuthority: the server is not the one that was meant.
        Refused, Conflict, InvalidInput: the server refuses; trying again would not help.
        Unavailable: it did not answer in time.
    """
    if wanted.join is None:
        raise ValueError("a host without [join] founds, it does not enrol")
    known = _enrolled(wanted.join)
    host = known.host if known else wanted.host_name()
    servers = tuple(dict.fromkeys((wanted.join.server, *wanted.join.servers, *(known.servers if known else ()))))
    answer = None
    if known is None or anew or (Role.CONTROL in wanted.roles and not handover.is_kept()):
        prepare_state()
        answer = _ask(wanted, wanted.join, host, servers, patience_s=patience_s)
    elif (left := _left(tls_files().certificate)) < RENEWAL:
        try:
            patience_s = patience_s if left <= timedelta(0) else 0.0
            answer = _ask(wanted, wanted.join, host, servers, patience_s=patience_s)
        except Unavailable as error:
            if left <= timedelta(0):
                raise
            log.warning("the certificate ends in %d days and cannot be renewed now: %s", left.days, error.message)
    if answer is not None:
        files.write_if_changed(tls_files().ca, answer.ca_pem)
        files.write_if_changed(tls_files().certificate, answer.certificate_pem)
        groups: tuple[str, ...] = (answer.group,) if answer.group else ()
        endpoints, servers = answer.etcd_endpoints, answer.servers or servers
        log.info("enrolled as %s in %s", host, answer.group)
    elif known is not None:
        groups, endpoints, servers = known.groups, known.etcd_endpoints, known.servers
    member = Member(
        host=host,
        groups=groups,
        roles=wanted.roles,
        server=_first_server(wanted, None if anew else known),
        etcd_endpoints=endpoints,
        servers=servers,
        cloud=wanted.cloud,
        storage_devices=wanted.storage.devices,
        storage_encrypt=wanted.storage.encrypt,
    )
    member.save()
    return member


def _first_server(wanted: JoinFile, known: Member | None) -> str:
    """The console that user-data names, unless the system has told since that it is none any more, or this is one."""
    told = wanted.join.server if wanted.join is not None else ""
    if known is None or (Role.CONTROL not in wanted.roles and (not known.servers or told in known.servers)):
        return told
    return known.server


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


def _ask(wanted: JoinFile, join: Join, host: str, servers: Sequence[str], *, patience_s: float) -> Enrolment:
    """Ask one console after the other until one enrols this host.

    One that refuses does not end it: what answers at an address may be no console of ours any more. But where none
    enrols, a refusal is told at once, since time does not heal it.
    """
    key = authority.read_or_create_key(tls_files().key)
    is_control = Role.CONTROL in wanted.roles
    seal_private, seal_public = seal.new_pair() if is_control else ("", "")  # for this one answer, kept nowhere
    body = codec.encode(
        {
            "token": join.token,
            "csr": authority.signing_request(key, host),
            "host": host,
            "roles": wanted.roles,
            "seal_key": seal_public,
        }
    )

    def ask(server: str) -> Enrolment:
        ca_pem = console_client.get_unverified(server, CA_PATH).decode(errors="replace")
        found = authority.fingerprint_of(ca_pem, source=server + CA_PATH)
        if not hmac.compare_digest(found, join.ca):
            raise WrongAuthority(
                f"{server} shows another CA than the one to join: wanted {join.ca}, found {found}",
                hint="check the address and the fingerprint; if both are right, somebody stands in between",
            )
        source = server + ENROL_PATH
        answer = console_client.post_verified(server, ENROL_PATH, ca_pem=ca_pem, body=body)
        enrolment = checked(codec.decode(answer, Enrolment, source=source), join.ca, host, key, source=source)
        if is_control:
            handover.keep(enrolment.sealed, seal_private, ca=join.ca, source=source)
        return enrolment

    def attempt() -> Enrolment:
        failures: list[LarvaError] = []
        for server in servers:
            try:
                return ask(server)
            except LarvaError as error:
                failures.append(error)
                if len(servers) > 1:
                    log.info("%s did not enrol us: %s", server, error.message)
        raise next((each for each in failures if not isinstance(each, TemporaryFailure)), failures[0])

    doing = f"enrol at {' or '.join(servers)}"
    return backoff.retry(attempt, on=TemporaryFailure, patience_s=patience_s, doing=doing)


def checked(answer: Enrolment, ca: str, host: str, key: ec.EllipticCurvePrivateKey, *, source: str) -> Enrolment:
    """Nothing is written to disk that would not work: the right CA, our name, our key, somewhere to go."""
    certificate = authority.read_certificate(answer.certificate_pem, source=source)
    if not hmac.compare_digest(authority.fingerprint_of(answer.ca_pem, source=source), ca):
        raise WrongAuthority(f"{source}: the answer holds another CA than the one that was pinned")
    if answer.host != host or certificate.public_key() != key.public_key() or not answer.etcd_endpoints:
        raise MalformedData(f"{source}: the answer is not for this host's request")
    return answer
