"""What programs expect of a file system, on a small real Ceph mounted as a host mounts it: ACLs, locks, attributes."""

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_ceph import Mount, SmallCeph

from cbstorage.ceph import cephx, conf
from cbstorage.leading import pools
from cbstorage.model import FILE_SYSTEM
from larva.errors import ProgramFailed

pytestmark = [pytest.mark.root, pytest.mark.image]

NAMESPACE = "volume.test"
VOLUME = "/volumes/test/v"
OPTIONS = tuple(f"--{name}={value}" for name, value in conf.CLIENT.items())
SOMEBODY, ANOTHER = 1234, 1235
ACL = "system.posix_acl_access"
SET = "import os, sys; os.setxattr(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]))"
GET = "import os, sys; print(os.getxattr(sys.argv[1], sys.argv[2]).hex())"
LOCK = """
import errno, fcntl, sys
kind, name = sys.argv[1:]
take = {"flock": fcntl.flock, "posix": fcntl.lockf}[kind]
with open(name, "r+") as file:
    try:
        take(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        assert error.errno in (errno.EAGAIN, errno.EACCES), error
        print("taken")
    else:
        print("free", flush=True)
        sys.stdin.read()  # until whoever wanted it lets go
"""
MAKE = """
from pathlib import Path
from cbstorage.leading import tree
tree.run(tree.Order(
    keyring=Path("/etc/ceph/ceph.client.admin.keyring"), entity="client.admin",
    make=(tree.Make(path=path, namespace=namespace, size_bytes=1 << 28),),
))
"""


@pytest.fixture(scope="module")
def volume(small_ceph: SmallCeph) -> SmallCeph:
    """A cluster with a volume in it."""
    small_ceph.python(MAKE, path=VOLUME, namespace=NAMESPACE)
    return small_ceph


@contextlib.contextmanager
def mounted(small: SmallCeph, entity: str, *, read_only: bool = False, may_write: bool = True) -> Iterator[Mount]:
    """The volume as a host has it, with an identity of its own.

    Args:
        read_only: how it is mounted.
        may_write: what its key allows.
    """
    caps = cephx.volume_caps(
        file_system=FILE_SYSTEM, path=VOLUME, data_pool=pools.DATA_POOL, namespace=NAMESPACE, read_only=not may_write
    )
    words = [word for pair in caps.items() for word in pair]
    key = small.ceph("auth", "get-or-create", entity, *words)[0]["key"]
    options = (*OPTIONS, *(["-o", "ro"] if read_only else []))
    with small.mount(VOLUME, entity=entity, key=key, options=options) as mount:
        try:
            yield mount
        finally:
            # Said farewell to, the metadata server waits for no client that is gone.
            small.run(["umount", mount.path])
            there = ["sh", "-c", 'kill -0 "$(cat "$0")" 2>&- && echo yes || :', f"/run/ceph/{mount.name}.pid"]
            small.wait("the client is gone", lambda: small.run(there) == "")


def as_user(mount: Mount, user: int, argv: list[str], *, ok_codes: tuple[int, ...] = (0,)) -> str:
    words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--", *argv]
    return mount.run(words, ok_codes=ok_codes)


def acl(user: int, permissions: int) -> bytes:
    """An ACL in which one more user has these rights, as the kernel keeps it (include/uapi/linux/posix_acl_xattr.h)."""
    nobody = 0xFFFFFFFF
    entries = ((0x01, 6, nobody), (0x02, permissions, user), (0x04, 0, nobody), (0x10, 7, nobody), (0x20, 0, nobody))
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def test_an_acl_lets_one_more_user_in_on_every_host(volume: SmallCeph) -> None:
    with mounted(volume, "client.v.00000001.a") as one, mounted(volume, "client.v.00000001.b") as other:
        one.run(["chmod", "755", "."])
        one.write("letter", b"dear")
        one.run(["chmod", "600", "letter"])
        for mount in (one, other):
            assert as_user(mount, SOMEBODY, ["cat", "letter"], ok_codes=(1,)) == ""
        one.run(["python3", "-c", SET, "letter", ACL, acl(SOMEBODY, 4).hex()])
        for mount in (one, other):
            assert as_user(mount, SOMEBODY, ["cat", "letter"]) == "dear"
            assert as_user(mount, ANOTHER, ["cat", "letter"], ok_codes=(1,)) == ""
            assert bytes.fromhex(mount.run(["python3", "-c", GET, "letter", ACL]).strip()) == acl(SOMEBODY, 4)
        with pytest.raises(ProgramFailed):
            as_user(other, SOMEBODY, ["sh", "-c", "echo more >>letter"])


def test_modes_hold_without_an_acl(volume: SmallCeph) -> None:
    with mounted(volume, "client.v.00000001.a") as mount:
        mount.run(["mkdir", "-m", "700", "private"])
        mount.run(["install", "-d", "-o", str(SOMEBODY), "-m", "755", "own"])
        assert as_user(mount, SOMEBODY, ["sh", "-c", "echo x >own/file && cat own/file"]) == "x\n"
        for forbidden in (["ls", "private"], ["touch", "private/x"], ["touch", "root-owned"]):
            with pytest.raises(ProgramFailed):
                as_user(mount, SOMEBODY, forbidden)
        with pytest.raises(ProgramFailed):
            as_user(mount, ANOTHER, ["rm", "-f", "own/file"])


def test_attributes_are_the_same_on_every_host(volume: SmallCeph) -> None:
    with mounted(volume, "client.v.00000001.a") as one, mounted(volume, "client.v.00000001.b") as other:
        one.write("marked", b"")
        one.run(["python3", "-c", SET, "marked", "user.colour", b"red".hex()])
        assert bytes.fromhex(other.run(["python3", "-c", GET, "marked", "user.colour"]).strip()) == b"red"


@pytest.mark.parametrize("kind", ["flock", "posix"])
def test_a_lock_of_one_host_keeps_the_others_out(volume: SmallCeph, kind: str) -> None:
    with mounted(volume, "client.v.00000001.a") as one, mounted(volume, "client.v.00000001.b") as other:
        one.write("locked", b"")
        volume.write("/run/lock.py", LOCK)
        words = f"cd {one.path} && exec python3 /run/lock.py {kind} locked >/run/held.{kind}"
        with volume.start(["sh", "-c", words]) as holder:
            volume.wait("the lock is held", lambda: "free" in volume.run(["cat", f"/run/held.{kind}"], ok_codes=(0, 1)))
            assert other.run(["python3", "/run/lock.py", kind, "locked"]).strip() == "taken"
            assert holder.stdin is not None
            holder.stdin.close()
            assert holder.wait(timeout=60) == 0
        assert other.run(["python3", "/run/lock.py", kind, "locked"]).strip() == "free"


def test_read_only_is_the_mount_s_and_the_key_s(volume: SmallCeph) -> None:
    with mounted(volume, "client.v.00000001.a") as writer, contextlib.ExitStack() as stack:
        writer.write("told", b"told")
        reader = stack.enter_context(mounted(volume, "client.v.00000001.b.ro", read_only=True, may_write=False))
        # Somebody on that host who is root mounts it anew for writing, with the same key.
        sly = stack.enter_context(mounted(volume, "client.v.00000001.b.ro", may_write=False))
        for mount, words in ((reader, "Read-only file system"), (sly, "denied|not permitted|Read-only")):
            assert mount.read("told") == b"told"
            with pytest.raises(ProgramFailed, match=words):
                mount.run(["touch", "new"])
            with pytest.raises(ProgramFailed, match=words):
                mount.run(["sh", "-c", "echo more >>told && sync told"])
        writer.write("told", b"again")
        assert reader.read("told") == b"again"
        table = Path(reader.path)
        line = volume.run(["grep", f" {table} ", "/proc/self/mountinfo"])
        assert line.split(" ")[5].split(",")[0] == "ro"
