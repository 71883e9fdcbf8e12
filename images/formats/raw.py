"""Raw: the disk itself, as snapshots and most hypervisors take it."""

from collections.abc import Iterator
from pathlib import Path

from images.formats.format import CHUNK, Disk
from larva import process


class Raw:
    """A sparse file of the disk's bytes."""

    suffix = ".raw"
    reader = "plain reads"

    def write(self, disk: Disk, target: Path, log_file: Path) -> None:
        """See Format."""
        process.run(
            ["cp", "--reflink=auto", "--sparse=always", disk.raw, target], timeout=900, log_file=log_file
        )  # fmt: skip

    def read(self, file: Path) -> Iterator[bytes]:
        """See Format."""
        with file.open("rb") as opened:
            while chunk := opened.read(CHUNK):
                yield chunk
