"""Fixed VHD, which Azure takes: the disk, and a footer of 512 bytes behind it.

Source: Microsoft, "Virtual Hard Disk Image Format Specification" 1.0, sections "Hard Disk Footer Format" and "CHS
Calculation"; all numbers are big-endian.
"""

import struct
import uuid
from collections.abc import Iterator
from pathlib import Path

from images.formats.format import CHUNK, Disk
from images.formats.raw import Raw
from larva.errors import MalformedData

FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16sB427x")
FOOTER_BYTES = 512
COOKIE = b"conectix"
FIXED = b"\0\0\0\x02"
NO_DATA_OFFSET = 0xFFFF_FFFF_FFFF_FFFF
EPOCH_2000 = 946_684_800
"""VHD counts seconds since 2000-01-01 UTC."""
CREATOR = b"win "
"""QEMU and others believe the size of this creator's disks, and the geometry of those they do not know."""
CREATOR_VERSION = 0x0001_0000


class Vhd:
    """A fixed VHD whose virtual size is exactly the disk's."""

    suffix = ".vhd"
    reader = "libvhdi"

    def write(self, disk: Disk, target: Path, log_file: Path) -> None:
        """See Format."""
        Raw().write(disk, target, log_file)
        with target.open("r+b") as file:
            file.seek(disk.size)
            file.write(footer(disk.size, epoch=disk.epoch, identifier=uuid.UUID(hex=disk.sha256[:32])))

    def read(self, file: Path) -> Iterator[bytes]:
        """See Format."""
        import pyvhdi

        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - FOOTER_BYTES))
            end = opened.read(FOOTER_BYTES)
        if end[:8] != COOKIE or end[60:64] != FIXED:
            raise MalformedData(f"{file} does not end with the footer of a fixed VHD")
        try:
            opened_vhd = pyvhdi.open(str(file))
        except OSError as error:
            raise MalformedData(f"{file} is no VHD: {error}") from error
        size = opened_vhd.get_media_size()
        for offset in range(0, size, CHUNK):
            yield opened_vhd.read_buffer_at_offset(min(CHUNK, size - offset), offset)


def footer(size: int, *, epoch: int, identifier: uuid.UUID) -> bytes:
    """Return the footer of a fixed VHD.

    Args:
        size: of the disk, bytes.
        epoch: when it was made, Unix seconds.
    """
    cylinders, heads, sectors = geometry(size // 512)

    def packed(checksum: int) -> bytes:
        return FOOTER.pack(
            COOKIE, 2, CREATOR_VERSION, NO_DATA_OFFSET, epoch - EPOCH_2000, CREATOR, CREATOR_VERSION, b"Wi2k",
            size, size, cylinders, heads, sectors, 2, checksum, identifier.bytes, 0,
        )  # fmt: skip

    return packed(~sum(packed(0)) & 0xFFFF_FFFF)


def geometry(sectors: int) -> tuple[int, int, int]:
    """Return cylinders, heads, and sectors a track of a disk with so many sectors of 512 bytes."""
    sectors = min(sectors, 65_535 * 16 * 255)
    if sectors >= 65_535 * 16 * 63:
        return sectors // 255 // 16, 16, 255
    tracks = sectors // 17
    heads = max(4, -(-tracks // 1024))
    if heads <= 16 and tracks < heads * 1024:
        return tracks // heads, heads, 17
    per_track = 31 if sectors // 31 < 16 * 1024 else 63
    return sectors // per_track // 16, 16, per_track
