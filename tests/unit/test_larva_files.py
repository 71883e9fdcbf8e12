"""Whole-file writes: old or new, never between; secrets private from the first byte."""

import os
import stat
from pathlib import Path

import pytest

from larva import files


def test_a_secret_is_private_and_whole(tmp_path: Path) -> None:
    target = tmp_path / "key"
    old = os.umask(0)
    try:
        files.write_whole(target, b"secret", mode=files.SECRET)
    finally:
        os.umask(old)
    assert target.read_bytes() == b"secret"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "state"
    files.write_whole(target, "old")

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        files.write_whole(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_writing_the_same_again_changes_nothing(tmp_path: Path) -> None:
    target = tmp_path / "conf"
    assert files.write_if_changed(target, "a")
    before = target.stat().st_ino
    assert not files.write_if_changed(target, "a")
    assert target.stat().st_ino == before
    assert files.write_if_changed(target, "b")


def test_a_failed_directory_leaves_nothing(tmp_path: Path) -> None:
    def build() -> None:
        with files.whole_directory(tmp_path / "final") as work:
            (work / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        build()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_appears_whole(tmp_path: Path) -> None:
    with files.whole_directory(tmp_path / "deep" / "final") as work:
        (work / "a").write_text("x")
        assert not (tmp_path / "deep" / "final").exists()
    assert (tmp_path / "deep" / "final" / "a").read_text() == "x"
