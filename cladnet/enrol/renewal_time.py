"""When a certificate is renewed: a pure function of its time."""

from datetime import datetime

from cryptography import x509

ASKED_BELOW = 1 / 3
"""A host asks once less than this part of its certificate's time is left: four months of a year to find a console."""
GRANTED_BELOW = 1 / 2
"""A control node refuses before: every certificate that is good has to fit into the host's record, to be revoked."""


def is_due(certificate: x509.Certificate, now: datetime, *, below: float = ASKED_BELOW) -> bool:
    """Whether less than this part of a certificate's time is left."""
    lasts = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    return certificate.not_valid_after_utc - now < lasts * below
