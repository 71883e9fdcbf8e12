"""The REST API as a client sees it: a token, a pinned CA, typed answers, and refusals as errors of our own."""

import http.client
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from cladnet.enrol.join_file import check_server
from larva import codec, https, output
from larva.errors import (
    Conflict,
    InvalidInput,
    LarvaError,
    MalformedData,
    NotFound,
    Refused,
    TimedOut,
    Unavailable,
)

T = TypeVar("T")

PREFIX = "/v1"
TIMEOUT_S = 60.0
MOST_ANSWER_BYTES = 64 << 20
MOST_TOKEN_BYTES = 4096

_LONGEST_WORDS = 2000
_BY_STATUS: Mapping[int, type[LarvaError]] = {
    HTTPStatus.UNAUTHORIZED: Refused, HTTPStatus.FORBIDDEN: Refused, HTTPStatus.NOT_FOUND: NotFound,
    HTTPStatus.CONFLICT: Conflict, HTTPStatus.PRECONDITION_FAILED: Conflict, HTTPStatus.BAD_REQUEST: MalformedData,
    HTTPStatus.TOO_MANY_REQUESTS: Unavailable, HTTPStatus.BAD_GATEWAY: Unavailable,
    HTTPStatus.SERVICE_UNAVAILABLE: Unavailable, HTTPStatus.GATEWAY_TIMEOUT: TimedOut,
    HTTPStatus.UNPROCESSABLE_ENTITY: InvalidInput,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is used of a problem document (RFC 9457)."""

    detail: str = ""
    title: str = ""
    code: str = ""
    hint: str = ""


class Api:
    """A console's REST API.

    Args:
        server: `https://HOST[:PORT]`.
        token: an access token; it is sent as a header, and shown nowhere.
        ca: a file with the CA, the only one that is believed; those of this machine without it.

    Raises:
        InvalidInput: the address or the token is none.
        NotFound: there is no such CA file.
    """

    def __init__(self, server: str, token: str, ca: Path | None) -> None:
        self.server = check_server(server, what="--server")
        self._token = token
        try:
            self._context = ssl.create_default_context(cafile=str(ca) if ca is not None else None)
        except FileNotFoundError as error:
            raise NotFound(
                f"{ca} is not there", hint="GET /v1/ca.pem of the console; compare its fingerprint"
            ) from error
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(f"{ca} is no certificate in PEM", hint="GET /v1/ca.pem of the console") from error
        if ca is not None:
            self._context.verify_flags |= ssl.VERIFY_X509_STRICT

    def get(self, path: str, wanted: type[T], /, **query: object) -> T:
        """Return what is there; a query's None is left out."""
        return self._call("GET", path, wanted, query=query)

    def items(self, path: str, name: str, item: type[T], /, **query: object) -> tuple[T, ...]:
        """Return a whole list, in its order."""
        page = self.get(path, dict[str, Any], **query)
        return codec.convert(page.get(name), tuple[item, ...], source=path)  # type: ignore[valid-type]

    def post(self, path: str, wanted: type[T], /, **body: object) -> T:
        """Have something made or done."""
        return self._call("POST", path, wanted, body=body)

    def patch(self, path: str, wanted: type[T], /, **body: object) -> T:
        """Have something changed; a body's None is left out, and leaves what is there."""
        told = {name: value for name, value in body.items() if value is not None}
        return self._call("PATCH", path, wanted, body=told)

    def put(self, path: str, wanted: type[T], /, **body: object) -> T:
        """Have something set."""
        return self._call("PUT", path, wanted, body=body or None)

    def delete(self, path: str, /, **query: object) -> None:
        """Have something taken away."""
        self._call("DELETE", path, None, query=query)

    def _call(
        self, method: str, path: str, wanted: type[T] | None, *, query: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
    ) -> T:  # fmt: skip
        told = urlencode(dict(_texts(query or {})))
        answer = self._request(method, f"{PREFIX}{path}{'?' * bool(told)}{told}", body)
        if wanted is None:
            return None  # type: ignore[return-value]
        return codec.decode(answer, wanted, source=f"{self.server}{PREFIX}{path}")

    def _request(self, method: str, path: str, body: Mapping[str, object] | None) -> bytes:
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            status, answer = https.exchange(
                self.server, method, path, self._context, body=codec.encode(body) if body is not None else None,
                headers=headers, timeout_s=TIMEOUT_S, most_bytes=MOST_ANSWER_BYTES,
            )  # fmt: skip
        except ssl.SSLCertVerificationError as error:
            raise Refused(
                f"{self.server} cannot prove who it is: {error.verify_message}",
                hint="check the address, and that --ca is the CA of this console",
            ) from error
        except TimeoutError as error:
            raise TimedOut(
                f"{self.server} has not answered within {TIMEOUT_S:g} s",
                hint="look whether it was done, then try again",
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(
                f"{self.server} does not answer: {str(error) or type(error).__name__}",
                hint="check the address, that the console runs there, and that its port is open",
            ) from error
        if status >= HTTPStatus.MULTIPLE_CHOICES:
            raise refusal(status, answer, source=self.server)
        return answer


def place(*segments: object) -> str:
    """Return a path of the API made of names, whatever they hold."""
    return "".join(f"/{quote(str(segment), safe='')}" for segment in segments)


def read_token(file: Path) -> str:
    """Return the access token in a file.

    Raises:
        NotFound: there is no such file.
        InvalidInput: it holds no token; what it holds is not repeated.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read(MOST_TOKEN_BYTES + 1)
        mode = file.stat().st_mode
    except OSError as error:
        raise NotFound(f"{file}: {error.strerror}", hint="`larva console token > FILE` on a control node") from error
    token = content.strip()
    if not token or len(token) > MOST_TOKEN_BYTES or not all(33 <= byte < 127 for byte in token):
        raise InvalidInput(f"{file} holds no access token", hint="one line, as `larva console token` prints it")
    if mode & 0o077:
        output.note(f"note: others on this machine can read {file}; chmod 600 it")
    return token.decode()


def refusal(status: int, answer: bytes, *, source: str) -> LarvaError:
    """Return the error that a server's refusal is here: of the same kind, and so of the same exit code."""
    try:
        problem = codec.decode(answer, Problem, source=source)
    except MalformedData:  # something else than our console, a proxy perhaps, answers in its own words
        problem = Problem()
    kind = next((each for each in _BY_STATUS.values() if each.code == problem.code), None) or _BY_STATUS.get(status)
    if kind is None:
        kind = Unavailable if status >= HTTPStatus.INTERNAL_SERVER_ERROR else InvalidInput
    told = problem.detail or problem.title or f"{source} answered {status} and tells no reason"
    return kind(told[:_LONGEST_WORDS], hint=problem.hint[:_LONGEST_WORDS])


def _texts(query: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, value in query.items():
        if value is not None:
            yield name, str(value).lower() if isinstance(value, bool) else str(value)
