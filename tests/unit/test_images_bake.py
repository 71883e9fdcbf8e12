"""What is read from Packer's words, the probe of the accelerator, and what `larva image` refuses."""

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from images import accelerator, artifacts, bake, firmware, mirror, provisioning, seal
from images.artifact import describe
from images.cli import image
from images.firmware import Firmware
from images.pipeline import Pipeline, Until
from larva import codec, process
from larva.errors import HostUnfit, InvalidInput, LarvaError, MalformedData, NotFound, ProgramFailed

SAID = """
    larva.qemu.appliance: larva: seconds until ssh: 42.17
    larva.qemu.appliance: 60 passed, 8 skipped in 76.35s (0:01:16)
Build 'larva.qemu.appliance' finished after 4 minutes 5 seconds.
"""


def test_evidence_is_read_from_packers_words(tmp_path: Path) -> None:
    assert bake.evidence(SAID, tmp_path) == (42.17, "60 passed, 8 skipped in 76.35s (0:01:16)")


@pytest.mark.parametrize(
    "text",
    [
        "",
        SAID.replace("60 passed, ", ""),
        SAID.replace("60 passed", "0 passed"),
        SAID.replace("seconds until ssh", "seconds"),
    ],
)
def test_a_boot_without_evidence_does_not_pass(text: str, tmp_path: Path) -> None:
    with pytest.raises(ProgramFailed, match="no check that passed"):
        bake.evidence(text, tmp_path)


def test_bios_needs_no_flash(tmp_path: Path) -> None:
    assert firmware.drives(Firmware.BIOS, tmp_path) == []


def test_missing_firmware_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firmware, "DIRECTORY", tmp_path)
    with pytest.raises(HostUnfit) as caught:
        firmware.drives(Firmware.UEFI, tmp_path)
    assert "ovmf" in caught.value.hint


def test_probe_is_a_boot_sector() -> None:
    sector = accelerator.boot_sector(7)
    assert len(sector) == 512
    assert sector.endswith(b"\x55\xaa")


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs QEMU")
def test_probe_counts_in_software_and_gives_up_in_time(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(accelerator.boot_sector(1000))
    (tmp_path / "endless").write_bytes(b"\xeb\xfe".ljust(510, b"\0") + b"\x55\xaa")
    assert accelerator.seconds(accelerator.TCG, tmp_path / "short", timeout=60) is not None
    assert accelerator.seconds(accelerator.TCG, tmp_path / "endless", timeout=2) is None


def failing(*words: str) -> LarvaError:
    done = CliRunner().invoke(image, list(words))
    assert isinstance(done.exception, LarvaError), done.output
    return done.exception


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LARVA_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize("command", ["build", "verify", "show"])
def test_unknown_profile(cache: Path, command: str) -> None:
    error = failing(command, "--profile", "enormous")
    assert isinstance(error, NotFound)
    assert "full" in error.hint
    assert not cache.exists()


def test_building_without_root(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    error = failing("build")
    assert isinstance(error, HostUnfit)
    assert "sudo" in error.hint
    assert not cache.exists()


def test_unreadable_provisioning_script(cache: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere\.sh"):
        Pipeline("full", provision=[Path("/nowhere.sh")])
    assert not cache.exists()


def test_scripts_are_those_of_the_beginning_whatever_happens_to_their_files(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "require_root", lambda _doing: None)
    paths = [tmp_path / "one" / "set.sh", tmp_path / "two" / "set.sh"]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        path.write_text(f"echo {number}")
    found = Pipeline("full", provision=paths).provision
    for path in paths:
        path.write_text("echo another")
    written = provisioning.write(found, tmp_path / "work")
    assert [path.read_text() for path in written] == ["echo 0", "echo 1"]
    assert [path.name for path in written] == ["set.sh", "set.sh"]
    assert [one.sha256 for one in found] == [describe(path).sha256 for path in written]


def test_missing_program_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostUnfit, match="packer"):
        bake.boot(tmp_path / "d", tmp_path, tmp_path, tmp_path / "log", epoch=0)
    with pytest.raises(HostUnfit, match=r"missing programs"):
        process.require_programs("mmdebstrap")


def test_missing_packer_is_told_before_anything_is_built(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(process, "require_root", lambda _doing: None)
    monkeypatch.setattr(mirror, "of_this_host", lambda: mirror.Mirror(main="http://127.0.0.1:9", security=""))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostUnfit, match="packer") as caught:
        Pipeline("full").build(Until.ARTIFACTS)
    assert "Debian 13" in caught.value.hint
    assert not any(cache.rglob("root"))


def test_show_without_an_image(cache: Path) -> None:
    error = failing("show")
    assert isinstance(error, NotFound)
    assert "larva image build" in error.hint


@pytest.fixture
def published(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    entry = cache / "stages" / "artifacts" / "abc"
    entry.mkdir(parents=True)
    (entry / "larva.qcow2").write_bytes(b"image")
    manifest = artifacts.Manifest(
        profile="full", version="1", suite="trixie", architecture="amd64", source="disk/1", disk_bytes=1 << 20,
        disk_sha256="0" * 64, lock="0" * 20, locked=False,
        artifacts=(describe(entry / "larva.qcow2"),), packages=(), python=(),
    )  # fmt: skip
    (entry / artifacts.MANIFEST).write_bytes(codec.encode(manifest))
    monkeypatch.setenv("LARVA_CONFIG", str(cache / "etc"))
    seal.write(entry, seal.signing_key(cache / "etc"), comment="a test's image")
    artifacts.publish(entry, cache / "images" / "full")
    return cache / "images" / "full"


def test_show_lists_what_was_built(published: Path) -> None:
    done = CliRunner().invoke(image, ["show"])
    assert done.exit_code == 0
    assert "larva.qcow2" in done.output


def test_lost_and_changed_artifacts_are_noticed(published: Path) -> None:
    assert artifacts.read(published, "full").source == "disk/1"
    (published / "larva.qcow2").write_bytes(b"IMAGE")
    with pytest.raises(MalformedData, match=r"not what was signed: larva\.qcow2"):
        artifacts.read(published, "full")
    (published / "larva.qcow2").unlink()
    with pytest.raises(MalformedData, match=r"not what was signed: larva\.qcow2"):
        artifacts.read(published, "full")


def test_publishing_moves_the_lease(published: Path, cache: Path) -> None:
    before = published.resolve()
    after = cache / "stages" / "artifacts" / "def"
    after.mkdir()
    artifacts.publish(after, published)
    assert published.resolve() == after
    assert list((after / "leases").iterdir())
    assert not list((before / "leases").iterdir())


@pytest.mark.parametrize(
    ("command", "words"),
    [("build", ("tree", "disk", "bake", "artifacts")), ("verify", ("bios", "uefi", "secure-boot"))],
)  # fmt: skip
def test_choices_read_as_documented(command: str, words: tuple[str, ...]) -> None:
    assert f"[{'|'.join(words)}]" in CliRunner().invoke(image, [command, "--help"]).output
