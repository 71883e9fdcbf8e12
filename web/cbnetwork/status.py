"""Errors as the old service answers them: gRPC's status as JSON, and the HTTP status that grpc-gateway gives it."""

import logging
from dataclasses import dataclass
from enum import IntEnum

from flask import Response, request
from werkzeug.exceptions import HTTPException

from larva import errors
from larva.errors import LarvaError
from web.accounts import NotAuthenticated
from web.cbnetwork import protojson
from web.throttle import TooManyFailures

log = logging.getLogger(__name__)


class Code(IntEnum):
    """gRPC's status codes (google/rpc/code.proto), those that occur here."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


HTTP = {
    Code.INVALID_ARGUMENT: 400, Code.DEADLINE_EXCEEDED: 504, Code.NOT_FOUND: 404, Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403, Code.RESOURCE_EXHAUSTED: 429, Code.FAILED_PRECONDITION: 400, Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500, Code.UNAVAILABLE: 503, Code.UNAUTHENTICATED: 401,
}  # fmt: skip
"""grpc-gateway's table (runtime/errors.go, HTTPStatusFromCode)."""


class NotPossibleNow(LarvaError):
    """The system is in no state for this."""

    code = "failed-precondition"
    http_status = 400


_CODES: dict[type[LarvaError], Code] = {
    NotAuthenticated: Code.UNAUTHENTICATED,
    TooManyFailures: Code.RESOURCE_EXHAUSTED,
    NotPossibleNow: Code.FAILED_PRECONDITION,
    errors.InvalidInput: Code.INVALID_ARGUMENT,
    errors.NotFound: Code.NOT_FOUND,
    errors.Conflict: Code.ALREADY_EXISTS,
    errors.Refused: Code.PERMISSION_DENIED,
    errors.Unavailable: Code.UNAVAILABLE,
    errors.TimedOut: Code.DEADLINE_EXCEEDED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """google.rpc.Status."""

    code: int
    message: str
    details: tuple[str, ...] = ()


def status_of(error: Exception) -> Status:
    """Say what an error means to the caller; a defect of ours says nothing of its insides."""
    match error:
        case LarvaError():
            code = next((_CODES[kind] for kind in type(error).__mro__ if kind in _CODES), Code.INTERNAL)
            return Status(code=code, message=f"{error.message}; {error.hint}" if error.hint else error.message)
        case HTTPException(code=404):
            return Status(code=Code.NOT_FOUND, message="Not Found")
        case HTTPException(code=405):
            return Status(code=Code.UNIMPLEMENTED, message="Method Not Allowed")
        case HTTPException(code=int() as http) if http < 500:
            return Status(code=Code.INVALID_ARGUMENT, message=error.description or "")
        case _:
            return Status(code=Code.INTERNAL, message="the console failed at this; its log says why")


def answer(error: Exception) -> Response:
    """Turn any error that left a view into the response."""
    status = status_of(error)
    if status.code == Code.INTERNAL and not isinstance(error, LarvaError):
        log.error("%s %s failed", request.method, request.path, exc_info=error)
    response = Response(protojson.write(status), HTTP[Code(status.code)], mimetype="application/json")
    if isinstance(error, NotAuthenticated):
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
