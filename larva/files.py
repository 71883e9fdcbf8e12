"""Write files whole: the reader sees the old content or the new, and secrets are private from their first byte."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

PUBLIC = 0o644
SECRET = 0o600


def write_whole(path: Path, data: bytes | str, *, mode: int = PUBLIC, owner: tuple[int, int] | None = None) -> None:
    """Replace `path` by `data` atomically and durably.

    Args:
        data: the whole content; text is written as UTF-8.
        mode: permission bits, in force before the first byte is written.
        owner: user and group id; the caller's own without it.

    Raises:
        OSError: the disk is full or the directory cannot be written; the old file is untouched.
    """
    content = data.encode() if isinstance(data, str) else data
    with whole_file(path, mode=mode, owner=owner) as file:
        file.write(content)


@contextlib.contextmanager
def whole_file(path: Path, *, mode: int = PUBLIC, owner: tuple[int, int] | None = None) -> Iterator[BinaryIO]:
    """Give a new file to write, which replaces `path` when the block ends well and leaves nothing when it does not.

    Arguments and errors as `write_whole`. A writer that was killed leaves a file `.NAME.…` beside it.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            yield file
            file.flush()
            os.fsync(file.fileno())
            temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make what was created, renamed or deleted in a directory outlive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_if_changed(
    path: Path, data: bytes | str, *, mode: int = PUBLIC, owner: tuple[int, int] | None = None
) -> bool:
    """Write whole only when the content differs; return whether it did."""
    content = data.encode() if isinstance(data, str) else data
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return False
    write_whole(path, content, mode=mode, owner=owner)
    return True


def write_once(path: Path, data: bytes | str, *, mode: int = PUBLIC) -> bool:
    """Write whole only when there is no such file yet; return whether it did. Of several callers at once one wins."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    write_whole(temporary, data, mode=mode)
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


@contextlib.contextmanager
def whole_directory(final: Path) -> Iterator[Path]:
    """Give a temporary directory beside `final`; it becomes `final` on success and leaves nothing on failure.

    An existing `final` is kept and the new directory dropped (content-addressed places hold equal things).
    """
    import shutil

    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f".{final.name}.{secrets.token_hex(4)}")
    temporary.mkdir()
    try:
        yield temporary
        if not final.exists():
            temporary.rename(final)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)
