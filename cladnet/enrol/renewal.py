"""Renewal: a host whose certificate is still good has one issued anew for the same key, without a token.

The proof is a signature by that key over the request. Nothing in it is fresh, on purpose: a replay yields one more
certificate for a key that the replayer does not hold, and only while the old one is due for renewal.
"""

import hmac
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from cladnet import keys
from cladnet.access import revocation
from cladnet.enrol.authority import Authority, common_name, key_digest, read_certificate, request_key, user_name
from cladnet.enrol.enrolment import Enrolment, control_plane, issue_again
from cladnet.enrol.renewal_time import GRANTED_BELOW, is_due
from cladnet.etcd.store import Store
from cladnet.model import EnrolledHost, RevokedCertificate
from larva.errors import MalformedData, Refused, Unavailable

_DOMAIN = b"larva: renewal of a certificate, 1\0"
"""Keeps these apart from everything else that the same key signs: values in etcd, requests, TLS."""
_ALGORITHM = ec.ECDSA(hashes.SHA256())
_ATTEMPTS = 20
"""Transactions that lost a race are tried again."""


class RenewalRefused(Refused):
    """This certificate is not issued anew; `code` says why."""

    def __init__(self, message: str, *, code: str, hint: str = "enrol this host again with a new token") -> None:
        super().__init__(message, hint=hint)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a host sends: its name, a request, its present certificate, and its key's signature over these."""

    host: str
    csr: str
    """PKCS#10 in PEM."""
    certificate: str
    """PEM."""
    signature: bytes


def prove(key: ec.EllipticCurvePrivateKey, *, host: str, csr: str, certificate: str) -> Proof:
    """Return the proof that the certificate's bearer wants the request signed."""
    signature = key.sign(_message(host, csr, certificate), _ALGORITHM)
    return Proof(host=host, csr=csr, certificate=certificate, signature=signature)


def require_proven(proof: Proof, ca: Authority, now: datetime) -> x509.Certificate:
    """Return the certificate that a proof stands on, as far as the proof itself tells.

    Raises:
        RenewalRefused: another CA's, expired, not due yet, another host's, or without its key's signature.
        MalformedData, InvalidInput: it cannot be read.
    """
    keys.segment(proof.host, what="host")
    certificate = read_certificate(proof.certificate, source="the certificate to renew")
    wanted = request_key(proof.csr)
    if not ca.signed(certificate):
        raise RenewalRefused("the certificate is not of this system's CA", code="certificate-foreign")
    if common_name(certificate) != user_name(proof.host, key_digest(wanted)) or certificate.public_key() != wanted:
        raise RenewalRefused("the certificate is not that host's, or of another key", code="certificate-of-another")
    try:
        wanted.verify(proof.signature, _message(proof.host, proof.csr, proof.certificate), _ALGORITHM)
    except InvalidSignature as error:
        raise RenewalRefused("the signature is not by the certificate's key", code="proof-wrong") from error
    if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
        ends = certificate.not_valid_after_utc.isoformat(timespec="seconds")
        raise RenewalRefused(f"the certificate was good until {ends}", code="certificate-expired")
    if not is_due(certificate, now, below=GRANTED_BELOW):
        raise RenewalRefused(
            "the certificate is good for long still", code="not-due", hint="ask again in its second half"
        )
    return certificate


def renew(
    store: Store,
    ca: Authority,
    proof: Proof,
    *,
    is_revoked: Callable[[x509.Certificate], bool] = revocation.is_revoked,
) -> Enrolment:
    """Sign a certificate anew and put it into the host's record, so that its removal revokes this one too.

    Raises:
        RenewalRefused: see `require_proven`; or the host was removed, or enrolled anew with another key.
        TooManyCertificates: its record is full.
        Unavailable: somebody else keeps changing the record.
    """
    certificate = require_proven(proof, ca, datetime.now(UTC))
    serial = f"{certificate.serial_number:x}"
    if is_revoked(certificate) or store.get(keys.revoked(serial), RevokedCertificate) is not None:
        raise RenewalRefused("the certificate was revoked", code="certificate-revoked")
    digest = key_digest(request_key(proof.csr))
    for _ in range(_ATTEMPTS):
        enrolled = store.get(keys.enrolled_host(proof.host), EnrolledHost)
        if enrolled is None or enrolled.value.host != proof.host:
            raise RenewalRefused(f"{proof.host} is not enrolled", code="host-unknown")
        if not hmac.compare_digest(enrolled.value.key_digest, digest):
            raise RenewalRefused(f"{proof.host} is enrolled with another key", code="certificate-of-another")
        signed = ca.sign_client(proof.csr, proof.host)
        if issue_again(store, enrolled, signed, ()):
            plane = control_plane(store)
            return Enrolment(
                host=proof.host,
                group=enrolled.value.groups[0] if enrolled.value.groups else "",
                certificate_pem=signed.pem,
                ca_pem=ca.certificate_pem,
                etcd_endpoints=plane.etcd_endpoints,
                servers=plane.servers,
            )
    raise Unavailable(f"somebody else keeps changing {proof.host}", hint="try again in a moment")


def _message(host: str, csr: str, certificate: str) -> bytes:
    try:
        parts = [part.encode() for part in (host, csr, certificate)]
    except UnicodeEncodeError as error:
        raise MalformedData("a proof is plain text") from error
    return _DOMAIN + b"".join(struct.pack(">I", len(part)) + part for part in parts)
