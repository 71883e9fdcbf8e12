"""Checksums of files, computed again only when a file is another one or was written."""

import hashlib
import os
import threading
from collections import OrderedDict
from io import BufferedReader

MOST_KEPT = 1024

_Identity = tuple[int, int, int, int, int]


class Checksums:
    """A memory of files' SHA-256, by what the file system says of them."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Identity, str] = OrderedDict()
        self._lock = threading.Lock()

    def known(self, told: os.stat_result) -> str | None:
        """Return the SHA-256 of the file of which this is told; None for one that was not read since it was written."""
        with self._lock:
            return self._kept.get(_identity(told))

    def of(self, file: BufferedReader) -> str:
        """Return the SHA-256 of an open file from its beginning; where it is read afterwards is the beginning, too."""
        identity = _identity(os.fstat(file.fileno()))
        with self._lock:
            if identity in self._kept:
                self._kept.move_to_end(identity)
                return self._kept[identity]
        found = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        with self._lock:
            self._kept[identity] = found
            if len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return found


def _identity(told: os.stat_result) -> _Identity:
    return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns
