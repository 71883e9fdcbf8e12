#!/usr/lib/larva/bin/python3 -I
"""Runs on a booted machine of the appliance: an encrypted OSD of a real Ceph, killed at every step of its making.

The machine is a storage host with a monitor. The OSD is made, read, closed and opened again as after a boot, and
removed; what lies on its disk meanwhile is looked at. What does not hold ends this with an error.
"""

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from cbstorage.ceph import cephx, conf
from cbstorage.ceph.answers import OsdMap
from cbstorage.ceph.crush import place
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import device, dmcrypt, encryption, local, lockbox, mon, osd, osds, services, systemd
from cbstorage.host.osds import Wanted
from cbstorage.host.problems import Problems
from cbstorage.model import ClusterSpecification, DaemonKind, Founding, Monitor
from cbstorage.osd_model import OsdGoal, OsdPhase, OsdProgress, OsdWish
from cladnet.model import CloudFacts
from larva import process
from larva.errors import NotFound

HOST = "proof"
ADDRESS = IPv4Address("198.18.0.1")
NETWORK = IPv4Network("198.18.0.0/30")
SIZE = 1 << 30
HEADER_BYTES = 16 << 20
"""Where the data begins on a LUKS2 device (cryptsetup-luksFormat(8))."""
PATIENCE_S = 300.0
NOW = datetime.now(UTC)
SPECIFICATION = ClusterSpecification(
    group="g", fsid=str(uuid.uuid4()), cidr=NETWORK, mon_hosts=(HOST,), mgr_hosts=(), mds_hosts=(),
    osd_file_bytes=SIZE, created_at=NOW,
)  # fmt: skip
FSID = SPECIFICATION.fsid
WORDS = b"what a user wrote, word for word" * 4096


class Killed(BaseException):
    """As if the process ended here."""


def say(what: str) -> None:
    print(f"larva: encryption: {time.monotonic() - STARTED:.0f} s: {what}", flush=True)


STARTED = time.monotonic()


def wait(what: str, condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not so in time: {what}"
        time.sleep(0.5)


def found() -> None:
    """One monitor of our own making, on an address of its own."""
    process.run(["ip", "link", "add", "proof0", "type", "dummy"])
    process.run(["ip", "addr", "add", f"{ADDRESS}/30", "dev", "proof0"])
    process.run(["ip", "link", "set", "proof0", "up"])
    monitors = (Monitor(host=HOST, address=ADDRESS),)
    cluster = conf.Cluster(fsid=FSID, cidr=NETWORK, monitors=monitors)
    local.write_configuration(conf.render(cluster, conf.Host(address=ADDRESS, place=place(HOST, CloudFacts()))))
    keys = {name: cephx.Identity(entity=name, key=cephx.new_key(created_s=1)) for name in (cephx.MON, cephx.ADMIN)}
    local.write_client_keyring(keys[cephx.ADMIN])
    founding = Founding(founder=HOST, fsid=FSID, monitors=monitors, founded_at=NOW)
    mon.ensure(HOST, founding, keys, is_new=False)
    with connected(cephx.ADMIN) as monitors_:
        mine = services.get_or_create(monitors_, cephx.storage_host(HOST), cephx.STORAGE_HOST_CAPS)
    local.write_client_keyring(mine)


def connected(entity: str) -> Monitors:
    wait("the monitors answer", lambda: "quorum" in _quorum())
    return Monitors(local.CONFIGURATION, entity=entity, keyring=local.keyring_of(entity))


def _quorum() -> str:
    socket = f"/run/ceph/ceph-mon.{HOST}.asok"
    if not Path(socket).exists():
        return ""
    return process.run(["ceph", "--admin-daemon", socket, "mon_status"], ok_codes=(0, 1, 22))


def look(monitors: Monitors | None, path: Path, *, ending: bool = False) -> str:
    """What a storage host's look makes of one device of its join file; what it complains of."""
    record = osd.recall(path, FSID)
    wishes, told = {}, {}
    if ending and record is not None and record.osd_id is not None:
        names: dict[str, Any] = {"osd": record.osd_id, "uuid": record.uuid, "asked": FSID}
        wishes = {record.osd_id: OsdWish(group="g", host=HOST, goal=OsdGoal.REMOVED, asked_at=NOW, **names)}
        told = {record.osd_id: OsdProgress(phase=OsdPhase.STOPPING, **names)}
    problems = Problems()
    wanted = Wanted(devices=(path,), encrypt=True, additions={}, wishes=wishes, progress=told)
    osds.tend(monitors, wanted, SPECIFICATION, problems)
    return problems.text()


STEPS: tuple[tuple[Any, str], ...] = (
    (lockbox, "prepare"), (encryption, "secrets"), (Monitors, "ask"), (encryption, "check"),
    (dmcrypt, "format_device"), (dmcrypt, "open_device"), (osd, "_lay_out"), (osd, "_wipe_label"),
)  # fmt: skip
"""Behind each of them the making of an OSD is ended once; `ask` is `osd new` there."""


def killed_behind(where: Any, name: str, monitors: Monitors, path: Path) -> None:
    real = getattr(where, name)

    def until_here(*arguments: Any, **named: Any) -> Any:
        done = real(*arguments, **named)
        if name == "ask" and arguments[1] != "osd new":
            return done
        raise Killed

    setattr(where, name, until_here)
    try:
        assert not look(monitors, path)
        raise AssertionError(f"{name} was not reached")
    except Killed:
        say(f"killed behind {name}")
    finally:
        setattr(where, name, real)


def made(monitors: Monitors, path: Path) -> osd.Record:
    for where, name in STEPS:
        killed_behind(where, name, monitors, path)
        if name == "format_device":
            with path.open("r+b") as disk:  # and was half done: no header yet, and its key slots are wiped with noise
                disk.write(bytes(1 << 15) + os.urandom(1 << 20))
    assert look(monitors, path) == ""
    record = osd.recall(path, FSID)
    assert record is not None
    assert record.made
    assert record.encrypted
    (entry,) = monitors.ask("osd dump", OsdMap).osds
    assert (entry.uuid, entry.osd) == (record.uuid, record.osd_id)
    return record


def is_up(monitors: Monitors) -> bool:
    return any(one.up for one in monitors.ask("osd dump", OsdMap).osds)


def written(file: Path) -> Iterator[tuple[int, int]]:
    """The extents of a sparse file that were ever written: offset, length."""
    with file.open("rb") as opened:
        end = 0
        while True:
            try:
                start = os.lseek(opened.fileno(), end, os.SEEK_DATA)
            except OSError:  # nothing but a hole is left
                return
            end = os.lseek(opened.fileno(), start, os.SEEK_HOLE)
            yield start, end - start


def holds(path: Path, words: bytes, extents: Iterable[tuple[int, int]], *, offset: int = 0) -> bool:
    """Whether words, which are there many times over, stand in any extent of a device that begins at `offset`."""
    with path.open("rb") as opened:
        for start, length in extents:
            opened.seek(max(0, start - offset))
            left = length - max(0, offset - start)
            while left > 0 and (piece := opened.read(min(left, 1 << 22))):
                if words in piece:
                    return True
                left -= len(piece)
    return False


def nowhere_on_disk(key: bytes) -> bool:
    places = ["/var/lib/larva", "/etc", "/var/lib/ceph/osd", "/var/log", "/run/log", "/run/ceph", "/tmp"]
    return subprocess.run(["grep", "-rqaF", key.decode(), *places], check=False).returncode == 1


def nothing_shows(monitors: Monitors, record: osd.Record, disk: Path) -> None:
    """The words that a client wrote are found on the clear view, and neither on the disk nor the key anywhere."""
    monitors.run("osd pool create", pool="proof", pg_num=1, size=1, yes_i_really_mean_it=True)
    process.run(["rados", "--pool", "proof", "put", "words", "-"], input=WORDS, timeout=PATIENCE_S)
    for path in (record.device, dmcrypt.mapped(record.uuid)):
        process.run(["blockdev", "--flushbufs", path])
    os.sync()
    extents = list(written(disk))
    for words in (WORDS[:32], b"bluestore block device"):
        assert holds(dmcrypt.mapped(record.uuid), words, extents, offset=HEADER_BYTES)
        assert not holds(disk, words, extents)
    assert device.inspect(record.device).luks_uuid == record.uuid
    assert nowhere_on_disk(lockbox.fetch(record.uuid, FSID))


def booted(path: Path, record: osd.Record) -> None:
    """Nothing runs and nothing is open, as after a boot; the monitors come last."""
    units = [local.unit(DaemonKind.OSD, str(record.osd_id)), local.unit(DaemonKind.MON, HOST)]
    for unit in units:
        systemd.stop(unit)
    dmcrypt.close(record.uuid)
    said = look(None, path)
    assert "the monitors have its key" in said, said
    assert not dmcrypt.is_open(record.uuid)
    assert not systemd.running(units[0])
    systemd.start(units[1])
    with connected(cephx.storage_host(HOST)) as monitors:
        assert look(monitors, path) == ""
        wait("the OSD is up again", lambda: is_up(monitors))
    read = process.run(["rados", "--pool", "proof", "get", "words", "-"], timeout=PATIENCE_S)
    assert read.encode() == WORDS


def removed(monitors: Monitors, path: Path, record: osd.Record) -> None:
    key = lockbox.fetch(record.uuid, FSID)
    assert look(monitors, path, ending=True) == ""
    assert not dmcrypt.is_open(record.uuid)
    assert dmcrypt.fits(path, key), "it is kept while the cluster knows it"
    with connected(cephx.ADMIN) as admin:
        wait("it is down", lambda: not is_up(admin))
        admin.run("osd purge-actual", id=record.osd_id, yes_i_really_mean_it=True)
        try:
            admin.run("config-key get", key=f"dm-crypt/osd/{record.uuid}/luks")
            raise AssertionError("the monitors keep its key")
        except NotFound:
            pass
        assert lockbox.entity(record.uuid).encode() not in admin.run("auth ls")
    assert look(monitors, path, ending=True) == ""
    assert device.inspect(path).is_free()
    assert not dmcrypt.fits(path, key)
    assert not lockbox.keyring(record.uuid, FSID).exists()
    after = osd.recall(path, FSID)
    assert after is not None
    assert after.retired == osd.EMPTIED


def on_a_file() -> None:
    """A file is opened by a loop device, which goes with it."""
    file, name, key = Path("/srv/file.img"), str(uuid.uuid4()), lockbox.new_key().encode()
    device.make_file(file, SIZE)
    assert encryption.formatted(file, name, key).is_block_device()
    assert str(file) in process.run(["losetup", "--list"])
    dmcrypt.close_all()
    assert not dmcrypt.is_open(name)
    assert str(file) not in process.run(["losetup", "--list"])


def main() -> None:
    found()
    say("a monitor answers")
    disk = Path("/srv/disk.img")
    device.make_file(disk, SIZE)
    process.run(["modprobe", "loop"])
    path = Path(process.run(["losetup", "--find", "--show", disk]).strip())
    with connected(cephx.storage_host(HOST)) as monitors:
        record = made(monitors, path)
        say(f"made on the block device {path}")
        wait("the OSD is up", lambda: is_up(monitors))
        with connected(cephx.ADMIN) as admin:
            nothing_shows(admin, record, disk)
        say("its disk shows nothing of what it holds, nor is its key on the machine's disk")
    booted(path, record)
    say("opened again when the monitors came")
    with connected(cephx.storage_host(HOST)) as monitors:
        removed(monitors, path, record)
        say("removed, with its keys")
    on_a_file()
    say("proved")


if __name__ == "__main__":
    sys.exit(main())
