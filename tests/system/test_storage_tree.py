"""What becomes of volumes in a real file system: quota, whose sessions end, who reads whose data."""

import contextlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from small_ceph import MDS, Mount, SmallCeph

from cbstorage.ceph import cephx
from cbstorage.leading import pools
from cbstorage.model import FILE_SYSTEM, VolumeSpecification
from larva import codec
from larva.errors import LarvaError

pytestmark = [pytest.mark.root, pytest.mark.image]

MIB = 1 << 20

CARRY_OUT = """
from pathlib import Path
from cbstorage.leading import tree
from larva import codec
order = codec.convert({"entity": "client.admin", "keyring": "/etc/ceph/ceph.client.admin.keyring", **order}, tree.Order,
                      source="test")
result = codec.to_builtins(tree.run(order))
"""


KEEP = """
from dataclasses import replace
from unittest.mock import Mock
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.leading import metadata_servers, mount_keys, tree, volume_plan
from cbstorage.model import MountPhase, MountSpecification, MountState, SealedKey, SealedKeys, VolumeSpecification
from cbstorage.share_model import VolumeShares
from cladnet.etcd.store import Versioned
from larva import codec
volume = codec.convert(volume, VolumeSpecification, source="test")
record = codec.convert({"group": volume.group, "volume_id": volume.id, "shares": shares}, VolumeShares, source="test")
about = {"volume": volume.name, "volume_id": volume.id, "path": "/srv/kept"}
desired = volume_plan.Desired(
    volumes=(Versioned("v", volume, 1),),
    states={},
    mounts={(host, volume.name): MountSpecification(host=host, **about) for host in hosts},
    reports={(host, volume.name): MountState(host=host, phase=MountPhase.MOUNTED, **about) for host in hosts},
    handed_out={
        (host, volume.name): Versioned(
            "k", SealedKeys(seal_key=host, keys=(SealedKey(entity=volume.entity(host), box=""),)), 1
        )
        for host in hosts
    },
    shares={volume.id: record},
)
failed = replace(
    desired,
    reports={(host, volume.name): MountState(host=host, phase=MountPhase.FAILED, **about) for host in hosts},
)
back = volume_plan.plan(desired, {host: host for host in hosts}).take_back
def evict(entities, servers):
    ended = tuple(tree.Evict(entity=entity, servers=servers) for entity in entities)
    order = tree.Order(entity="client.admin", keyring=local.keyring_of("client.admin"), evict=ended)
    tree.carry_out(order)


held = mount_keys.MountKeys(Mock(), volume.group, evict)
with Monitors(local.CONFIGURATION, entity="client.admin", keyring=local.keyring_of("client.admin")) as monitors:
    before = mount_keys.dead(monitors, failed)
    active = metadata_servers.active_metadata_servers(monitors)
    held.take_back(monitors, active, {pair: desired.handed_out[pair] for pair in back})
    dead = sorted(host for host, _ in mount_keys.dead(monitors, failed) - before)
    assert mount_keys.dead(monitors, desired) == before == frozenset()
result = {"back": [host for host, _ in back], "dead": dead}
"""


def carry_out(small: SmallCeph, **order: Any) -> dict[str, Any]:
    """What the leading host has its child process do."""
    answer: dict[str, Any] = small.python(CARRY_OUT, order=order)
    return answer


def volume(name: str) -> VolumeSpecification:
    return VolumeSpecification(
        group="demo", name=name, id=secrets.token_hex(4), size_bytes=64 * MIB, created_at=datetime.now(UTC)
    )


def make(small: SmallCeph, name: str) -> VolumeSpecification:
    """A volume with its directory."""
    made = volume(name)
    wish = {"path": made.path, "namespace": made.namespace, "size_bytes": made.size_bytes}
    carry_out(small, make=[wish])
    return made


def key_for(small: SmallCeph, made: VolumeSpecification, host: str) -> tuple[str, str]:
    """The identity and the key by which a host mounts a volume."""
    caps = cephx.volume_caps(
        file_system=FILE_SYSTEM, path=made.path, data_pool=pools.DATA_POOL, namespace=made.namespace
    )
    words = [word for pair in caps.items() for word in pair]
    entity = made.entity(host)
    return entity, small.ceph("auth", "get-or-create", entity, *words)[0]["key"]


@contextlib.contextmanager
def mounted(small: SmallCeph, made: VolumeSpecification, host: str) -> Iterator[Mount]:
    """One host's mount; afterwards nothing is left open, as the leading host sees to before it goes on."""
    entity, key = key_for(small, made, host)
    with small.mount(made.path, entity=entity, key=key) as mount:
        yield mount
    carry_out(small, evict=[{"entity": entity, "servers": [MDS]}])


def test_a_quota_grows_and_shrinks_under_a_mount(small_ceph: SmallCeph) -> None:
    made = make(small_ceph, "sized")
    with mounted(small_ceph, made, "aws-1") as mount:
        for size in (128 * MIB, 32 * MIB):
            carry_out(small_ceph, make=[{"path": made.path, "namespace": made.namespace, "size_bytes": size}])
            blocks = mount.run(["stat", "--file-system", "--format=%b %S", "."]).split()
            assert int(blocks[0]) * int(blocks[1]) == size


def test_sessions_end_by_whose_key_they_showed(small_ceph: SmallCeph) -> None:
    made = make(small_ceph, "shut")
    with mounted(small_ceph, made, "aws-1") as shut, mounted(small_ceph, made, "gcp-1") as other:
        shut.write("note", b"there")
        entity = made.entity("aws-1")
        small_ceph.ceph("auth", "rm", entity)
        assert shut.read("note") == b"there", "a key that is gone leaves its sessions alive"
        for _ in range(2):  # the second time there is nothing to end
            carry_out(small_ceph, evict=[{"entity": entity, "servers": [MDS]}])
        with pytest.raises(LarvaError):
            shut.write("note", b"after")
        other.write("note", b"still here")
        assert other.read("note") == b"still here"


def test_a_live_mount_ends_with_its_share_and_others_go_on(small_ceph: SmallCeph) -> None:
    made = make(small_ceph, "kept")
    plain = codec.to_builtins(made)
    with mounted(small_ceph, made, "aws-1") as lost, mounted(small_ceph, made, "gcp-1") as kept:
        lost.write("note", b"there")
        shares = [{"host": "gcp-1"}]
        done = small_ceph.python(KEEP, volume=plain, hosts=["aws-1", "gcp-1"], shares=shares)
        assert done == {"back": ["aws-1"], "dead": ["aws-1"]}, "its key opens nothing, wherever it still is"
        with pytest.raises(LarvaError):
            lost.write("note", b"after")
        kept.write("note", b"still here")
        assert kept.read("note") == b"still here"
        shares[0]["read_only"] = True  # the key that can write goes; the next one cannot
        done = small_ceph.python(KEEP, volume=plain, hosts=["gcp-1"], shares=shares)
        assert done == {"back": ["gcp-1"], "dead": ["gcp-1"]}
        with pytest.raises(LarvaError):
            kept.write("note", b"after")
    assert not [one for one in small_ceph.ceph("auth", "ls")["auth_dump"] if made.id in one["entity"]]


def test_a_deleted_volume_comes_back_and_is_destroyed_in_the_end(small_ceph: SmallCeph) -> None:
    made = make(small_ceph, "gone")
    with mounted(small_ceph, made, "aws-1") as mount:
        mount.run(["mkdir", "-p", "deep/er"])
        mount.write("deep/er/note", b"kept")
    discard = {"path": made.path, "trash": made.trash_path}
    for _ in range(2):  # every step may be repeated
        carry_out(small_ceph, discard=[discard])
    assert carry_out(small_ceph, count=[made.path])["missing"] == [made.path]
    back = {
        "path": made.path, "namespace": made.namespace, "size_bytes": made.size_bytes, "trash": made.trash_path,
    }  # fmt: skip
    for _ in range(2):
        carry_out(small_ceph, make=[back])
        with mounted(small_ceph, made, "aws-1") as mount:
            assert mount.read("deep/er/note") == b"kept"
    carry_out(small_ceph, discard=[discard])
    # A leader that was late makes it anew: what lies in the trash is not hidden by that, and comes back all the same.
    carry_out(small_ceph, make=[{**back, "trash": ""}])
    carry_out(small_ceph, make=[back])
    with mounted(small_ceph, made, "aws-1") as mount:
        assert mount.read("deep/er/note") == b"kept"
    carry_out(small_ceph, discard=[discard])
    carry_out(small_ceph, make=[{**back, "trash": ""}])
    carry_out(small_ceph, discard=[discard])
    for _ in range(2):
        assert carry_out(small_ceph, purge=[made.trash_path])["unfinished"] == []
    assert set(carry_out(small_ceph, count=[made.path, made.trash_path])["missing"]) == {made.path, made.trash_path}
    for path in ("/volumes", "/trash", "/trash/../volumes"):
        with pytest.raises(LarvaError, match="not in the trash"):
            carry_out(small_ceph, purge=[path])


def test_a_snapshot_stays_as_it_was_wherever_its_volume_goes(small_ceph: SmallCeph) -> None:
    made = make(small_ceph, "past")
    one = {"path": made.path, "name": "one"}
    with mounted(small_ceph, made, "aws-1") as mount:
        mount.write("note", b"before")
        for _ in range(2):  # a second time changes nothing
            carry_out(small_ceph, snap=[one])
            mount.write("note", b"after!")
        assert mount.read(".snap/one/note") == b"before"
        for words in (["mkdir", ".snap/mine"], ["rmdir", ".snap/one"], ["sh", "-c", "echo x >.snap/one/note"]):
            with pytest.raises(LarvaError):
                mount.run(words)
    carry_out(small_ceph, discard=[{"path": made.path, "trash": made.trash_path}])
    back = {"path": made.path, "namespace": made.namespace, "size_bytes": made.size_bytes, "trash": made.trash_path}
    carry_out(small_ceph, make=[back])
    with mounted(small_ceph, made, "aws-1") as mount:
        assert mount.read(".snap/one/note") == b"before"
        for _ in range(2):
            carry_out(small_ceph, unsnap=[one])
        assert mount.run(["ls", ".snap"]).split() == []
    small_ceph.ceph("config", "set", "mds", "mds_max_snaps_per_dir", "1")
    carry_out(small_ceph, snap=[one])
    with pytest.raises(LarvaError, match="Too many links"):
        carry_out(small_ceph, snap=[{"path": made.path, "name": "two"}])
    carry_out(small_ceph, snap=[{"path": made.path, "name": "two"}], unsnap=[one])
    small_ceph.ceph("config", "rm", "mds", "mds_max_snaps_per_dir")
    carry_out(small_ceph, snap=[one])
    carry_out(small_ceph, discard=[{"path": made.path, "trash": made.trash_path}])
    assert carry_out(small_ceph, purge=[made.trash_path])["unfinished"] == []
    assert carry_out(small_ceph, count=[made.trash_path])["missing"] == [made.trash_path]


FILL = r"""
mkdir -p deep/er empty && chmod 2750 empty
echo words >text && ln text deep/er/same && ln -s nowhere link && mkfifo pipe
truncate -s 32M holes
echo middle | dd of=holes bs=1M seek=16 conv=notrunc status=none
dd if=/dev/urandom of=big bs=1M count=3 status=none && chown 1234:5678 big && chmod 4640 big
python3 -c 'import os; os.setxattr("text", "user.colour", b"green"); os.setxattr("deep", "user.kind", b"d")'
touch -d '2001-02-03 04:05:06.789 UTC' text big deep/er deep .
sync text holes big deep/er deep empty .
"""
"""Its last line: what a client that is killed had not written yet is in no snapshot."""
SPOIL = r"""
rm -r deep empty link && echo else >link && echo more >>text && mkdir -p extra/tree && echo x >extra/tree/x
dd if=/dev/urandom of=big bs=1M count=1 conv=notrunc status=none && touch -d '2001-02-03 04:05:06.789 UTC' big
sync text big link extra extra/tree/x .
"""
DESCRIBE = r"""
find . -type d -printf '%P %m %U %G %T@\n' | sort
find . ! -type d -printf '%P %y %m %U %G %s %T@ %n %l\n' | sort
find . -type f -exec sha256sum {} + | sort -k2
stat -c '%i' text deep/er/same | uniq | wc -l
python3 -c 'import os; print([(n, {x: os.getxattr(n, x) for x in os.listxattr(n)}) for n in ("text", "deep", "big")])'
"""
COPY = """
import time
from pathlib import Path
from cbstorage.leading.copier import CopyOrder
from cbstorage.leading.copy_jobs import CopyJobs
jobs = CopyJobs()
wish = CopyOrder(**{**order, "keyring": Path(order["keyring"])})
def finish():
    deadline = time.monotonic() + 200
    while not (report := jobs.follow("t", wish)).done:
        assert time.monotonic() < deadline, report
        time.sleep(0.1)
    return report
if broken_off:
    jobs.follow("t", wish)
    time.sleep(broken_off)
    jobs.keep_only([])
report = finish()
result = [report.files, report.bytes]
"""


ACCESS = """
from pathlib import Path
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.leading import tree
from cbstorage.leading.copy_access import CopyAccess
admin = {"entity": "client.admin", "keyring": local.keyring_of("client.admin")}
def evict(entities, servers):
    tree.run(tree.Order(evict=tuple(tree.Evict(entity=one, servers=servers) for one in entities), **admin))
with Monitors(local.CONFIGURATION, **admin) as monitors:
    path = getattr(CopyAccess(monitors, evict, (server,)), step)(entity)
result = str(path)
"""


def test_a_volume_is_filled_from_a_snapshot_and_goes_back_to_one(small_ceph: SmallCeph) -> None:
    made, copy = make(small_ceph, "origin"), make(small_ceph, "copy")
    snapshot = {"path": made.path, "name": "one"}
    with mounted(small_ceph, made, "aws-1") as mount:
        mount.run(["sh", "-euc", FILL])
        wanted = mount.run(["bash", "-euc", DESCRIBE])
        carry_out(small_ceph, snap=[snapshot])
        mount.run(["sh", "-euc", SPOIL])
    past = f"{made.path}/.snap/one"
    entity = f"client.copy.{copy.id}"
    for step in ("take", "give"):  # what a leader does before it begins, whoever began before
        keyring = small_ceph.python(ACCESS, step=step, entity=entity, server=MDS)
    whom = {"entity": entity, "keyring": keyring}
    order = {"source": past, "target": copy.path, "trust_times": True, **whom}
    for broken_off in (1.5, 0):  # ended by force and taken up again; then with nothing left to do
        files, size = small_ceph.python(COPY, order=order, broken_off=broken_off, timeout=240)
        assert files == 6
        assert size >= 35 * MIB
    with mounted(small_ceph, copy, "gcp-1") as mount:
        assert mount.run(["bash", "-euc", DESCRIBE]) == wanted
    back = {"source": past, "target": made.path, "trust_times": False, **whom}
    small_ceph.python(COPY, order=back, broken_off=0, timeout=240)
    with mounted(small_ceph, made, "aws-1") as mount:
        assert mount.run(["bash", "-euc", DESCRIBE]) == wanted
    with small_ceph.mount(entity=entity, key=small_ceph.ceph("auth", "get", entity)[0]["key"]) as late:
        late.write(f"{made.path[1:]}/text", b"written late")
        small_ceph.python(ACCESS, step="take", entity=entity, server=MDS)
        with pytest.raises(LarvaError):
            late.write(f"{made.path[1:]}/text", b"written too late")
    whom["keyring"] = small_ceph.python(ACCESS, step="give", entity=entity, server=MDS)
    with pytest.raises(LarvaError, match="No such file"):
        small_ceph.python(COPY, order={**order, "source": f"{made.path}/.snap/none"}, broken_off=0, timeout=240)


def test_no_key_opens_another_volume(small_ceph: SmallCeph) -> None:
    """Neither through the file system nor past it, in the objects themselves."""
    mine, theirs = make(small_ceph, "data"), make(small_ceph, "data")
    with mounted(small_ceph, theirs, "gcp-1") as mount:
        mount.write("secret", b"theirs")
        inode = int(mount.run(["stat", "--format=%i", "secret"]))
        carry_out(small_ceph, snap=[{"path": theirs.path, "name": "one"}])
        assert mount.read(".snap/one/secret") == b"theirs"
    entity, key = key_for(small_ceph, mine, "aws-1")
    outside = ("/", "/volumes", "/volumes/demo", "/trash")
    for path in (theirs.path, f"{theirs.path}/.snap/one", f"{mine.path}/../{theirs.path.rsplit('/', 1)[1]}", *outside):
        with pytest.raises(LarvaError), small_ceph.mount(path, entity=entity, key=key):
            pass
    keyring = f"/run/{entity}.keyring"
    small_ceph.write(keyring, cephx.keyring(cephx.Identity(entity=entity, key=key)))

    def rados(pool: str, namespace: str, *words: str, whom: str = entity, keyring: str = keyring) -> str:
        where = ["--name", whom, "--keyring", keyring, "--pool", pool, "--namespace", namespace]
        return small_ceph.run(["rados", *where, *words], timeout=30)

    found = f"{inode:x}.00000000"
    everything = {"whom": cephx.ADMIN, "keyring": f"/etc/ceph/ceph.{cephx.ADMIN}.keyring"}
    assert rados(pools.DATA_POOL, theirs.namespace, "get", found, "-", **everything) == "theirs"
    assert rados(pools.DATA_POOL, mine.namespace, "ls") == ""
    for pool, namespace in ((pools.DATA_POOL, theirs.namespace), (pools.DATA_POOL, ""), (pools.METADATA_POOL, "")):
        for words in (("ls",), ("get", found, "-"), ("put", found, "/etc/hostname"), ("rm", found)):
            with pytest.raises(LarvaError, match="not permitted"):
                rados(pool, namespace, *words)
    carry_out(small_ceph, discard=[{"path": theirs.path, "trash": theirs.trash_path}])
    with pytest.raises(LarvaError), small_ceph.mount(theirs.trash_path, entity=entity, key=key):
        pass
    with pytest.raises(LarvaError, match="not permitted"):
        rados(pools.DATA_POOL, theirs.namespace, "get", found, "-")


def test_a_server_that_takes_over_waits_for_no_client_of_a_lost_host(small_ceph: SmallCeph) -> None:
    """The host is lost when it answers no echo; while it does, its client that hangs has its time."""
    echoes = "/proc/sys/net/ipv4/icmp_echo_ignore_all"
    reconnect = [one for one in small_ceph.ceph("config", "dump") if one["name"] == "mds_reconnect_timeout"]
    small_ceph.ceph("config", "set", "global", "mds_reconnect_timeout", "3600")
    with mounted(small_ceph, make(small_ceph, "hangs"), "aws-1") as hangs:
        hangs.write("file", b"of it")
        small_ceph.kill(hangs.name, "STOP")
        small_ceph.kill(f"mds.{MDS}")
        small_ceph.start_daemon(f"mds.{MDS}")
        small_ceph.wait("the server waits for its clients", lambda: state(small_ceph) == "up:reconnect")
        shut_out = ["python3", "-m", "cbstorage.leading.shut_out", str(small_ceph.address)]
        assert small_ceph.run(shut_out) == ""
        assert state(small_ceph) == "up:reconnect"
        small_ceph.run(["sh", "-c", f"echo 1 >{echoes}"])
        assert len(small_ceph.run(shut_out).split()) == 1
        small_ceph.run(["sh", "-c", f"echo 0 >{echoes}"])
        small_ceph.wait("it does no longer", lambda: state(small_ceph) == "up:active")
        small_ceph.kill(hangs.name, "CONT")
    for one in reconnect:
        small_ceph.ceph("config", "set", "global", one["name"], one["value"])


def state(small: SmallCeph) -> str:
    servers = small.ceph("fs", "dump")["filesystems"][0]["mdsmap"]["info"].values()
    return next((str(one["state"]) for one in servers), "")
