"""How far this machine's clock is from the control plane's."""

import http.client
import ssl
import time
from collections.abc import Callable
from datetime import datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from larva.errors import MalformedData, Unavailable

ANSWER_S = 5.0


def skew_s(server: str, *, clock: Callable[[], float] = time.time) -> float:
    """Return by how many seconds this clock is ahead; good to about a second.

    The server's certificate is not looked at: with a clock that is wrong it would not hold. The answer is only for
    telling a person, and nothing is set by it.

    Args:
        server: the console's URL.
        clock: seconds since the epoch.

    Raises:
        Unavailable: it does not answer.
        MalformedData: the answer has no date.
    """
    parts = urlsplit(server)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port or 443, timeout=ANSWER_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=ANSWER_S)
    asked = clock()
    try:
        connection.request("GET", "/v1/whoami")
        date = connection.getresponse().getheader("Date", "")
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(
            f"{server} does not answer: {str(error) or type(error).__name__}",
            hint="check that the console runs there (`systemctl status larva-console`) and that its port is open",
        ) from error
    finally:
        connection.close()
    return (asked + clock()) / 2 - (_date(server, date).timestamp() + 0.5)  # the header is cut off to whole seconds


def _date(server: str, text: str) -> datetime:
    try:
        return parsedate_to_datetime(text)
    except ValueError as error:
        raise MalformedData(f"{server} answered without a date: {text[:60]!r}") from error
