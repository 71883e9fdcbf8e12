"""The archive that Google Compute Engine takes: `disk.raw` alone in a gzip-compressed sparse tar of old GNU's form.

Source: "Import virtual disks manually", Compute Engine documentation: the disk file must be named disk.raw, the archive
must use the `--format=oldgnu` option.
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from images.formats.format import CHUNK, Disk
from larva import process
from larva.errors import MalformedData

MEMBER = "disk.raw"
TYPES = {tarfile.REGTYPE, tarfile.GNUTYPE_SPARSE}
"""A disk without a hole is a regular file; pax headers before it would be another type."""


class GceTar:
    """A tar archive with one member."""

    suffix = ".tar.gz"
    reader = "Python's tarfile"

    def write(self, disk: Disk, target: Path, log_file: Path) -> None:
        """See Format."""
        plain = target.with_suffix("")
        try:
            process.run(
                ["tar", "--create", "--format=oldgnu", "--sparse", "--hole-detection=raw", "--owner=0", "--group=0",
                 "--numeric-owner", "--mode=0644", f"--mtime=@{disk.epoch}", f"--file={plain}",
                 f"--directory={disk.raw.parent}", f"--transform=s/.*/{MEMBER}/", disk.raw.name],
                timeout=900, log_file=log_file,
            )  # fmt: skip
            process.run(["gzip", "--no-name", "--force", plain], timeout=1800, log_file=log_file)
        finally:
            plain.unlink(missing_ok=True)

    def read(self, file: Path) -> Iterator[bytes]:
        """See Format."""
        try:
            with gzip.open(file) as plain, tarfile.open(fileobj=plain, mode="r|") as archive:
                member = archive.next()
                if member is None or member.name != MEMBER or member.type not in TYPES:
                    raise MalformedData(f"{file} does not begin with a member {MEMBER} of old GNU's form")
                content = archive.extractfile(member)
                while content is not None and (chunk := content.read(CHUNK)):
                    yield chunk
                if archive.next() is not None:
                    raise MalformedData(f"{file} has more than the one member {MEMBER}")
                while plain.read(CHUNK):  # to the checksum at its end
                    pass
        except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
            raise MalformedData(f"{file} is no whole archive: {error}") from error
