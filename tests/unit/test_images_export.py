"""Export of a published image: targets, what is refused, and what a killed export leaves."""

import hashlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from images import artifacts, layin, seal
from images.artifact import describe
from images.artifacts import Manifest
from images.cli import image
from images.export import exporting, launch_page, targets
from images.export.exporting import Exported
from images.stages import Cache
from larva import codec, settings
from larva.errors import HostUnfit, InvalidInput, MalformedData, NotFound

MIB = 1 << 20
SIZE = 64 * MIB
SECTOR = 512
STEM = "larva-0.1.0-full-amd64"
PORTS = re.compile(r"\b\d{2,5}\b")


@pytest.fixture(autouse=True)
def own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A signing key of the test's own."""
    monkeypatch.setenv("LARVA_CONFIG", str(tmp_path / "etc"))
    return seal.signing_key(tmp_path / "etc")


def publish(
    cache: Path, size: int = SIZE, *, head: bytes = b"EFI PART", tail: bytes = b"EFI PART", dense: int = 1
) -> Path:
    """Publish an image as a build does: a sparse disk of `size` bytes with `dense` MiB that do not compress."""
    place = cache / "images" / "full"
    place.mkdir(parents=True)
    disk = cache / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(size)
        for at, data in ((SECTOR, head), (size - SECTOR, tail), (4 * MIB, random.Random(5).randbytes(dense * MIB))):
            file.seek(at)
            file.write(data)
    archive = place / f"{STEM}.raw.zst"
    subprocess.run(["zstd", "-q", "-1", disk, "-o", archive], check=True, timeout=120)
    raw = describe(disk)
    disk.unlink()
    manifest = Manifest(
        profile="full", version="0.1.0", suite="trixie", architecture="amd64", source="disk/0123456789abcdef0123",
        disk_bytes=raw.bytes, disk_sha256=raw.sha256, lock="0" * 20, locked=True,
        artifacts=(describe(archive),), packages=(), python=(),
    )  # fmt: skip
    (place / artifacts.MANIFEST).write_bytes(codec.encode(manifest))
    seal.write(place, seal.signing_key(cache / "etc"), comment="a test's image")
    return archive


def left(cache: Path) -> list[str]:
    """What is there besides finished entries, locks and logs."""
    return [path.name for path in (cache / "stages").glob("*/.*")]


def test_every_target_of_the_table_is_whole() -> None:
    for name, target in targets.load().items():
        assert target.multiple_mib in {1, 1024}, name
        assert "${file}" in target.commands, name
        assert target.sources, name
        assert name.isalnum()


def test_a_table_with_a_format_nobody_writes_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "targets.toml"
    table.write_text(targets.TABLE.read_text().replace('"vhd"', '"vhdx"'))
    with pytest.raises(MalformedData, match="azure: there is no format 'vhdx'"):
        targets.load(table)


@pytest.mark.parametrize("names", [["vax"], ["aws", "vax"], ["all", "vax"]])
def test_an_unknown_target_is_refused(names: list[str]) -> None:
    with pytest.raises(InvalidInput, match="there is no target vax"):
        targets.chosen(names)


def test_targets_are_exported_with_their_pages(tmp_path: Path) -> None:
    archive = publish(tmp_path)
    raw = subprocess.run(["zstd", "-qdc", archive], capture_output=True, check=True, timeout=120).stdout
    chosen = targets.chosen(["azure", "openstack", "kvm", "vmware"])
    found = exporting.export("full", chosen, tmp_path)
    assert [path.name for path in found] == list(chosen)
    for place, exported in found.items():
        assert place == tmp_path / "exports" / "full" / exported.target
        assert exported.raw_sha256 == hashlib.sha256(raw).hexdigest()
        assert describe(place / exported.file.name) == exported.file
        page = (place / exporting.PAGE).read_text()
        assert exported.file.sha256 in page
        assert "${" not in page
        assert codec.decode((place / exporting.RECORD).read_bytes(), Exported, source="record") == exported
    same = [tmp_path / "exports" / "full" / name / f"{STEM}.qcow2" for name in ("openstack", "kvm")]
    assert same[0].samefile(same[1])
    made = {path.stat().st_mtime_ns for path in same}
    exporting.export("full", chosen, tmp_path)
    assert {path.stat().st_mtime_ns for path in same} == made
    assert not left(tmp_path)


def test_the_launch_page_names_every_port_that_a_role_opens() -> None:
    """But ssh, which every machine has; the firewall's own files say which there are."""
    firewall = layin.LAID_IN / "package/usr/share/larva/nftables"
    opened = {file.stem: set(PORTS.findall(file.read_text())) for file in firewall.glob("*.nft")}
    rows = [line.split("|") for line in launch_page.PAGE.read_text().splitlines() if line.startswith("| ")]
    named = {port for row in rows for port in PORTS.findall(row[1])}
    assert opened.keys() >= {"control", "gateway"}
    assert set().union(*opened.values()) <= named


def test_an_image_that_was_not_built_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no built image"):
        exporting.export("full", targets.chosen(["azure"]), tmp_path)
    with pytest.raises(NotFound, match="no image profile"):
        exporting.export("fuller", targets.chosen(["azure"]), tmp_path)


def test_a_disk_of_no_multiple_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    publish(tmp_path, SIZE + MIB)
    with pytest.raises(InvalidInput, match="Google Cloud takes disks of a multiple of 1024 MiB") as refused:
        exporting.export("full", targets.chosen(["azure", "gcp"]), tmp_path)
    assert "disk_mib = 1024" in refused.value.hint
    assert not (tmp_path / "stages").exists()


def sign_again(place: Path, changed: Mapping[bytes, bytes]) -> None:
    """Sign a manifest in which something was replaced: signed, and wrong."""
    manifest = place / artifacts.MANIFEST
    for old, new in changed.items():
        assert old in manifest.read_bytes()
        manifest.write_bytes(manifest.read_bytes().replace(old, new))
    for name in (seal.SUMS, seal.SIGNATURE):
        (place / name).unlink()
    seal.write(place, seal.signing_key(settings.config_directory()), comment="signed, and wrong")


def test_a_file_that_was_changed_in_the_cache_is_not_signed(tmp_path: Path) -> None:
    publish(tmp_path)
    exporting.export("full", targets.chosen(["openstack"]), tmp_path)
    (written,) = (tmp_path / "stages" / "format").glob("*/*.qcow2")
    with written.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
    with pytest.raises(MalformedData, match=rf"{written} was changed since it was written") as refused:
        exporting.export("full", targets.chosen(["kvm"]), tmp_path)
    assert str(written.parent) in refused.value.hint
    assert not (tmp_path / "exports" / "full" / "kvm").exists()
    assert not left(tmp_path)


def test_a_raw_disk_that_was_changed_in_the_cache_is_not_exported(tmp_path: Path) -> None:
    publish(tmp_path)
    exporting.export("full", targets.chosen(["azure"]), tmp_path)
    (raw,) = (tmp_path / "stages" / "raw").glob("*/disk.raw")
    with raw.open("r+b") as file:
        file.seek(2 * MIB)
        file.write(b"?")
    with pytest.raises(MalformedData, match="is not the disk that was signed"):
        exporting.export("full", targets.chosen(["vmware"]), tmp_path)
    assert not (tmp_path / "exports" / "full" / "vmware").exists()
    assert not left(tmp_path)


def test_an_archive_of_another_disk_than_the_manifest_says_is_refused(tmp_path: Path) -> None:
    place = publish(tmp_path).parent
    of = codec.decode((place / artifacts.MANIFEST).read_bytes(), Manifest, source="manifest")
    sign_again(place, {of.disk_sha256.encode(): b"0" * 64})
    with pytest.raises(MalformedData, match="is not the disk that was signed"):
        exporting.export("full", targets.chosen(["azure"]), tmp_path)
    assert not left(tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "grown", "changed", "empty"])
def test_a_damaged_archive_is_refused(damage: str, tmp_path: Path) -> None:
    archive = publish(tmp_path)
    data = archive.read_bytes()
    archive.write_bytes(
        {
            "truncated": data[:-1], "grown": data + b"x", "changed": data[:50] + b"?" + data[51:], "empty": b""
        }[damage]
    )  # fmt: skip
    with pytest.raises(MalformedData, match="not what was signed") as refused:
        exporting.export("full", targets.chosen(["azure"]), tmp_path)
    assert archive.name in refused.value.message
    assert "build" in refused.value.hint
    assert not (tmp_path / "exports").exists()


def test_a_manifest_that_was_changed_exports_nothing(tmp_path: Path) -> None:
    manifest = publish(tmp_path).parent / artifacts.MANIFEST
    manifest.write_bytes(manifest.read_bytes().replace(b"trixie", b"forky!"))
    with pytest.raises(MalformedData, match=r"not what was signed: manifest\.json"):
        exporting.export("full", targets.chosen(["azure"]), tmp_path)


@pytest.mark.parametrize(
    ("head", "tail", "said"), [(b"\0", b"EFI PART", "in sector 1:"), (b"EFI PART", b"\0", "in sector 131071:")]
)
def test_a_foreign_disk_is_refused(head: bytes, tail: bytes, said: str, tmp_path: Path) -> None:
    publish(tmp_path, head=head, tail=tail)
    with pytest.raises(MalformedData, match=said):
        exporting.export("full", targets.chosen(["azure"]), tmp_path)
    assert not (tmp_path / "exports").exists()
    assert not left(tmp_path)


def test_a_disk_of_another_size_than_the_manifest_says_is_refused(tmp_path: Path) -> None:
    sign_again(publish(tmp_path).parent, {str(SIZE).encode(): str(2 * SIZE).encode()})
    with pytest.raises(MalformedData, match="it is truncated or another"):
        exporting.export("full", targets.chosen(["azure"]), tmp_path)
    assert not left(tmp_path)


def test_too_little_space_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = publish(tmp_path)
    usage = exporting.require_space.__globals__["shutil"].disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=10 * MIB))
    with pytest.raises(HostUnfit, match="10 MiB are free"):
        exporting.export("full", targets.chosen(["azure"]), tmp_path)
    assert archive.is_file()
    assert not left(tmp_path)


def test_a_killed_export_leaves_nothing_half_made_and_the_next_one_is_whole(tmp_path: Path) -> None:
    publish(tmp_path, dense=48)
    command = [Path(sys.executable).parent / "larva", "image", "export", "--for", "oci"]
    env = os.environ | {"LARVA_CACHE": str(tmp_path)}
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 300
    while not list((tmp_path / "stages").glob("format/.*/*.qcow2")):
        assert process.poll() is None, "it ended before its file was there"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    assert left(tmp_path)
    assert not list((tmp_path / "stages").glob("format/*/written.json"))
    assert not (tmp_path / "exports").exists()
    (exported,) = exporting.export("full", targets.chosen(["oci"]), tmp_path).values()
    assert exported.format == "qcow2"
    assert not left(tmp_path)


def test_copies_are_whole_or_the_old_ones(tmp_path: Path) -> None:
    publish(tmp_path)
    ((made, exported),) = exporting.export("full", targets.chosen(["kvm"]), tmp_path).items()
    place = tmp_path / "out"
    first = exporting.copy(made, exported, place)
    assert describe(first / exported.file.name) == exported.file
    assert sorted(path.name for path in first.iterdir()) == sorted(
        [exporting.RECORD, exported.file.name, exporting.PAGE, seal.SUMS, seal.SIGNATURE]
    )
    assert seal.check(first, tmp_path / "etc" / "image-signing.pub") == "larva for kvm, disk/0123456789abcdef0123"
    (made.resolve() / exporting.PAGE).unlink()
    with pytest.raises(Exception, match=r"launch\.md"):
        exporting.copy(made, exported, place)
    assert (first / exporting.PAGE).is_file()
    assert not list(first.glob(".*"))


def test_the_command_tells_files_and_refuses_what_it_does_not_know(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path)
    monkeypatch.setenv("LARVA_CACHE", str(tmp_path))
    done = CliRunner().invoke(image, ["export", "--for", "kvm", "--to", str(tmp_path / "out"), "--json"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "kvm" / f"{STEM}.qcow2").is_file()
    refused = CliRunner().invoke(image, ["export", "--for", "vax"])
    assert isinstance(refused.exception, InvalidInput)
    assert CliRunner().invoke(image, ["export"]).exit_code == 2
    assert Cache(tmp_path / "stages").records()
