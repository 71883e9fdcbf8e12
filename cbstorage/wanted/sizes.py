"""Sizes as people write them: 1G, 500M, 2TiB; powers of 1024, as Ceph counts."""

import re

from larva.errors import InvalidInput

SMALLEST_VOLUME = 4 << 20
"""CephFS quotas of this order are still meaningful: one object of the default layout."""

LARGEST = 1 << 60
"""CephFS keeps a quota in 63 bits; this is an exbibyte."""

_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGTP]?)(?:i?B)?", re.IGNORECASE | re.ASCII)


def parse(text: str) -> int:
    """Return the bytes that `text` names; InvalidInput if it names none."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"{text!r} is not a size", hint="write a number and a unit, as 500M, 1G or 2T")
    size = float(match[1]) * 1024 ** _UNITS[match[2].upper()]
    if size > LARGEST:
        raise InvalidInput(f"{text[:40]!r} is too large", hint=f"{show(LARGEST)} is the most")
    return int(size)


def check_volume(size_bytes: int) -> None:
    """Raise InvalidInput unless a volume may have this size."""
    if size_bytes < SMALLEST_VOLUME:
        raise InvalidInput(
            f"a volume of {size_bytes} bytes is too small", hint=f"ask for {show(SMALLEST_VOLUME)} or more"
        )
    if size_bytes > LARGEST:
        raise InvalidInput("the volume is too large", hint=f"ask for {show(LARGEST)} or less")


def show(size: int) -> str:
    """Return `size` bytes for people, as 1.5GB or 512B; `parse` takes it."""
    value = float(size)
    for unit in ("", "K", "M", "G", "T"):
        if value < 1024:
            return f"{value:.4g}{unit}B"
        value /= 1024
    return f"{value:.4g}PB"
