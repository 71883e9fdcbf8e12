"""The one place where an error becomes an answer: a problem document (RFC 9457) for programs, a page for people."""

import logging
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

from flask import Flask, Response, redirect, render_template, request
from werkzeug.exceptions import HTTPException

from larva import codec
from larva.errors import LarvaError
from web.accounts import NotAuthenticated
from web.throttle import TooManyFailures

log = logging.getLogger(__name__)

API_PREFIX = "/v1/"
MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An RFC 9457 problem document; `code` and `hint` are extension members."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str


def problem_of(error: Exception) -> Problem:
    """Say what an error means to the caller; a defect of ours says nothing of its insides."""
    match error:
        case LarvaError():
            status, code, detail, hint = error.http_status, error.code, error.message, error.hint
        case HTTPException(code=int() as status):
            code = HTTPStatus(status).phrase.lower().replace(" ", "-")
            detail, hint = error.description or "", ""
        case _:
            status, code = 500, "internal-error"
            detail, hint = "the console failed at this", "its log says why: `journalctl -u larva-console`"
    title = HTTPStatus(status).phrase
    return Problem(type=f"urn:larva:problem:{code}", title=title, status=status, detail=detail, code=code, hint=hint)


def answer(error: Exception) -> Response:
    """Turn any error that left a view into the response."""
    problem = problem_of(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(error, LarvaError | HTTPException):
        log.error("%s %s failed", request.method, request.path, exc_info=error)
    if request.path.startswith(API_PREFIX):
        response = Response(codec.encode(problem), problem.status, mimetype=MEDIA_TYPE)
        if isinstance(error, NotAuthenticated):
            response.headers["WWW-Authenticate"] = "Bearer"
    elif isinstance(error, NotAuthenticated):
        wanted = {"next": request.path} if request.method == "GET" and request.path != "/" else {}
        return _as_response(redirect("/login" + ("?" + urlencode(wanted) if wanted else ""), 303))
    else:
        response = Response(render_template("problem.html", problem=problem), problem.status)
    say_when(response, error)
    if isinstance(error, HTTPException):
        for name, value in error.get_headers():
            if name in ("Allow", "Content-Range"):
                response.headers[name] = value
    return response


def say_when(response: Response, error: Exception) -> None:
    """Tell a caller who has to wait for how long; for a page that shows an error beside its form, too."""
    if isinstance(error, TooManyFailures):
        response.headers["Retry-After"] = str(error.retry_after_s)


def _as_response(response: object) -> Response:
    assert isinstance(response, Response)  # noqa: S101 - werkzeug's annotation is wider than what Flask returns
    return response


def register(app: Flask) -> None:
    """Answer every error of the application here."""
    app.register_error_handler(Exception, answer)
