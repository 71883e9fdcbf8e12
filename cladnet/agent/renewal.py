"""The host's side of renewal: look at its certificate daily and ask a console for a new one in good time."""

import base64
import logging
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cladnet.enrol import authority, console_client, joining, renewal
from cladnet.enrol.enrolment import Enrolment
from cladnet.member import Member, tls_files
from larva import codec, files
from larva.errors import LarvaError, Unavailable

log = logging.getLogger(__name__)

RENEW_PATH = "/v1/renew"
LOOK_S = 86_400.0
FIRST_RETRY_S = 60.0
LONGEST_RETRY_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Body:
    host: str
    csr: str
    certificate: str
    signature: str


class CertificateKeeper:
    """Keeps this host's client certificate from ending while it runs.

    Args:
        renewed: called after a new certificate was written: connections may use it now.
        clock: the time, UTC.
    """

    def __init__(
        self, renewed: Callable[[], None], *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._renewed = renewed
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Look at the start and then daily, after a failure sooner, until `stop` is set."""
        failures = 0
        while not stop.is_set():
            pause = LOOK_S
            try:
                self.look()
                failures = 0
            except (LarvaError, OSError) as error:
                pause = min(LONGEST_RETRY_S, FIRST_RETRY_S * 2 ** min(failures, 10))
                failures += 1
                log.warning("the certificate cannot be renewed now: %s", error)
            except Exception:  # a defect of ours must not end the looking; it is logged in full
                pause = LONGEST_RETRY_S
                log.exception("certificate: unexpected failure")
            stop.wait(random.uniform(pause / 2, pause))  # noqa: S311 - jitter

    def look(self) -> bool:
        """Renew the certificate if it is due and return whether it was.

        Raises:
            LarvaError: no console did; OSError: it cannot be written.
        """
        tls = tls_files()
        pem = tls.certificate.read_text()
        if not renewal.is_due(authority.read_certificate(pem, source=str(tls.certificate)), self._clock()):
            return False
        answer = _ask_each(Member.load(), pem)
        files.write_whole(tls.certificate, answer.certificate_pem)
        log.info("the certificate is renewed")
        self._renewed()
        return True


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
