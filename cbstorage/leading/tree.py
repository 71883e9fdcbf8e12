"""The file system's own tree: make, size, count and remove the directories behind volumes, through libcephfs.

libcephfs may wait without end for a metadata server, so it runs in a child process that can be killed:
`python -m cbstorage.leading.tree`. Only the appliance has the module `cephfs`.
"""

import contextlib
import json
import os
import posixpath
import secrets
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbstorage.host import local
from cbstorage.model import FILE_SYSTEM, TRASH
from larva import codec, process
from larva.errors import InvalidInput, ProgramFailed

MAKE_S = 40
PURGE_S = 20.0
"""A purge gives way to other volumes after this long, and is taken up again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """Make a volume's directory if it is not there, and set its pool, its namespace and its quota."""

    path: str
    namespace: str
    size_bytes: int
    pool: str = ""
    """Empty: the file system's first."""
    trash: str = ""
    """Where it lies if it was deleted before; then it is taken back from there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discard:
    """Move a volume's directory into the trash."""

    path: str
    trash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snap:
    """A snapshot of a directory."""

    path: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Evict:
    """End every session of an identity, and shut the addresses out from which it came."""

    entity: str
    """Whose: by what it proved with its key, never by what a client says of itself."""
    servers: tuple[str, ...]
    """The active metadata servers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a child process should do."""

    keyring: Path
    entity: str
    make: tuple[Make, ...] = ()
    count: tuple[str, ...] = ()
    discard: tuple[Discard, ...] = ()
    purge: tuple[str, ...] = ()
    """Directories of the trash to be destroyed with all in them."""
    evict: tuple[Evict, ...] = ()
    snap: tuple[Snap, ...] = ()
    unsnap: tuple[Snap, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it did."""

    used_bytes: dict[str, int]
    """By path."""
    unfinished: tuple[str, ...] = ()
    """What to purge goes on with the next order for it."""
    missing: tuple[str, ...] = ()
    """What to count is not there."""


def carry_out(order: Order) -> Answer:
    """Run an order in a child process.

    Raises:
        TimedOut: the metadata servers did not answer in time.
        ProgramFailed: the file system refused; the message has its words.
    """
    bound = MAKE_S + PURGE_S * len(order.purge)
    answer = process.run([sys.executable, "-m", "cbstorage.leading.tree"], input=codec.encode(order), timeout=bound)
    return codec.decode(answer, Answer, source="python -m cbstorage.leading.tree")


class Tree:
    """A mount of the whole file system in this process."""

    def __init__(self, order: Order) -> None:
        import cephfs

        self._errors: Any = cephfs
        self._fs: Any = cephfs.LibCephFS(
            conffile=str(local.CONFIGURATION),
            auth_id=order.entity.removeprefix("client."),
            conf={"keyring": str(order.keyring), "client_mount_timeout": "15", "log_file": ""},
        )
        self._fs.mount(filesystem_name=FILE_SYSTEM.encode())

    def close(self) -> None:
        """Unmount."""
        self._fs.shutdown()

    def make(self, wish: Make) -> None:
        """Make a directory; pool and namespace are set while it is empty, as Ceph demands.

        One that is taken back from the trash is not empty: it has both already, and setting the same is no change.
        """
        if wish.trash and self._is_there(wish.trash):
            with contextlib.suppress(self._errors.ObjectExists):
                self._fs.mkdirs(posixpath.dirname(wish.path), 0o755)
            self._fs.rename(wish.trash, wish.path)
        with contextlib.suppress(self._errors.ObjectExists):  # made by an earlier attempt
            self._fs.mkdirs(wish.path, 0o755)
        if wish.pool:
            self._fs.setxattr(wish.path, "ceph.dir.layout.pool", wish.pool.encode(), 0)
        self._fs.setxattr(wish.path, "ceph.dir.layout.pool_namespace", wish.namespace.encode(), 0)
        self._fs.setxattr(wish.path, "ceph.quota.max_bytes", str(wish.size_bytes).encode(), 0)

    def evict(self, wish: Evict) -> None:
        """End an identity's sessions; it may have none."""
        filters = [f"auth_name={wish.entity.removeprefix('client.')}"]
        command = json.dumps({"prefix": "session evict", "filters": filters})
        for server in wish.servers:
            code, _, words = self._fs.mds_command(server, command, "")
            if code != 0:
                raise ProgramFailed(f"mds.{server} does not end the sessions of {wish.entity}: {words or code}")

    def count(self, path: str) -> int | None:
        """Bytes below a directory; None if it is not there."""
        try:
            return int(self._fs.getxattr(path, "ceph.dir.rbytes"))
        except self._errors.ObjectNotFound:
            return None

    def discard(self, wish: Discard) -> None:
        """Move a directory into the trash, out of everybody's sight, in one step."""
        with contextlib.suppress(self._errors.ObjectExists):
            self._fs.mkdir(TRASH, 0o700)
        with contextlib.suppress(self._errors.ObjectNotFound):  # an earlier attempt came this far
            if self._is_there(wish.trash):
                # A leader that was late made it anew; it is empty, since nobody has a key for it.
                self._fs.rmdir(wish.path)
            else:
                self._fs.rename(wish.path, wish.trash)

    def snap(self, wish: Snap) -> None:
        """Make a snapshot, if it is not there; nobody's key for the volume can make or remove one."""
        with contextlib.suppress(self._errors.ObjectExists):
            self._fs.mksnap(wish.path, wish.name, 0o755)

    def unsnap(self, wish: Snap) -> None:
        """Remove a snapshot, if it is there: Ceph 18.2.7 never answers whoever removes one that is not."""
        if self._is_there(f"{wish.path}/.snap/{wish.name}"):
            with contextlib.suppress(self._errors.ObjectNotFound):
                self._fs.rmsnap(wish.path, wish.name)

    def purge(self, path: str, *, deadline: float) -> bool:
        """Destroy a directory of the trash and all in it; False when time ran out.

        Args:
            deadline: of time.monotonic().
        """
        if posixpath.dirname(path) != TRASH:
            raise InvalidInput(f"{path} is not in the trash")
        for name in self._names(f"{path}/.snap".encode()):
            if not name.startswith(b"_"):  # one of a directory above
                self.unsnap(Snap(path=path, name=name.decode()))
        return self._purge(path.encode(), deadline)

    def _is_there(self, path: str) -> bool:
        try:
            self._fs.lstat(path)
        except self._errors.ObjectNotFound:
            return False
        return True

    def _purge(self, top: bytes, deadline: float) -> bool:
        """Empty a tree that its owner made as deep as he liked: what is below is moved up, so that no path grows long.

        The metadata server walks every path from the root, and a call costs what its path is long.
        """
        while below := self._unlink_files(top, deadline):
            for directory in below:
                inner = self._unlink_files(directory, deadline)
                if inner is None:
                    return False
                for one in inner:
                    self._fs.rename(one, top + b"/" + secrets.token_hex(8).encode())
                with contextlib.suppress(self._errors.ObjectNotFound):
                    self._fs.rmdir(directory)
        if below is None:
            return False
        with contextlib.suppress(self._errors.ObjectNotFound):
            self._fs.rmdir(top)
        return True

    def _names(self, path: bytes) -> list[bytes]:
        """What is in a directory; nothing if it is not there."""
        try:
            handle = self._fs.opendir(path)
        except self._errors.ObjectNotFound:
            return []
        names = []
        while entry := self._fs.readdir(handle):
            if entry.d_name not in (b".", b".."):
                names.append(entry.d_name)
        self._fs.closedir(handle)
        return names

    def _unlink_files(self, path: bytes, deadline: float) -> list[bytes] | None:
        """Remove what is no directory and return the directories; None when time ran out."""
        directories = []
        for name in self._names(path):
            if time.monotonic() > deadline:
                return None
            child = path + b"/" + name
            with contextlib.suppress(self._errors.ObjectNotFound):
                if stat.S_ISDIR(self._fs.lstat(child).st_mode):
                    directories.append(child)
                else:
                    self._fs.unlink(child)
        return directories


def run(order: Order) -> Answer:
    """Carry out an order in this process; ProgramFailed when whoever gave it is gone: another may lead by now.

    What is evicted late would be the next leader's copier, and a snapshot that is made late would be of another time.
    """
    whose = os.getppid()
    tree = Tree(order)
    try:
        for wish in order.make:
            tree.make(wish)
        for one in order.evict:
            _require_parent(whose)
            tree.evict(one)
        for snapshot in order.unsnap:  # first: a directory has room for so many
            tree.unsnap(snapshot)
        for snapshot in order.snap:
            _require_parent(whose)
            tree.snap(snapshot)
        for gone in order.discard:
            tree.discard(gone)
        unfinished = tuple(path for path in order.purge if not tree.purge(path, deadline=time.monotonic() + PURGE_S))
        counted = {path: tree.count(path) for path in order.count}
        return Answer(
            used_bytes={path: used for path, used in counted.items() if used is not None},
            unfinished=unfinished,
            missing=tuple(path for path, used in counted.items() if used is None),
        )
    finally:
        tree.close()


def _require_parent(process_id: int) -> None:
    if os.getppid() != process_id:
        raise ProgramFailed("whoever gave this order is gone")


if __name__ == "__main__":
    wanted = codec.decode(sys.stdin.buffer.read(), Order, source="standard input")
    sys.stdout.buffer.write(codec.encode(run(wanted)))
