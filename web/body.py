"""JSON of requests and answers."""

from typing import TypeVar

from flask import Response, request

from larva import codec
from larva.errors import LarvaError

T = TypeVar("T")

JSON = "application/json"


class NotJson(LarvaError):
    """The request's body is not declared as JSON."""

    code = "unsupported-media-type"
    http_status = 415


def read(wanted: type[T]) -> T:
    """Return what the request's body describes.

    Raises:
        NotJson: another content type; a form of a foreign page can send no JSON without asking first (CORS).
        MalformedData: it is not a `wanted`.
    """
    if request.mimetype != JSON:
        raise NotJson("the body is not JSON", hint="send `Content-Type: application/json`")
    return codec.decode(request.get_data() or b"{}", wanted, source="request body")


def answer(value: object, status: int = 200) -> Response:
    """Return `value`, dataclasses included, as JSON."""
    return Response(codec.encode(value) + b"\n", status, mimetype=JSON)


def created(value: object, location: str) -> Response:
    """Return what was created and where it is."""
    response = answer(value, 201)
    response.headers["Location"] = location
    return response


def done() -> Response:
    """Return an answer without content."""
    return Response(status=204)
