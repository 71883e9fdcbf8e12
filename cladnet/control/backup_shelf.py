"""A directory of backups, made by a timer: each with a number of its own, the last few kept."""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from larva import files
from larva.errors import Conflict, InvalidInput

_NAME = re.compile(r"larva-(?P<system>[0-9a-f]{8})-(?P<number>\d{6,})-\d{8}T\d{6}Z\.backup")


def system_of(ca: str) -> str:
    """The part of the CA's fingerprint that names a system's backups."""
    return ca.removeprefix("sha256:")[:8]


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Be the only one that writes backups into a directory, made 0700 if it is not there.

    Raises:
        Conflict: somebody else is at it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"another backup into {directory} is running", hint="wait for its end") from error
        for left in directory.glob(".larva-*.backup.*"):  # by one that was killed: nobody else is here now
            left.unlink()
        yield
    finally:
        os.close(descriptor)


def next_place(directory: Path, system: str, *, now: datetime) -> Path:
    """Return where the next backup goes: its number is higher than every other's, whatever the clock says."""
    number = max((number for number, _ in _numbered(directory, system)), default=0) + 1
    return directory / f"larva-{system}-{number:06d}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.backup"


def prune(directory: Path, system: str, *, keep: int) -> tuple[Path, ...]:
    """Delete all but the last `keep` backups of one system and return what was deleted; other files stay."""
    if keep < 1:
        raise InvalidInput(f"{keep} backups cannot be kept", hint="keep at least one")
    dropped = tuple(path for _, path in sorted(_numbered(directory, system))[:-keep])
    for path in dropped:
        path.unlink()
    if dropped:
        files.sync_directory(directory)
    return dropped


def _numbered(directory: Path, system: str) -> Iterator[tuple[int, Path]]:
    for path in directory.iterdir():
        match = _NAME.fullmatch(path.name)
        if match and match["system"] == system:
            yield int(match["number"]), path
