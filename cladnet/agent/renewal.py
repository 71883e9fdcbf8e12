"""The host's side of renewal: look at its certificate daily and ask a console for a new one in good time."""

import logging
import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime

from cladnet.agent import errand
from cladnet.enrol import authority
from cladnet.enrol.renewal_time import is_due
from cladnet.member import tls_files
from larva.errors import LarvaError

log = logging.getLogger(__name__)

LOOK_S = 86_400.0
FIRST_RETRY_S = 60.0
LONGEST_RETRY_S = 3600.0


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
        if not is_due(authority.read_certificate(pem, source=str(tls.certificate)), self._clock()):
            return False
        errand.renew()
        log.info("the certificate is renewed")
        self._renewed()
        return True
