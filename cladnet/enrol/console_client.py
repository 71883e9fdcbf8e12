"""Requests of a host that is not enrolled yet to its console: bounded in time and size, its errors told apart."""

import http.client
import ssl
from dataclasses import dataclass
from http import HTTPStatus

from larva import codec, https
from larva.errors import LarvaError, MalformedData, Refused, Unavailable

TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024

_LONGEST_WORDS = 1000
"""Of a server's refusal: whoever answers in its place may say more than a person reads."""
_NOT_YET_VALID = 9
"""X509_V_ERR_CERT_NOT_YET_VALID, openssl-verification-options(1)."""
_TEMPORARY = frozenset({
    HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT,
})  # fmt: skip


class TemporaryFailure(Unavailable):
    """The server does not answer, or says that it cannot right now."""


class RefusedByServer(Refused):
    """The server understood and refuses; asking again would not help. `code` is the server's own word."""

    def __init__(self, message: str, *, hint: str, code: str) -> None:
        super().__init__(message, hint=hint)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is used of a problem document (RFC 9457)."""

    detail: str = ""
    title: str = ""
    code: str = "refused"
    hint: str = ""


def get_unverified(server: str, path: str) -> bytes:
    """Return what a GET answers over TLS whose certificate is not looked at: the caller checks what it gets.

    Raises:
        TemporaryFailure: the server is not there, or not yet.
        RefusedByServer: it answered with an error that stays.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return _request(server, "GET", path, context, None)


def post_verified(server: str, path: str, *, ca_pem: str, body: bytes) -> bytes:
    """Return what a POST of JSON answers from a server whose certificate the CA signed for this very address.

    Raises:
        TemporaryFailure: the server is not there, or this machine's clock is not right yet.
        RefusedByServer: it answered with an error that stays.
        Refused: its certificate is for another address or of another CA.
    """
    context = ssl.create_default_context(cadata=ca_pem)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return _request(server, "POST", path, context, body)


def _request(server: str, method: str, path: str, context: ssl.SSLContext, body: bytes | None) -> bytes:
    headers = {"Content-Type": "application/json"} if body else {}
    try:
        status, answer = https.exchange(
            server, method, path, context, body=body, headers=headers, timeout_s=TIMEOUT_S, most_bytes=MAX_ANSWER_BYTES
        )
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(server, error) from error
    except (OSError, http.client.HTTPException) as error:
        raise TemporaryFailure(
            f"{server} does not answer: {str(error) or type(error).__name__}",
            hint="check the address, that the console runs there, and that its port is open",
        ) from error
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        raise _refusal(f"{server}{path}", status, answer)
    return answer


def _untrusted(server: str, error: ssl.SSLCertVerificationError) -> LarvaError:
    if error.verify_code == _NOT_YET_VALID:
        return TemporaryFailure(
            f"{server} shows a certificate that is not valid yet", hint="this machine's clock is late; check its NTP"
        )
    return Refused(
        f"{server} cannot prove who it is: {error.verify_message}",
        hint="use the address that `larva enrol token create` printed",
    )


def _refusal(url: str, status: int, answer: bytes) -> LarvaError:
    try:
        problem = codec.decode(answer, Problem, source=url)
    except MalformedData:  # something else than our console, a proxy perhaps, answers in its own words
        problem = Problem()
    told = (problem.detail or problem.title or "no reason is told")[:_LONGEST_WORDS]
    hint = problem.hint[:_LONGEST_WORDS]
    if status in _TEMPORARY:
        return TemporaryFailure(f"{url} answered {status}: {told}", hint=hint)
    return RefusedByServer(f"{url} answered {status}: {told}", hint=hint, code=problem.code[:_LONGEST_WORDS])
