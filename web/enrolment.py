"""The routes of a host that has no login: the CA's certificate, the address it comes from, enrolment, renewal."""

import base64
import binascii
import logging
from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, request

from cladnet.enrol import enrolment, renewal
from cladnet.enrol.authority import Authority
from cladnet.enrol.enrolment import Enrolment, TokenExpired, TokenUnknown, TooManyCertificates
from cladnet.enrol.renewal import Proof, RenewalRefused
from cladnet.etcd.store import Store
from cladnet.model import Role
from larva.errors import MalformedData
from web.api.routing import Routes
from web.roles import Right
from web.throttle import Throttle

log = logging.getLogger(__name__)

MAX_BODY_BYTES = 16 * 1024
FAILURES_PER_MINUTE = 20
"""Wrong tokens per source address; a whole cloud behind one address may boot with a stale token at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolmentRequest:
    """The body of `POST /v1/enrol`."""

    token: str
    csr: str
    """PKCS#10 request in PEM."""
    host: str
    roles: tuple[Role, ...] = (Role.MEMBER,)
    seal_key: str = ""
    """Of a control node: the public key to which its secrets are sealed; 32 bytes, base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalRequest:
    """The body of `POST /v1/renew`."""

    host: str
    csr: str
    """PKCS#10 request in PEM, for the key that the certificate has."""
    certificate: str
    """The present one, in PEM."""
    signature: str
    """By its key over the three above, base64."""

    def proof(self) -> Proof:
        """Return what is to be proved; MalformedData if the signature is no base64."""
        try:
            signature = base64.b64decode(self.signature, validate=True)
        except (ValueError, binascii.Error) as error:
            raise MalformedData("signature: expected base64") from error
        return Proof(host=self.host, csr=self.csr, certificate=self.certificate, signature=signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class WhoAmI:
    """The answer of `GET /v1/whoami`."""

    address: str


def enrolment_blueprint(
    open_store: Callable[[], Store],
    authority: Callable[[], Authority],
    admit: Callable[[str], None] | None = None,
    hand_over: Callable[[str], str] | None = None,
) -> Blueprint:
    """Return the public routes; they need no login, since the token or the certificate is the proof.

    Args:
        open_store: called per request; whoever gives it owns the store and closes it.
        authority: called per request; reads the CA's key on this control node.
        admit: gives an enrolled host its rights in etcd.
        hand_over: seals a further control node's secrets to its key.
    """
    routes = Routes("enrolment")
    throttle = Throttle(failures=FAILURES_PER_MINUTE, per_s=60.0)
    renewals = Throttle(failures=FAILURES_PER_MINUTE, per_s=60.0)

    @routes.get("/v1/ca.pem", Right.PUBLIC, media_type="application/x-pem-file")
    def ca() -> str:
        """The certificate of the system's CA, which hosts pin by its fingerprint."""
        return authority().certificate_pem

    @routes.get("/v1/whoami", Right.PUBLIC)
    def whoami() -> WhoAmI:
        """The address that the caller comes from, as the internet sees it."""
        return WhoAmI(address=_source())

    @routes.post("/v1/enrol", Right.PUBLIC, status=201, first=lambda: _admit(throttle))
    def enrol(wish: EnrolmentRequest) -> Enrolment:
        """Enrol a host: a token buys a client certificate."""
        source = _source()
        try:
            enrolled = enrolment.redeem(
                open_store(),
                authority(),
                secret=wish.token,
                csr_pem=wish.csr,
                host=wish.host,
                roles=wish.roles,
                admit=admit,
                seal_key=wish.seal_key,
                hand_over=hand_over,
            )
        except (TokenUnknown, TokenExpired, TooManyCertificates) as error:
            throttle.failed(source)
            log.warning("enrolment of %s from %s refused: %s", repr(wish.host[:80]), source, error.code)
            raise
        log.info("enrolled %s from %s in %s", enrolled.host, source, enrolled.group or "no CLADNet")
        if enrolled.sealed:
            log.warning("%s is a control node: it was given the authorities' keys", enrolled.host)
        return enrolled

    @routes.post("/v1/renew", Right.PUBLIC, status=201, first=lambda: _admit(renewals))
    def renew(wish: RenewalRequest) -> Enrolment:
        """Renew a host's certificate, by a signature with its key."""
        source, proof = _source(), wish.proof()
        try:
            renewed = renewal.renew(open_store(), authority(), proof)
        except (RenewalRefused, TooManyCertificates) as error:
            renewals.failed(source)
            log.warning("renewal for %s from %s refused: %s", repr(proof.host[:80]), source, error.code)
            raise
        log.info("renewed the certificate of %s, from %s", renewed.host, source)
        return renewed

    return routes.blueprint


def _admit(throttle: Throttle) -> None:
    """What is asked of a request before its body is read."""
    request.max_content_length = MAX_BODY_BYTES
    throttle.check(_source())


def _source() -> str:
    return request.remote_addr or "unknown"
