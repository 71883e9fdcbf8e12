"""Make one directory the same as another: names, contents, holes, owners, modes, times, links and attributes.

It may be ended at any line and begun again: what is the same already is left alone. It follows no symbolic link and
never leaves the two directories, whoever fills them: every step is taken from an open directory.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from cbstorage.leading.unsynced import Unsynced

BLOCK = 4 << 20
"""Bytes that are read and written at once: one object of CephFS's default layout."""
HOLE = 64 << 10
"""Zeros of this length, aligned, are left out: they stay a hole."""
DEEPEST = 4000
"""Directories below each other: each takes two or three open files."""
INODE = (1 << 48) - 1
"""The part of an inode's number that is the same in every snapshot: ceph-fuse puts the snapshot's own above it
(Ceph, `src/client/fuse_ll.cc`, MAKE_FUSE_INO)."""
SYNCED = 1 << 20
"""Files of this size are on the disks before their time is set, so that it can be trusted after an end by force.
Smaller ones are brought there many at once, and read again after such an end."""
CLOCKS_NS = 600 * 10**9
"""How far clocks may be apart. Clients of CephFS stamp changes by their own, and a stamp that is no later than the
last is not taken (Ceph, `src/mds/Locker.cc`, `_update_cap_fields`): only a time of change that is this much older than
a snapshot tells that nothing came after it."""
OWN = ("ceph.", "security.selinux")
"""Attributes that are the file system's own, not the user's."""


@dataclass(slots=True)
class Progress:
    """How far it is."""

    files: int = 0
    bytes: int = 0
    """Of the contents that are the same now, whether copied or found so."""


@dataclass(frozen=True, slots=True)
class Level:
    """Two directories that are walked side by side."""

    source: int
    target: int
    before: int | None
    """What the target held before, where that is known and has this directory."""
    status: os.stat_result
    names: Iterator[str]


@dataclass(slots=True)
class Copier:
    """One copying of a tree.

    Args:
        trust_times: take a large file of the same size, time, mode and owner for the same, as is right where nobody but
            this writes to the target; otherwise contents are compared.
        before_at_ns: when the earlier snapshot was asked for, in ns of the epoch, where hosts with clocks of their own
            write to the source; what changed later than CLOCKS_NS before it is compared. None where all that changes
            gets an inode or a time of its own.
        report: called now and then.
    """

    trust_times: bool
    before_at_ns: int | None = None
    report: Callable[[Progress], None] = lambda _: None
    progress: Progress = field(default_factory=Progress)
    _first: dict[tuple[int, int], list[str]] = field(default_factory=dict)
    """The first name of each source file that has several."""
    _unsynced: Unsynced = field(default_factory=Unsynced)

    def copy(self, source: str, target: str, before: str | None = None) -> None:
        """Make the directory `target` the same as `source`; OSError with the name of what could not be copied.

        Args:
            before: a snapshot of the source that `target` held whole when this was begun first. What has the same inode
                and time of change in both is left alone unread, as far as that time can be trusted: no program can
                set it. May be the target itself, where `source` is a snapshot of it.
        """
        root = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        try:
            earlier = None if before is None else _directory(before)
            self._walk(os.open(source, os.O_RDONLY | os.O_DIRECTORY), os.dup(root), earlier, root)
            self._unsynced.sync()
        finally:
            self._unsynced.close()
            os.close(root)
        self.report(self.progress)

    def _walk(self, source: int, target: int, before: int | None, root: int) -> None:
        """Go down without recursion: a tenant's tree may be deeper than Python's stack."""
        levels = [self._enter(source, target, before)]
        path: list[str] = []
        try:
            while levels:
                level = levels[-1]
                name = next(level.names, None)
                if name is None:
                    if not self._is_unchanged_directory(level):
                        _set_attributes(level.source, level.target, level.status)
                    self._leave(levels.pop())
                    if path:
                        path.pop()
                    continue
                status = os.stat(name, dir_fd=level.source, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    if len(levels) >= DEEPEST:
                        raise OSError(errno.ENAMETOOLONG, "more directories below each other than are copied", name)
                    below = None if level.before is None else _directory(name, level.before)
                    levels.append(self._enter(*_both(level, name), below))
                    path.append(name)
                else:
                    self._file(level, name, status, [*path, name], root)
        finally:
            for level in levels:
                self._leave(level)

    def _enter(self, source: int, target: int, before: int | None) -> Level:
        names = sorted(os.listdir(source))
        for extra in set(os.listdir(target)) - set(names):
            _remove(extra, target)
        return Level(source, target, before, os.stat(source), iter(names))

    @staticmethod
    def _leave(level: Level) -> None:
        os.close(level.source)
        os.close(level.target)
        if level.before is not None:
            os.close(level.before)

    def _file(self, level: Level, name: str, status: os.stat_result, path: list[str], root: int) -> None:
        """Copy one thing that is no directory."""
        identity = (status.st_dev, status.st_ino)
        if self._is_unchanged(level, name, status):
            pass
        elif status.st_nlink > 1 and identity in self._first:
            self._link(level, name, self._first[identity], root)
        elif not self._is_same(level, name, status):
            _remove(name, level.target)
            if stat.S_ISREG(status.st_mode):
                self._regular(level, name, status, "/".join(path))
            elif stat.S_ISLNK(status.st_mode):
                os.symlink(os.readlink(name, dir_fd=level.source), name, dir_fd=level.target)
                _set_attributes_at(level.target, name, status)
            else:
                os.mknod(name, status.st_mode, status.st_rdev, dir_fd=level.target)
                _set_attributes_at(level.target, name, status)
        if status.st_nlink > 1:
            self._first.setdefault(identity, path)
        self.progress.files += 1
        self.progress.bytes += status.st_size if stat.S_ISREG(status.st_mode) else 0
        self.report(self.progress)

    def _link(self, level: Level, name: str, first: list[str], root: int) -> None:
        """Give the copy of a file that was met before another name."""
        with _opened(root, first[:-1]) as directory:
            there = os.stat(first[-1], dir_fd=directory, follow_symlinks=False)
            with contextlib.suppress(FileNotFoundError):
                old = os.stat(name, dir_fd=level.target, follow_symlinks=False)
                if old.st_ino == there.st_ino:
                    return
                _remove(name, level.target)
            os.link(first[-1], name, src_dir_fd=directory, dst_dir_fd=level.target, follow_symlinks=False)

    def _is_same(self, level: Level, name: str, status: os.stat_result) -> bool:
        try:
            there = os.stat(name, dir_fd=level.target, follow_symlinks=False)
        except FileNotFoundError:
            return False
        if not _alike(there, status):
            return False
        if stat.S_ISLNK(status.st_mode):
            return os.readlink(name, dir_fd=level.source) == os.readlink(name, dir_fd=level.target)
        if not stat.S_ISREG(status.st_mode):
            return True
        with _file_in(level.source, name) as one, _file_in(level.target, name) as other:
            if _attributes(one) != _attributes(other):
                return False
            return (self.trust_times and status.st_size >= SYNCED) or self._same_contents(one, other)

    def _same_contents(self, one: int, other: int) -> bool:
        at = 0
        while block := os.pread(one, BLOCK, at):
            if os.pread(other, len(block), at) != block:
                return False
            at += len(block)
            self.report(self.progress)
        return True

    def _regular(self, level: Level, name: str, status: os.stat_result, path: str) -> None:
        """Copy a file; its time is set last, so that half a file is never the same."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        written = os.open(name, flags, 0o600, dir_fd=level.target)
        try:
            with _file_in(level.source, name) as read:
                self._contents(read, written)
                os.ftruncate(written, status.st_size)
                if status.st_size >= SYNCED:
                    os.fsync(written)
                _set_attributes(read, written, status)
            if status.st_size < SYNCED:
                self._unsynced.add(os.dup(written), path)
        finally:
            os.close(written)

    def _contents(self, read: int, written: int) -> None:
        """Write a file's contents, its holes left out."""
        at = 0
        while block := os.pread(read, BLOCK, at):
            for offset in range(0, len(block), HOLE):
                piece = block[offset : offset + HOLE]
                if piece.count(0) != len(piece):
                    _write_all(written, piece, at + offset)
            at += len(block)
            self.report(self.progress)

    def _is_unchanged(self, level: Level, name: str, status: os.stat_result) -> bool:
        """Whether something is the very same as before, and the target has it as it was."""
        if level.before is None:
            return False
        try:
            earlier = os.stat(name, dir_fd=level.before, follow_symlinks=False)
            there = os.stat(name, dir_fd=level.target, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return self._is_untouched(earlier, status) and _alike(earlier, status) and _alike(there, status)

    def _is_unchanged_directory(self, level: Level) -> bool:
        """Whether a directory's own attributes are as before; its size and its links are those of what is in it."""
        if level.before is None:
            return False
        earlier, there = os.fstat(level.before), os.fstat(level.target)
        own = ("st_mode", "st_uid", "st_gid", "st_mtime_ns")
        return self._is_untouched(earlier, level.status) and all(
            getattr(one, what) == getattr(level.status, what) for one in (earlier, there) for what in own
        )

    def _is_untouched(self, earlier: os.stat_result, now: os.stat_result) -> bool:
        if self.before_at_ns is not None and now.st_ctime_ns > self.before_at_ns - CLOCKS_NS:
            return False
        return (earlier.st_ino & INODE, earlier.st_ctime_ns) == (now.st_ino & INODE, now.st_ctime_ns)


def _alike(one: os.stat_result, other: os.stat_result) -> bool:
    same = ("st_mode", "st_uid", "st_gid", "st_size", "st_mtime_ns", "st_rdev", "st_nlink")
    return all(getattr(one, what) == getattr(other, what) for what in same)


def _directory(name: str, directory: int | None = None) -> int | None:
    """Open a directory, if there is one of the name."""
    try:
        return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise


def _both(level: Level, name: str) -> tuple[int, int]:
    """Open a directory of the source and the one of the same name in the target, made if it is not there."""
    source = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=level.source)
    try:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISDIR(os.stat(name, dir_fd=level.target, follow_symlinks=False).st_mode):
                _remove(name, level.target)
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=level.target)
        target = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=level.target)
    except BaseException:
        os.close(source)
        raise
    return source, target


def _write_all(file: int, data: bytes, at: int) -> None:
    while data:
        count = os.pwrite(file, data, at)
        data, at = data[count:], at + count


@contextlib.contextmanager
def _file_in(directory: int, name: str) -> Iterator[int]:
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    try:
        yield file
    finally:
        os.close(file)


@contextlib.contextmanager
def _opened(root: int, path: list[str]) -> Iterator[int]:
    """A directory below another, by steps of which none follows a link."""
    here = os.dup(root)
    try:
        for name in path:
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _remove(name: str, directory: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            shutil.rmtree(name, dir_fd=directory)
        else:
            os.unlink(name, dir_fd=directory)


def _attributes(file: int) -> dict[str, bytes]:
    return {name: os.getxattr(file, name) for name in os.listxattr(file) if not name.startswith(OWN)}


def _set_attributes(source: int, target: int, status: os.stat_result) -> None:
    """Give an open file or directory what another has: owner first, since it takes bits of the mode; times last."""
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    wanted, there = _attributes(source), _attributes(target)
    for name in there.keys() - wanted.keys():
        os.removexattr(target, name)
    for name, value in wanted.items():
        if there.get(name) != value:
            os.setxattr(target, name, value)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _set_attributes_at(target: int, name: str, status: os.stat_result) -> None:
    """The same for what cannot be opened: a link, a pipe, a device."""
    os.chown(name, status.st_uid, status.st_gid, dir_fd=target, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)
    os.utime(name, ns=(status.st_atime_ns, status.st_mtime_ns), dir_fd=target, follow_symlinks=False)
