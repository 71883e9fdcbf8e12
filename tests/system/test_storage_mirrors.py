"""A volume that follows another: a real Ceph, wishes in a real etcd, and the leading host's own code between."""

import contextlib
import random
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import pytest
import stage
from small_ceph import MDS, PLACES, Mount, SmallCeph

from cbstorage import records
from cbstorage.ceph import cephx
from cbstorage.model import FILE_SYSTEM, VolumeSpecification
from cbstorage.promise import Promise
from cbstorage.wanted import mirrors, snapshots, volumes
from cladnet.etcd.store import Store
from cladnet.placement.model import Survive
from larva.errors import Conflict, LarvaError

pytestmark = [pytest.mark.root, pytest.mark.image]

GROUP = "demo-1"
MIB = 1 << 20
WAIT_S = 120.0
FAR = Promise(survive=Survive.HOST, home="azure")
SOURCE_POOL = "only-aws"

LEAD = """
import logging, sys, threading
from cbstorage.host import claim
from cbstorage.leading.volume_keeper import VolumeKeeper
from cladnet.etcd.store import Store
from larva.errors import LarvaError
logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
group, fsid, *endpoints = sys.argv[1:]
claim.stake(group, fsid)
ended = threading.Event()
def end():
    sys.stdin.buffer.read()
    ended.set()
threading.Thread(target=end, daemon=True).start()
with Store(endpoints) as store:
    keeper = VolumeKeeper(store, group, "aws-1")
    while not ended.is_set():
        try:
            keeper.reconcile()
        except LarvaError as error:
            print(error.message, file=sys.stderr)
        ended.wait(0.2)
"""
MAKE = """
from pathlib import Path
from cbstorage.leading import tree
tree.run(tree.Order(
    keyring=Path("/etc/ceph/ceph.client.admin.keyring"), entity="client.admin",
    make=(tree.Make(path=path, namespace=namespace, size_bytes=size, pool=pool),),
))
"""

FILL = r"""
mkdir -p deep/er empty many && chmod 2750 empty
echo words >text && ln text deep/er/same && ln -s nowhere link && mkfifo pipe
truncate -s 32M holes
echo middle | dd of=holes bs=1M seek=16 conv=notrunc status=none
dd if=/dev/urandom of=big bs=1M count=3 status=none && chown 1234:5678 big && chmod 4640 big
dd if=/dev/urandom of=stays bs=1M count=2 status=none
for n in $(seq 60); do echo $n >many/$n; done
echo odd >"$(printf 'a\nb \\ \303\251 \377')" && echo dash >-rf && echo current >current
python3 -c 'import os; os.setxattr("text", "user.colour", b"green"); os.setxattr("deep", "user.kind", b"d")'
setfacl -m u:1234:r big 2>&- || :
touch -d '2001-02-03 04:05:06.789 UTC' text big deep/er deep .
find . -type f -exec sync {} + && sync . many deep deep/er
"""
"""Its last line: what a client that is killed had not written yet is in no snapshot."""
CHANGE = r"""
rm -r empty link && mkdir link && echo else >link/file && echo more >>text
mv many some && rm some/1? && mkdir -p many && echo new >many/1 && echo 'not-five' >some/5
dd if=/dev/urandom of=big bs=1M count=1 conv=notrunc status=none && touch -d '2001-02-03 04:05:06.789 UTC' big
for n in $(seq 40); do dd if=/dev/urandom of=more-$n bs=256k count=1 status=none; done
python3 -c 'import os; os.setxattr("deep", "user.kind", b"e")'
find . -type f -exec sync {} + && sync . many some deep link
"""
"""Also: a file whose content is another, and its size and time are not."""
DESCRIBE = r"""
cd "$0"
find . -type d -printf '%P %m %U %G %T@\n' | sort
find . ! -type d -printf '%P %y %m %U %G %s %T@ %n %l\n' | sort
find . -type f -print0 | sort -z | xargs -0 sha256sum --
stat -c '%i' text deep/er/same | uniq | wc -l
python3 -c 'import os; print([(n, {x: os.getxattr(n, x) for x in os.listxattr(n)}) for n in ("text", "deep", "big")])'
"""


def describe(mount: Mount, path: str) -> str:
    return mount.run(["bash", "-euc", DESCRIBE, path], timeout=90)


QUOTA = """import os; print(os.getxattr(".", "ceph.quota.max_bytes").decode())"""


class Leader:
    """The leading host's process, which is ended by force when a test says so."""

    def __init__(self, small: SmallCeph, endpoints: list[str]) -> None:
        self._small = small
        self._argv = ["python3", "-c", LEAD, GROUP, small.fsid, *endpoints]
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._child = self._small.start(self._argv)
        return self

    def __exit__(self, *_: object) -> None:
        """End it and what copies for it, as a host that is switched off."""
        self._small.run(["sh", "-c", "pkill -KILL -f 'leading[.]volume_keeper'; pkill -KILL -f leading[.]copier; :"])
        if self._child is not None:
            self._child.communicate(timeout=60)

    def kill(self) -> None:
        """And start it again."""
        self.__exit__()
        self.__enter__()


@contextlib.contextmanager
def lost(small: SmallCeph, osd: int) -> Iterator[None]:
    """An OSD that is not there."""
    small.kill(f"osd.{osd}")
    try:
        small.wait("it is down", lambda: small.ceph("osd", "stat")["num_up_osds"] == len(PLACES) - 1)
        yield
    finally:
        small.start_daemon(f"osd.{osd}")


@contextlib.contextmanager
def restarted(small: SmallCeph, daemon: str) -> Iterator[None]:
    """A daemon that ends is started again, as its unit does: a session's end has been one for Ceph 18.2.7's MDS."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1):
            if small.run(["sh", "-c", 'kill -0 "$(cat "$0")" && echo runs || :', f"/run/ceph/{daemon}.pid"]) == "":
                print(f"{daemon} had ended")
                small.start_daemon(daemon)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield
        finally:
            over.set()
            watching.result()


@pytest.fixture(scope="module")
def source_pool(small_ceph: SmallCeph) -> str:
    """A pool that is lost with its only OSD, in the cloud aws."""
    small_ceph.ceph("osd", "crush", "rule", "create-replicated", "only-aws", PLACES[0].provider, "host")
    small_ceph.ceph("config", "set", "global", "mon_allow_pool_size_one", "true")
    small_ceph.ceph("osd", "pool", "create", SOURCE_POOL, "8", "8", "replicated", "only-aws")
    small_ceph.ceph("osd", "pool", "set", SOURCE_POOL, "size", "1", "--yes-i-really-mean-it")
    small_ceph.ceph("fs", "add_data_pool", FILE_SYSTEM, SOURCE_POOL)
    return SOURCE_POOL


@pytest.fixture
def endpoints(small_ceph: SmallCeph, etcd_factory: Any) -> list[str]:
    etcd = etcd_factory(address=str(small_ceph.outside))
    stage.set_up(etcd.store(), GROUP, fsid=small_ceph.fsid, cidr=str(small_ceph.network))
    return list(etcd.endpoints)


@contextlib.contextmanager
def reader(small: SmallCeph, volume: VolumeSpecification) -> Iterator[Mount]:
    """What a host has that mounts a mirror."""
    caps = cephx.volume_caps(
        file_system=FILE_SYSTEM, path=volume.path, data_pool=volume.data_pool, namespace=volume.namespace,
        read_only=True,
    )  # fmt: skip
    words = [word for pair in caps.items() for word in pair]
    entity = volume.entity("gcp-1", read_only=True)
    key = small.ceph("auth", "get-or-create", entity, *words)[0]["key"]
    with small.mount(volume.path, entity=entity, key=key) as mount, left(mount):
        yield mount


@contextlib.contextmanager
def left(mount: Mount) -> Iterator[None]:
    """In the end it goes by itself and is not killed: others wait for the rights of a client that is lost."""
    yield
    gone = 'p=$(cat "$0") && umount "$1" && while kill -0 "$p" 2>&-; do sleep 0.1; done'
    mount.small.run(["sh", "-c", gone, f"/run/ceph/{mount.name}.pid", mount.path])


def test_a_mirror_follows_through_every_end_by_force_and_outlives_its_source(
    small_ceph: SmallCeph, source_pool: str, endpoints: list[str]
) -> None:
    store = Store(endpoints)
    source = volumes.create(store, GROUP, "data", 256 * MIB)
    small_ceph.python(MAKE, path=source.path, namespace=source.namespace, size=source.size_bytes, pool=source_pool)
    with restarted(small_ceph, f"mds.{MDS}"), Leader(small_ceph, endpoints) as leader:
        volumes.wait_ready(store, GROUP, "data", timeout_s=WAIT_S)
        with small_ceph.mount(source.path) as mount, left(mount):
            mount.run(["bash", "-euc", FILL])
            made = mirrors.create(store, GROUP, "data", FAR, every_s=86400, keep=2)
            first = mirrors.wait_whole(store, GROUP, made.name, timeout_s=WAIT_S)
            wanted = describe(mount, ".")
            with reader(small_ceph, made) as far:
                assert describe(far, f".snap/{first.complete}") == wanted
                inode = far.run(["stat", "--format=%i", "stays"])
                with pytest.raises(LarvaError):
                    far.run(["touch", "mine"])
            mount.run(["bash", "-euc", CHANGE])
            wanted = describe(mount, ".")
        asked = mirrors.now(store, GROUP, made.name)
        chance = random.Random(7)
        for _ in range(3):  # the round is begun, gone on with, or over
            with contextlib.suppress(LarvaError):
                mirrors.wait_whole(store, GROUP, made.name, asked=asked, timeout_s=chance.uniform(0.5, 4))
            leader.kill()
        second = mirrors.wait_whole(store, GROUP, made.name, asked=asked, timeout_s=2 * WAIT_S)
        with reader(small_ceph, made) as far:
            assert describe(far, f".snap/{second.complete}") == wanted
            assert far.run(["stat", "--format=%i", "stays"]) == inode, "what did not change was copied again"
        with pytest.raises(Conflict, match="a mirror's"):
            snapshots.delete(store, GROUP, "data", str(second.complete))
        with pytest.raises(Conflict, match="follows data, which is there"):
            mirrors.promote(store, GROUP, made.name)

        with small_ceph.mount(source.path) as mount, left(mount):
            mount.write("big", b"what is lost with the source")
        with lost(small_ceph, 0):
            mirrors.now(store, GROUP, made.name)  # a round that cannot end: what is to be read is away
            running = ["sh", "-c", "pgrep -f leading[.]copier || :"]
            small_ceph.wait("it has begun", lambda: small_ceph.run(running))
            with reader(small_ceph, made) as late:
                assert describe(late, f".snap/{second.complete}") == wanted
            mirrors.promote(store, GROUP, made.name, force=True)
            volumes.wait_ready(store, GROUP, made.name, timeout_s=2 * WAIT_S)
            with small_ceph.mount(made.path) as mount, left(mount):
                assert describe(mount, ".") == wanted
                mount.write("text", b"written here now")
                assert int(mount.run(["python3", "-c", QUOTA])) == source.size_bytes
            assert mirrors.list_all(store, GROUP) == ()
            small_ceph.wait(
                "its source keeps nothing for it",
                lambda: not [one for one, _ in records.snapshots(store, GROUP) if one == source.id],
            )
