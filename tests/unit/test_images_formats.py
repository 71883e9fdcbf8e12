"""Disk formats: what is written is the raw disk, always the same file, and what is damaged is found."""

import dataclasses
import hashlib
import random
import subprocess
import tarfile
import uuid
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.formats import compare, ova, vhd
from images.formats.format import Disk
from images.formats.table import FORMATS
from larva.errors import MalformedData

MIB = 1 << 20
EPOCH = 1_767_225_600
SIZES = [3 * MIB, 5 * MIB + (64 << 10)]


def make_disk(place: Path, size: int, *, seed: int = 1) -> Disk:
    """A disk with data at both ends and amid zeros, some of which compresses and some not."""
    rolls = random.Random(seed)
    place.mkdir(exist_ok=True)
    raw = place / "disk.raw"
    with raw.open("wb") as file:
        file.truncate(size)
        file.write(rolls.randbytes(4096) + b"larva" * 100_000)
        file.seek(2 * MIB + 512)
        file.write(rolls.randbytes(70_000))
        file.seek(size - 512)
        file.write(rolls.randbytes(512))
    with raw.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Disk(raw=raw, size=size, sha256=digest, epoch=EPOCH, name="larva-test")


def written(name: str, disk: Disk, place: Path) -> Path:
    place.mkdir(exist_ok=True)
    file = place / f"{disk.name}{FORMATS[name].suffix}"
    FORMATS[name].write(disk, file, place / "log")
    return file


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_the_raw_disk(name: str, size: int, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, size)
    file = written(name, disk, tmp_path / "out")
    compare.with_raw(FORMATS[name].read(file), disk, what=name)
    assert sorted(path.name for path in file.parent.iterdir()) in ([file.name], [file.name, "log"])


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_disk_makes_the_same_file(name: str, tmp_path: Path) -> None:
    first = written(name, make_disk(tmp_path, SIZES[0]), tmp_path / "one")
    elsewhere = make_disk(tmp_path / "another directory", SIZES[0])
    assert written(name, elsewhere, tmp_path / "two").read_bytes() == first.read_bytes()


@pytest.mark.parametrize("name", FORMATS)
def test_another_disk_is_told_apart(name: str, tmp_path: Path) -> None:
    file = written(name, make_disk(tmp_path, SIZES[0]), tmp_path / "out")
    other = make_disk(tmp_path / "other", SIZES[0], seed=2)
    with pytest.raises(MalformedData, match="differs from the raw disk at byte 0"):
        compare.with_raw(FORMATS[name].read(file), other, what=name)


@pytest.mark.parametrize("name", FORMATS)
def test_a_raw_disk_that_is_not_the_signed_one_is_told_though_the_file_holds_it(name: str, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, SIZES[0])
    signed = dataclasses.replace(disk, sha256=make_disk(tmp_path / "other", SIZES[0], seed=2).sha256)
    file = written(name, signed, tmp_path / "out")
    with pytest.raises(MalformedData, match="is not the disk that was signed"):
        compare.with_raw(FORMATS[name].read(file), signed, what=name)


@pytest.mark.parametrize(
    ("name", "left"),
    [
        *((name, left) for name in FORMATS for left in (0, 100, 0.5, 0.9)),
        *((name, -1) for name in ("gce-tar", "ova", "raw", "vhd")),  # qcow2: padding of the last sector
    ],
)
def test_a_truncated_file_is_refused(name: str, left: float, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, SIZES[0])
    file = written(name, disk, tmp_path / "out")
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.truncate(int(left * size) if 0 < left < 1 else int(left) % size)
    with pytest.raises(MalformedData):
        compare.with_raw(FORMATS[name].read(file), disk, what=name)


@pytest.mark.parametrize("name", FORMATS)
def test_damage_is_refused_wherever_data_lies(name: str, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, SIZES[0])
    file = written(name, disk, tmp_path / "out")
    whole = file.read_bytes()
    rolls = random.Random(3)
    unseen = 0
    for at in rolls.sample([at for at, byte in enumerate(whole) if byte], 12):
        damaged = bytearray(whole)
        damaged[at] ^= 0x10
        file.write_bytes(damaged)
        try:
            compare.with_raw(FORMATS[name].read(file), disk, what=name)
        except MalformedData:
            continue
        unseen += 1  # a byte that no reader of the disk looks at: padding, names, times
    assert unseen <= 6


def test_a_format_is_not_taken_for_another(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, SIZES[0])
    files = {name: written(name, disk, tmp_path / name) for name in ("gce-tar", "ova", "qcow2", "vhd")}
    for name, file in files.items():
        for other in files.keys() - {name}:
            with pytest.raises(MalformedData):
                compare.with_raw(FORMATS[other].read(file), disk, what=other)


def test_a_dynamic_vhd_is_refused(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, SIZES[0])
    file = tmp_path / "dynamic.vhd"
    subprocess.run(["qemu-img", "convert", "-O", "vpc", disk.raw, file], check=True, timeout=60)
    with pytest.raises(MalformedData, match="fixed VHD"):
        compare.with_raw(FORMATS["vhd"].read(file), disk, what="vhd")


def test_a_qcow2_that_needs_another_file_is_refused(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, SIZES[0])
    file = tmp_path / "overlay.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", disk.raw, file], check=True, timeout=60
    )
    with pytest.raises(MalformedData, match="stands alone"):
        compare.with_raw(FORMATS["qcow2"].read(file), disk, what="qcow2")


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (["other.raw"], "begin with a member"),
        (["disk.raw", "readme"], "more than the one member"),
        ([], "begin"),
    ],
)
def test_an_archive_of_another_shape_is_refused(members: list[str], said: str, tmp_path: Path) -> None:
    disk = make_disk(tmp_path, SIZES[0])
    for name in members:
        (tmp_path / name).write_bytes(disk.raw.read_bytes() if name.endswith("raw") else b"hello")
    file = tmp_path / "x.tar.gz"
    options = ["--format=oldgnu", "--sparse", "--hole-detection=raw", "--files-from=/dev/null"]
    subprocess.run(["tar", "-C", tmp_path, "-czf", file, *options, *members], check=True, timeout=60)
    with pytest.raises(MalformedData, match=said):
        compare.with_raw(FORMATS["gce-tar"].read(file), disk, what="gce-tar")


def test_an_ova_whose_checksum_is_another_is_refused(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, SIZES[0])
    file = written("ova", disk, tmp_path / "out")
    descriptor = f"{disk.name}.ovf".encode()
    file.write_bytes(file.read_bytes().replace(b"2048 MiB of memory", b"9048 MiB of memory"))
    assert descriptor in file.read_bytes()
    with pytest.raises(MalformedData, match="checksums"):
        compare.with_raw(FORMATS["ova"].read(file), disk, what="ova")


@pytest.mark.parametrize("drawn", ["12345678", "7", "abc"])
def test_the_identity_that_was_drawn_is_replaced_whatever_its_length(drawn: str) -> None:
    head = b"KDMV" + bytes(508) + f"# Disk\nCID={drawn}\nparentCID=ffffffff\nRW".encode() + bytes(600) + b"data"
    changed = ova.identified(head, "deadbeef")
    assert len(changed) == len(head)
    assert b"\nCID=deadbeef\nparentCID=ffffffff\nRW\0" in changed
    assert changed.endswith(b"\0data")
    with pytest.raises(MalformedData, match="no descriptor"):
        ova.identified(b"KDMV" + bytes(600), "deadbeef")


def test_an_ova_describes_its_disk(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, SIZES[0])
    file = written("ova", disk, tmp_path / "out")
    with tarfile.open(file) as archive:
        members = archive.getmembers()
        text = archive.extractfile(members[0])
        assert text is not None
        root = ElementTree.fromstring(text.read())
    space = {"o": "http://schemas.dmtf.org/ovf/envelope/1"}
    name = "{http://schemas.dmtf.org/ovf/envelope/1}"
    (reference,) = root.findall("o:References/o:File", space)
    (described,) = root.findall("o:DiskSection/o:Disk", space)
    assert reference.get(f"{name}href") == members[2].name
    assert reference.get(f"{name}size") == str(members[2].size)
    assert described.get(f"{name}fileRef") == reference.get(f"{name}id")
    assert described.get(f"{name}capacity") == str(disk.size)
    assert {one.tag.rpartition("}")[2] for one in root} >= {"References", "DiskSection", "NetworkSection"}


@given(st.integers(min_value=1, max_value=4 << 31))
def test_the_footer_of_a_vhd_adds_up(sectors: int) -> None:
    footer = vhd.footer(sectors * 512, epoch=EPOCH, identifier=uuid.UUID(int=sectors))
    assert len(footer) == 512
    checksum = int.from_bytes(footer[64:68], "big")
    assert ~(sum(footer) - sum(footer[64:68])) & 0xFFFF_FFFF == checksum
    cylinders, heads, per_track = vhd.geometry(sectors)
    assert heads <= 16
    assert cylinders < 1 << 16
    assert cylinders * heads * per_track <= sectors


def test_qemu_reads_the_vhd(tmp_path: Path) -> None:
    disk = make_disk(tmp_path, SIZES[0])
    file = written("vhd", disk, tmp_path / "out")
    done = subprocess.run(
        ["qemu-img", "compare", "-f", "vpc", "-F", "raw", file, disk.raw], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_qemu_finds_nothing_wrong_with_a_qcow2_of_our_own(tmp_path: Path) -> None:
    """Data that compresses and data that does not, a cluster of zeros, and an end amid a cluster."""
    disk = make_disk(tmp_path, 7 * MIB + 512)
    with disk.raw.open("r+b") as file:
        file.seek(4 * MIB)
        file.write(random.Random(4).randbytes(2 * MIB))
    file = written("qcow2-zstd", disk, tmp_path / "out")
    checked = subprocess.run(["qemu-img", "check", file], capture_output=True, text=True, timeout=60, check=False)
    assert "No errors were found" in checked.stdout, checked.stdout + checked.stderr
    subprocess.run(["qemu-img", "compare", file, disk.raw], check=True, capture_output=True, timeout=60)
