"""What a disk format is: a writer, and a reader that shares no code with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CHUNK = 4 << 20
"""Bytes that a reader gives at once, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The raw disk that is written in another form.

    Args:
        size: bytes; a multiple of 512.
        sha256: of the whole raw disk; identifiers that a format wants are derived from it, so that the same disk makes
            the same file.
        epoch: Unix seconds, where a format wants a time.
        name: what people read where a format has a name; letters, digits, dots and dashes.
    """

    raw: Path
    size: int
    sha256: str
    epoch: int
    name: str


class Format(Protocol):
    """One disk format."""

    suffix: str
    """The end of the file's name, with its dot."""
    reader: str
    """Who reads it for the comparison, as people know it."""

    def write(self, disk: Disk, target: Path, log_file: Path) -> None:
        """Write the disk to the new file `target`.

        Raises:
            ProgramFailed: a program failed; the message ends with its last lines.
            OSError: the file system is full.
        """

    def read(self, file: Path) -> Iterator[bytes]:
        """Give the raw disk's bytes from its start to its end, in chunks of CHUNK at most.

        Raises:
            MalformedData: the file is not what a provider takes as this format.
        """
