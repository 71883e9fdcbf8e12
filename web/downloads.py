"""Files that are sent as they are: whole, or the part that the caller asks for; only so many at once."""

import contextlib
import threading
from dataclasses import dataclass
from http import HTTPStatus
from io import BufferedReader

from flask import Response, request
from werkzeug.wsgi import wrap_file

from larva.errors import Unavailable

MEDIA_TYPE = "application/octet-stream"
BLOCK_BYTES = 1 << 16
MOST_AT_ONCE = 32
"""Each is sent by a thread of the server for as long as its caller takes; the others are for everybody else."""

_places = threading.BoundedSemaphore(MOST_AT_ONCE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """An open file that is to be sent; whoever sends it closes it."""

    name: str
    sha256: str
    bytes: int
    content: BufferedReader


class _Placed(BufferedReader):
    """A file that has one of the places until it is closed."""

    _has_place = True

    def close(self) -> None:
        if self._has_place:
            self._has_place = False
            _places.release()
        super().close()


def answer(download: Download) -> Response:
    """Return the file, or the bytes of it that `Range` names (RFC 9110, section 14).

    Raises:
        RequestedRangeNotSatisfiable: there are no such bytes.
        Unavailable: so many are being sent that this one has to wait.
    """
    content = _placed(download.content)
    response = Response(wrap_file(request.environ, content, BLOCK_BYTES), mimetype=MEDIA_TYPE, direct_passthrough=True)
    response.content_length = download.bytes
    response.headers.set("Content-Disposition", "attachment", filename=download.name)
    response.set_etag(download.sha256)
    with contextlib.ExitStack() as undo:
        undo.callback(content.close)
        response.make_conditional(request.environ, accept_ranges=True, complete_length=download.bytes)
        if request.method != "HEAD" and response.status_code != HTTPStatus.NOT_MODIFIED:
            undo.pop_all()  # the server closes it, which asks an answer without content for nothing
    return response


def _placed(content: BufferedReader) -> BufferedReader:
    if not _places.acquire(blocking=False):
        content.close()
        raise Unavailable(
            f"this console is sending {MOST_AT_ONCE} files already", hint="try again when one of them is through"
        )
    return _Placed(content.detach())
