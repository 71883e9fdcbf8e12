"""Devices: blank ones are taken, our own are kept, and foreign data is refused, on real files and real signatures."""

import subprocess
import uuid
from pathlib import Path

import pytest

from cbstorage.host import device
from cbstorage.host.device import Contents, Fate, Label
from larva.errors import HostUnfit

FSID = str(uuid.uuid4())
OSD = str(uuid.uuid4())
SIZE = 2 << 30


def decide(contents: Contents) -> Fate:
    return device.decide(Path("/dev/vdb"), contents, fsid=FSID, osd_uuid=OSD)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    device.make_file(path, SIZE)
    return path


def test_a_sparse_file_is_blank(disk: Path) -> None:
    assert disk.stat().st_blocks == 0
    assert device.inspect(disk) == Contents(size_bytes=SIZE, blank=True, begins_blank=True)
    assert decide(device.inspect(disk)) is Fate.MAKE


def test_an_existing_file_is_never_made_anew(disk: Path) -> None:
    disk.write_bytes(b"data")
    device.make_file(disk, SIZE)
    assert disk.read_bytes() == b"data"


def test_a_file_system_is_refused(disk: Path) -> None:
    subprocess.run(["mke2fs", "-q", "-F", disk], check=True, timeout=60)
    with pytest.raises(HostUnfit, match="foreign data \\(ext2\\)") as caught:
        decide(device.inspect(disk))
    assert "wipefs" in caught.value.hint


def test_unknown_bytes_are_refused(disk: Path) -> None:
    with disk.open("r+b") as file:
        file.seek(100_000)
        file.write(b"somebody's notes")
    with pytest.raises(HostUnfit, match="unknown content"):
        decide(device.inspect(disk))


def test_a_label_that_cannot_be_read_further_names_its_osd(disk: Path) -> None:
    with disk.open("r+b") as file:
        file.write(f"bluestore block device\n{OSD}\n".encode())
    assert decide(device.inspect(disk)) is Fate.MAKE


def test_our_finished_osd_is_kept() -> None:
    label = Label(osd_uuid=OSD, ceph_fsid=FSID, whoami="0", mkfs_done="yes")
    assert decide(Contents(size_bytes=SIZE, label=label)) is Fate.KEEP


def test_our_unfinished_osd_is_made_again() -> None:
    assert decide(Contents(size_bytes=SIZE, label=Label(osd_uuid=OSD, ceph_fsid=FSID))) is Fate.MAKE


@pytest.mark.parametrize("done", ["", "yes"])
def test_another_cluster_s_osd_is_refused(done: str) -> None:
    label = Label(osd_uuid=str(uuid.uuid4()), ceph_fsid=str(uuid.uuid4()), mkfs_done=done)
    with pytest.raises(HostUnfit, match="another cluster"):
        decide(Contents(size_bytes=SIZE, label=label))


def test_too_small(disk: Path) -> None:
    with pytest.raises(HostUnfit, match="1048576 bytes"):
        decide(Contents(size_bytes=1 << 20, blank=True))


def test_missing_disks_are_not_made_up() -> None:
    with pytest.raises(HostUnfit, match="not there"):
        device.make_file(Path("/dev/no-such-disk"), SIZE)
    with pytest.raises(HostUnfit):
        device.inspect(Path("/dev/null"))
    with pytest.raises(HostUnfit):
        device.inspect(Path("/no/such/file"))
