"""One renewal of this host's certificate: a console is asked, and what it gives is checked and written."""

import base64
import logging
from dataclasses import dataclass

from cladnet.enrol import authority, console_client, joining, renewal
from cladnet.enrol.enrolment import Enrolment
from cladnet.member import Member, tls_files
from larva import codec, files
from larva.errors import LarvaError, Unavailable

log = logging.getLogger(__name__)

RENEW_PATH = "/v1/renew"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Body:
    host: str
    csr: str
    certificate: str
    signature: str


def renew() -> None:
    """Have a new certificate on disk, for the same key.

    Raises:
        LarvaError: no console gave one; OSError: it cannot be written. The old one stays.
    """
    tls = tls_files()
    answer = _ask_each(Member.load(), tls.certificate.read_text())
    files.write_whole(tls.certificate, answer.certificate_pem)


def _ask_each(me: Member, certificate_pem: str) -> Enrolment:
    """Ask one console after the other; the first failure is raised when none renews it."""
    failures: list[LarvaError] = []
    for server in dict.fromkeys((me.server, *me.servers)):
        try:
            return _ask(server, me.host, certificate_pem)
        except LarvaError as error:
            failures.append(error)
            log.info("%s did not renew the certificate: %s", server, error.message)
    raise failures[0] if failures else Unavailable("no console is known")


def _ask(server: str, host: str, certificate_pem: str) -> Enrolment:
    tls = tls_files()
    key, ca_pem = authority.read_key(tls.key), tls.ca.read_text()
    csr = authority.signing_request(key, host)
    proof = renewal.prove(key, host=host, csr=csr, certificate=certificate_pem)
    sent = _Body(host=host, csr=csr, certificate=certificate_pem, signature=base64.b64encode(proof.signature).decode())
    source = server + RENEW_PATH
    answer = console_client.post_verified(server, RENEW_PATH, ca_pem=ca_pem, body=codec.encode(sent))
    fingerprint = authority.fingerprint_of(ca_pem, source=str(tls.ca))
    return joining.checked(codec.decode(answer, Enrolment, source=source), fingerprint, host, key, source=source)
