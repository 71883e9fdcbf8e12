"""What goes into our Debian package."""

import os
import re
from pathlib import Path

import pytest

from images import deb, layin
from images.layin import File, Files

PROJECT = """
[project]
name = "larva"
version = "1.2.3"
description = "d"
requires-python = ">=3.11"
dependencies = ["click"]
[project.entry-points."larva.commands"]
here = "larva.here:command"
package = "cladnet.sub:command"
builder = "images.cli:image"
gone = "web.gone:command"
[tool.ruff]
line-length = 1
"""


def sources(*paths: str) -> Files:
    return Files({path: File(b"", 0o644) for path in paths})


def test_only_commands_that_are_carried_are_announced() -> None:
    info = deb.distribution_info(PROJECT, sources("larva/here.py", "cladnet/sub/__init__.py"))
    text = info.files["larva-1.2.3.dist-info/entry_points.txt"].content.decode()
    assert "here = larva.here:command" in text
    assert "package = cladnet.sub:command" in text
    assert "images" not in text
    assert "web.gone" not in text


def test_a_linters_setting_rebuilds_nothing_but_a_new_command_does() -> None:
    ours = sources("larva/here.py", "cladnet/sub/__init__.py")
    before = deb.project_digest(PROJECT, ours)
    assert deb.project_digest(PROJECT.replace("line-length = 1", "line-length = 2"), ours) == before
    assert deb.project_digest(PROJECT.replace("larva.here:command", "larva.here:other"), ours) != before
    assert deb.project_digest(PROJECT, sources("larva/here.py")) != before


@pytest.fixture
def room(tmp_path: Path) -> Path:
    (tmp_path / "room" / "deep").mkdir(parents=True)
    (tmp_path / "room" / "a.py").write_text("a")
    (tmp_path / "room" / "run").write_text("#!/bin/sh\necho @NAME@\n")
    (tmp_path / "room" / "run").chmod(0o700)
    (tmp_path / "room" / "deep" / "link").symlink_to("../a.py")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.py").write_text("b")
    return tmp_path


def test_digest_sees_content_mode_name_and_target(room: Path) -> None:
    seen = {layin.read(room, ["room"]).digest}
    for change in (
        lambda: (room / "room" / "a.py").write_text("A"),
        lambda: (room / "room" / "a.py").chmod(0o755),
        lambda: (room / "room" / "a.py").rename(room / "room" / "c.py"),
        lambda: ((room / "room" / "deep" / "link").unlink(), (room / "room" / "deep" / "link").symlink_to("../c.py")),
    ):
        change()
        digest = layin.read(room, ["room"]).digest
        assert digest not in seen
        seen.add(digest)


def test_digest_ignores_times_caches_and_other_rooms(room: Path) -> None:
    before = layin.read(room, ["room"]).digest
    os.utime(room / "room" / "a.py", (1, 1))
    (room / "room" / "__pycache__").mkdir()
    (room / "room" / "__pycache__" / "a.pyc").write_bytes(b"x")
    (room / "other" / "b.py").write_text("B")
    assert layin.read(room, ["room"]).digest == before


def test_files_are_written_as_read(room: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    layin.read(room, ["room"]).write(target, {"NAME": "larva"})
    assert (target / "room" / "run").read_text() == "#!/bin/sh\necho larva\n"
    assert (target / "room" / "run").stat().st_mode & 0o777 == 0o755
    assert (target / "room" / "deep" / "link").readlink() == Path("../a.py")
    assert layin.read(target, ["room"]).files["room/a.py"] == File(b"a", 0o644)


def test_removing_the_package_stops_every_unit_of_it() -> None:
    files = layin.read(deb.PACKAGE_FILES).files
    stopped = set(re.findall(r"larva-[a-z]+", files["DEBIAN/prerm"].content.decode()))
    units = {Path(path) for path in files if Path(path).suffix in {".service", ".timer"}}
    started = {unit.stem for unit in units if unit.suffix == ".timer" or unit.with_suffix(".timer") not in units}
    assert stopped == started


def test_units_are_called_by_the_program_s_name() -> None:
    files = layin.read(deb.PACKAGE_FILES).files
    units = {path: file.content.decode() for path, file in files.items() if "/system/larva-" in path}
    assert {path for path, unit in units.items() if "\nDescription=Larva: " not in unit} == set()


def test_every_unit_runs_what_the_package_or_debian_brings() -> None:
    files = layin.read(deb.PACKAGE_FILES).files
    units = [path for path in files if path.endswith(".service")]
    assert {Path(unit).stem for unit in units} == {
        "larva-boot", "larva-etcd", "larva-controller", "larva-console", "larva-agent", "larva-storage",
        "larva-firewall", "larva-backup", "larva-renew", "larva-smb", "larva-update",
    }  # fmt: skip
    for unit in units:
        if Path(unit).stem == "larva-smb":  # the storage agent starts it when there is something to share
            continue
        by = unit.removesuffix(".service") + ".timer"  # what a timer starts is not enabled itself
        assert b"\n[Install]\n" in files[by if by in files else unit].content, unit
