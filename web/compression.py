"""Static files travel compressed: scripts and styles shrink to a third. Nothing else does: a compressed page's length
would tell of secrets in it (BREACH, CVE-2013-3587)."""

import gzip
import threading
from collections import OrderedDict

from flask import Flask, Response, request

LEAST_BYTES = 1024
MOST_KEPT = 64
"""Files whose compressed form is kept in memory; there are half as many."""
TYPES = ("text/javascript", "application/javascript", "text/css", "image/svg+xml")


class _Compressor:
    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def compressed(self, path: str, response: Response) -> bytes:
        """Return the answer's body compressed; the file's ETag changes with the file."""
        plain = response.get_data()
        etag, _ = response.get_etag()
        key = (path, etag or "")
        with self._lock:
            if key in self._kept:
                return self._kept[key]
        body = gzip.compress(plain, 9, mtime=0)
        with self._lock:
            self._kept[key] = body
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return body

    def __call__(self, response: Response) -> Response:
        if not request.path.startswith("/static/") or response.mimetype not in TYPES:
            return response
        response.vary.add("Accept-Encoding")
        if response.status_code != 200 or request.accept_encodings.quality("gzip") <= 0 or request.range is not None:
            return response
        if (response.content_length or 0) < LEAST_BYTES:
            return response
        response.direct_passthrough = False
        response.set_data(self.compressed(request.path, response))
        response.headers["Content-Encoding"] = "gzip"
        etag, _ = response.get_etag()
        if etag:
            response.set_etag(etag, weak=True)  # the same file in other bytes
        return response


def register(app: Flask) -> None:
    """Compress what `app` serves of its static files, for whoever takes it so."""
    app.after_request(_Compressor())
