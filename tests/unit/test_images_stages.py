"""Content-addressed stages: made once, whole or not at all, pruned only when nobody uses them."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from images.stages import Cache, Stage, log_of
from larva.errors import HostUnfit, ProgramFailed


def a_stage(text: str = "x", *, needs_mib: int = 0, calls: list[str] | None = None) -> Stage:
    def make(directory: Path, log_file: Path) -> None:
        if calls is not None:
            calls.append(text)
        (directory / "result").write_text(text)

    return Stage(name="thing", family="f", inputs={"text": text}, needs_mib=needs_mib, make=make)


def test_unchanged_input_makes_nothing_again(tmp_path: Path) -> None:
    calls: list[str] = []
    first = Cache(tmp_path).ensure(a_stage(calls=calls))
    again = Cache(tmp_path).ensure(a_stage(calls=calls))
    assert first == again
    assert calls == ["x"]
    assert (again / "result").read_text() == "x"


def test_id_depends_on_name_and_inputs_only() -> None:
    def make(directory: Path, log_file: Path) -> None:
        raise AssertionError

    one = Stage(name="s", family="a", inputs={"a": "1", "b": "2"}, needs_mib=1, make=make)
    same = Stage(name="s", family="b", inputs={"b": "2", "a": "1"}, needs_mib=9, make=make)
    other = Stage(name="s", family="a", inputs={"a": "1", "b": "3"}, needs_mib=1, make=make)
    assert one.id == same.id != other.id


def test_failed_stage_leaves_nothing(tmp_path: Path) -> None:
    def make(directory: Path, log_file: Path) -> None:
        (directory / "half").write_text("half")
        raise ProgramFailed("no")

    cache = Cache(tmp_path)
    stage = Stage(name="thing", family="", inputs={}, needs_mib=0, make=make)
    with pytest.raises(ProgramFailed):
        cache.ensure(stage)
    assert not cache.has(stage)
    assert [path for path in (tmp_path / "thing").iterdir() if path.is_dir()] == []
    assert Cache(tmp_path).ensure(a_stage()).is_dir(), "the lock was let go"


def test_too_little_space_is_told_before_anything_is_made(tmp_path: Path) -> None:
    calls: list[str] = []
    with pytest.raises(HostUnfit, match="MiB are free") as caught:
        Cache(tmp_path).ensure(a_stage(needs_mib=1 << 40, calls=calls))
    assert calls == []
    assert "prune" in caught.value.hint


def test_full_disk_midway_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    def make(directory: Path, log_file: Path) -> None:
        (directory / "half").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(HostUnfit, match="MiB are free"):
        Cache(tmp_path).ensure(Stage(name="thing", family="", inputs={}, needs_mib=3, make=make))
    assert [path for path in (tmp_path / "thing").iterdir() if path.is_dir()] == []


KILLED = """
import sys, time
from pathlib import Path
from images.stages import Cache, Stage
def make(directory, log_file):
    (directory / "half").write_text("half")
    print("making", flush=True)
    time.sleep(600)
Cache(Path(sys.argv[1])).ensure(Stage(name="thing", family="f", inputs={"text": "x"}, needs_mib=0, make=make))
"""


def test_killed_build_is_cleared_away_by_the_next(tmp_path: Path) -> None:
    build = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True)
    assert build.stdout is not None
    with build:
        assert build.stdout.readline() == "making\n"
        build.send_signal(signal.SIGKILL)
    left = [path for path in (tmp_path / "thing").iterdir() if path.is_dir()]
    assert len(left) == 1
    entry = Cache(tmp_path).ensure(a_stage())
    assert [path for path in (tmp_path / "thing").iterdir() if path.is_dir()] == [entry]


def test_temporaries_of_a_running_build_stay(tmp_path: Path) -> None:
    build = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True)
    assert build.stdout is not None
    with build:
        assert build.stdout.readline() == "making\n"
        Cache(tmp_path).ensure(a_stage("another"))
        assert [path.name for path in (tmp_path / "thing").glob(".*/half")] == ["half"]
        build.kill()


SLOW = """
import os, sys, time
from pathlib import Path
from images.stages import Cache, Stage
place = Path(sys.argv[1])
def make(directory, log_file):
    print("making", flush=True)
    (place / f"made-by-{os.getpid()}").touch()
    deadline = time.monotonic() + 30
    while not (place / "go").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    (directory / "result").write_text("x")
Cache(place).ensure(Stage(name="thing", family="f", inputs={"text": "x"}, needs_mib=0, make=make))
"""


def test_two_builds_at_once_make_it_once(tmp_path: Path) -> None:
    first = subprocess.Popen([sys.executable, "-c", SLOW, tmp_path], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    with first:
        assert first.stdout.readline() == "making\n"
        second = subprocess.Popen([sys.executable, "-c", SLOW, tmp_path], stderr=subprocess.PIPE, text=True)
        assert second.stderr is not None
        with second:
            assert "another build is making it, waiting" in second.stderr.readline()
            (tmp_path / "go").touch()
            assert "unchanged" in second.stderr.read()
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(list(tmp_path.glob("made-by-*"))) == 1


def test_an_entry_without_its_record_is_made_anew(tmp_path: Path) -> None:
    stage = a_stage()
    broken = tmp_path / "thing" / stage.id
    broken.mkdir(parents=True)
    (broken / "result").write_text("broken")
    assert (Cache(tmp_path).ensure(stage) / "result").read_text() == "x"


def make_aged(directory: Path, names: str) -> dict[str, Path]:
    """Entries in the order of their last use, the oldest first; nobody holds them."""
    cache = Cache(directory)
    entries = {}
    for age, name in enumerate(names):
        entries[name] = cache.ensure(a_stage(name))
        os.utime(entries[name], (age, age))
    cache.close()
    return entries


def test_builds_of_different_inputs_keep_their_own_logs(tmp_path: Path) -> None:
    """Two builds that share a cache must not read each other's words."""

    def stage(text: str, meanwhile: Callable[[], object]) -> Stage:
        def make(directory: Path, log_file: Path) -> None:
            log_file.write_text(text)
            meanwhile()
            (directory / "said").write_text(log_file.read_text())

        return Stage(name="thing", family="f", inputs={"text": text}, needs_mib=0, make=make)

    inner = stage("inner", lambda: None)
    outer = Cache(tmp_path).ensure(stage("outer", lambda: Cache(tmp_path).ensure(inner)))
    assert (outer / "said").read_text() == "outer"
    assert log_of(outer).read_text() == "outer"


def test_prune_takes_the_log_along(tmp_path: Path) -> None:
    entries = make_aged(tmp_path, "ab")
    for entry in entries.values():
        log_of(entry).write_text("said")
    Cache(tmp_path).prune(keep=1)
    assert not log_of(entries["a"]).exists()
    assert log_of(entries["b"]).exists()


def test_prune_keeps_the_most_recently_used(tmp_path: Path) -> None:
    entries = make_aged(tmp_path, "abcde")
    assert set(Cache(tmp_path).prune(keep=2)) == {entries[name] for name in "abc"}
    assert [entries[name].exists() for name in "abcde"] == [False, False, False, True, True]


def test_prune_spares_what_is_leased_or_in_use(tmp_path: Path) -> None:
    entries = make_aged(tmp_path, "abcd")
    (entries["a"] / "leases").mkdir()
    (entries["a"] / "leases" / "run-1").touch()
    user = Cache(tmp_path)
    user.ensure(a_stage("b"))
    Cache(tmp_path).prune(keep=0)
    assert [entries[name].exists() for name in "abcd"] == [True, True, False, False]
    (entries["a"] / "leases" / "run-1").unlink()
    user.close()
    Cache(tmp_path).prune(keep=0)
    assert not any(entry.exists() for entry in entries.values())


def test_removed_cache_is_no_trouble(tmp_path: Path) -> None:
    make_aged(tmp_path, "a")
    shutil.rmtree(tmp_path / "thing")
    assert Cache(tmp_path).prune() == []
    assert Cache(tmp_path).ensure(a_stage("a")).is_dir()


SCRATCH = """
import sys, time
from pathlib import Path
from images.stages import Cache
with Cache(Path(sys.argv[1])).scratch("work") as place:
    (place / "half").write_text("half")
    print("up", flush=True)
    time.sleep(600)
"""


def test_scratch_of_the_dead_is_removed_and_of_the_living_spared(tmp_path: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", SCRATCH, tmp_path], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    with worker:
        assert worker.stdout.readline() == "up\n"
        with Cache(tmp_path).scratch("work") as mine:
            assert len(list(tmp_path.glob("scratch/.*/half"))) == 1
        worker.kill()
    assert not mine.exists()
    with Cache(tmp_path).scratch("work"):
        assert not list(tmp_path.glob("scratch/.*/half"))


def test_builds_that_prune_at_once_do_not_trip_over_each_other(tmp_path: Path) -> None:
    names = "abcdefghijklmnopqrstuvwxyz"
    make_aged(tmp_path, names)
    with ThreadPoolExecutor(max_workers=8) as pool:
        removed = [entry for found in pool.map(lambda _: Cache(tmp_path).prune(keep=1), range(16)) for entry in found]
    assert len(set(removed)) == len(names) - 1
    assert len(Cache(tmp_path).records()) == 1
