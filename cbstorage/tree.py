"""The file system's own tree: make, size, count and remove the directories behind volumes, through libcephfs.

libcephfs may wait without end for a metadata server, so it runs in a child process that can be killed:
`python -m cbstorage.tree`. Only the appliance has the module `cephfs`.
"""

import contextlib
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cbstorage import local
from cbstorage.model import FILE_SYSTEM
from larva import codec, process

MAKE_S = 40
REMOVE_S = 600
TRASH = "/trash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """Make a volume's directory if it is not there, and set its namespace and quota."""

    path: str
    namespace: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a child process should do."""

    keyring: Path
    entity: str
    make: tuple[Make, ...] = ()
    count: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What it did; bytes in use by path."""

    used_bytes: dict[str, int]


def carry_out(order: Order) -> Answer:
    """Run an order in a child process.

    Raises:
        TimedOut: the metadata servers did not answer in time.
        ProgramFailed: the file system refused; the message has its words.
    """
    bound = REMOVE_S if order.remove else MAKE_S
    answer = process.run([sys.executable, "-m", "cbstorage.tree"], input=codec.encode(order), timeout=bound)
    return codec.decode(answer, Answer, source="python -m cbstorage.tree")


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
        """Make a directory; the namespace is set while it is empty, as Ceph demands."""
        with contextlib.suppress(self._errors.ObjectExists):  # made by an earlier attempt
            self._fs.mkdirs(wish.path, 0o755)
        self._fs.setxattr(wish.path, "ceph.dir.layout.pool_namespace", wish.namespace.encode(), 0)
        self._fs.setxattr(wish.path, "ceph.quota.max_bytes", str(wish.size_bytes).encode(), 0)

    def count(self, path: str) -> int:
        """Bytes below a directory; 0 if it is not there."""
        try:
            return int(self._fs.getxattr(path, "ceph.dir.rbytes"))
        except self._errors.ObjectNotFound:
            return 0

    def remove(self, path: str) -> None:
        """Remove a directory and all in it: out of sight in one step, then for good."""
        with contextlib.suppress(self._errors.ObjectExists):
            self._fs.mkdir(TRASH, 0o700)
        trash = f"{TRASH}/{path.rsplit('/', 1)[-1]}"
        with contextlib.suppress(self._errors.ObjectNotFound):  # an earlier attempt came this far
            self._fs.rename(path, trash)
        self._purge(trash.encode())

    def _purge(self, path: bytes) -> None:
        try:
            handle = self._fs.opendir(path)
        except self._errors.ObjectNotFound:
            return
        entries = []
        while entry := self._fs.readdir(handle):
            if entry.d_name not in (b".", b".."):
                entries.append(entry.d_name)
        self._fs.closedir(handle)
        for name in entries:
            child = path + b"/" + name
            if stat.S_ISDIR(self._fs.lstat(child).st_mode):
                self._purge(child)
            else:
                self._fs.unlink(child)
        self._fs.rmdir(path)


def run(order: Order) -> Answer:
    """Carry out an order in this process."""
    tree = Tree(order)
    try:
        for wish in order.make:
            tree.make(wish)
        for path in order.remove:
            tree.remove(path)
        return Answer(used_bytes={path: tree.count(path) for path in order.count})
    finally:
        tree.close()


if __name__ == "__main__":
    wanted = codec.decode(sys.stdin.buffer.read(), Order, source="standard input")
    sys.stdout.buffer.write(codec.encode(run(wanted)))
