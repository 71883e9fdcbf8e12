"""Compare what was written with the raw disk, byte by byte, and the raw disk with what was signed."""

import hashlib
from collections.abc import Iterator

from images.formats.format import Disk
from larva.errors import MalformedData


def with_raw(written: Iterator[bytes], disk: Disk, *, what: str) -> None:
    """Read both to the end.

    Raises:
        MalformedData: they differ, and the message names the first byte; or they agree, and the raw disk has another
            hash than it had when it was signed.
    """
    at = 0
    total = hashlib.sha256()
    with disk.raw.open("rb") as raw:
        for chunk in written:
            expected = raw.read(len(chunk))
            if chunk != expected:
                first = next(
                    (n for n, (a, b) in enumerate(zip(chunk, expected, strict=False)) if a != b), len(expected)
                )
                raise MalformedData(f"{what} differs from the raw disk at byte {at + first}")
            total.update(expected)
            at += len(chunk)
    if at != disk.size:
        raise MalformedData(f"{what} holds {at} bytes, the raw disk {disk.size}")
    if total.hexdigest() != disk.sha256:
        raise MalformedData(
            f"{disk.raw} is not the disk that was signed: it was changed since", hint=f"remove {disk.raw.parent}"
        )
