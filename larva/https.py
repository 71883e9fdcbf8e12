"""One HTTPS request, its answer bounded in size and each wait in time; what its errors mean is the caller's to say."""

import http.client
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from larva.errors import MalformedData

DEFAULT_PORT = 443


def exchange(
    server: str, method: str, path: str, context: ssl.SSLContext, *,
    body: bytes | None, headers: Mapping[str, str], timeout_s: float, most_bytes: int,
) -> tuple[int, bytes]:  # fmt: skip
    """Return the status and the content of an answer; a redirection is one, and is not followed.

    Args:
        server: `https://HOST[:PORT]`.
        timeout_s: of each wait: for the connection, and for every piece of the answer.
        most_bytes: how long the content may be.

    Raises:
        ssl.SSLCertVerificationError: the server has no certificate that `context` believes.
        OSError, http.client.HTTPException: it does not answer, or not in HTTP.
        MalformedData: its answer is too long.
    """
    parts = urlsplit(server)
    connection = http.client.HTTPSConnection(
        parts.hostname or "", parts.port or DEFAULT_PORT, timeout=timeout_s, context=context
    )
    try:
        connection.request(method, path, body=body, headers=dict(headers))
        response = connection.getresponse()
        answer = response.read(most_bytes + 1)
    finally:
        connection.close()
    if len(answer) > most_bytes:
        raise MalformedData(f"{server}{path}: the answer is longer than {most_bytes} bytes")
    return response.status, answer
