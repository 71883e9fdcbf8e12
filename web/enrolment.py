"""The routes of a host that is not enrolled yet: the CA's certificate, the address it comes from, enrolment."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from flask import Blueprint, Response, request

from cladnet.enrol import enrolment
from cladnet.enrol.authority import Authority
from cladnet.enrol.enrolment import TokenExpired, TokenUnknown
from cladnet.etcd.store import Store
from cladnet.model import Role
from web import body
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


def enrolment_blueprint(
    open_store: Callable[[], Store],
    authority: Callable[[], Authority],
    admit: Callable[[str], None] | None = None,
    hand_over: Callable[[str], str] | None = None,
) -> Blueprint:
    """Return the public routes; they need no login, since the token is the proof. The application answers their errors.

    Args:
        open_store: called per request; whoever gives it owns the store and closes it.
        authority: called per request; reads the CA's key on this control node.
        admit: gives an enrolled host its rights in etcd.
        hand_over: seals a further control node's secrets to its key.
    """
    routes = Blueprint("enrolment", __name__)
    throttle = Throttle(failures=FAILURES_PER_MINUTE, per_s=60.0)

    @routes.get("/v1/ca.pem")
    def ca() -> Response:
        return Response(authority().certificate_pem, mimetype="application/x-pem-file")

    @routes.get("/v1/whoami")
    def whoami() -> Response:
        return body.answer({"address": _source()})

    @routes.post("/v1/enrol")
    def enrol() -> Response:
        request.max_content_length = MAX_BODY_BYTES
        source = _source()
        throttle.check(source)
        asked = body.read(EnrolmentRequest)
        try:
            enrolled = enrolment.redeem(
                open_store(),
                authority(),
                secret=asked.token,
                csr_pem=asked.csr,
                host=asked.host,
                roles=asked.roles,
                admit=admit,
                seal_key=asked.seal_key,
                hand_over=hand_over,
            )
        except (TokenUnknown, TokenExpired) as error:
            throttle.failed(source)
            log.warning("enrolment of %s from %s refused: %s", repr(asked.host[:80]), source, error.code)
            raise
        log.info("enrolled %s from %s in %s", enrolled.host, source, enrolled.group or "no CLADNet")
        if enrolled.sealed:
            log.warning("%s is a control node: it was given the authorities' keys", enrolled.host)
        return body.answer(enrolled, 201)

    return routes


def _source() -> str:
    return request.remote_addr or "unknown"
