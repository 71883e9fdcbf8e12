"""Files that are sent as they are: whole, or the part that the caller asks for."""

import contextlib
from dataclasses import dataclass
from http import HTTPStatus
from io import BufferedReader

from flask import Response, request
from werkzeug.wsgi import wrap_file

MEDIA_TYPE = "application/octet-stream"
BLOCK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """An open file that is to be sent; whoever sends it closes it."""

    name: str
    sha256: str
    bytes: int
    content: BufferedReader


def answer(download: Download) -> Response:
    """Return the file, or the bytes of it that `Range` names (RFC 9110, section 14).

    Raises:
        RequestedRangeNotSatisfiable: there are no such bytes.
    """
    response = Response(
        wrap_file(request.environ, download.content, BLOCK_BYTES), mimetype=MEDIA_TYPE, direct_passthrough=True
    )
    response.content_length = download.bytes
    response.headers.set("Content-Disposition", "attachment", filename=download.name)
    response.set_etag(download.sha256)
    with contextlib.ExitStack() as undo:
        undo.callback(download.content.close)
        response.make_conditional(request.environ, accept_ranges=True, complete_length=download.bytes)
        if request.method != "HEAD" and response.status_code != HTTPStatus.NOT_MODIFIED:
            undo.pop_all()  # the server closes it, which asks an answer without content for nothing
    return response
