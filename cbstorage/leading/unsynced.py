"""Small files that were written and are not known to be on the disks: they are synced many at once, and none is lost
unseen."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

AT_ONCE = 64
"""Files that are held open until they are synced."""
THREADS = 8
"""That wait beside each other: each file is a round trip to its OSDs."""


@dataclass(slots=True)
class Unsynced:
    """Open files by the words for them. A client drops what it cannot write, and says so only to who syncs that file:
    in a pool that is full, or once it is shut out."""

    _open: dict[int, str] = field(default_factory=dict)

    def add(self, file: int, name: str) -> None:
        """Take over an open file; errors as sync()."""
        self._open[file] = name
        if len(self._open) >= AT_ONCE:
            self.sync()

    def sync(self) -> None:
        """Have all on the disks, and close them.

        Raises:
            OSError: with the name of the first that did not get there.
        """
        try:
            with ThreadPoolExecutor(THREADS) as pool:
                failed = [error for error in pool.map(_sync, self._open.items()) if error is not None]
        finally:
            self.close()
        if failed:
            raise failed[0]

    def close(self) -> None:
        """Close all, synced or not."""
        while self._open:
            os.close(self._open.popitem()[0])


def _sync(one: tuple[int, str]) -> OSError | None:
    file, name = one
    try:
        os.fsync(file)
    except OSError as error:
        return OSError(error.errno, error.strerror, name)
    return None
