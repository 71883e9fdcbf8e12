"""A directory becomes the same as another: in one go, after any number of ends by force, and over what was there."""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cbstorage.leading.copier import CopyOrder, CopyReport
from cbstorage.leading.copy_jobs import CopyJobs
from cbstorage.leading.copying import CLOCKS_NS, HOLE, SYNCED, Copier, Progress
from cbstorage.leading.unsynced import AT_ONCE
from larva.errors import ProgramFailed

LONG = 1_600_000_000_123_456_789


def fill(top: Path) -> None:
    """A tree with everything that must be kept."""
    (top / "deep" / "er").mkdir(parents=True)
    (top / "empty").mkdir(mode=0o2750)
    (top / "text").write_bytes(b"words")
    (top / "deep" / "er" / "same").hardlink_to(top / "text")
    (top / "other").hardlink_to(top / "text")
    (top / "link").symlink_to("/etc/passwd")
    (top / "lost").symlink_to("nowhere")
    os.mkfifo(top / "pipe", 0o640)
    with (top / "holes").open("wb") as file:
        file.truncate(8 << 20)
        file.seek(4 << 20)
        file.write(b"in the middle")
    (top / "big").write_bytes(os.urandom(SYNCED + 1))
    (top / "deep" / "script").write_text("#!/bin/sh\n")
    (top / "deep" / "script").chmod(0o4755)
    (top / "nameé\n").write_bytes(b"")
    os.setxattr(top / "text", "user.colour", b"green")
    os.setxattr(top / "deep", "user.kind", b"directory")
    if os.geteuid() == 0:
        os.chown(top / "big", 1234, 5678)
        os.chown(top / "link", 1234, 5678, follow_symlinks=False)
    for path in (top / "text", top / "link", top / "deep" / "er", top / "deep", top):
        os.utime(path, ns=(LONG, LONG + len(path.name)), follow_symlinks=False)


def seen(top: Path) -> dict[str, tuple[object, ...]]:
    """What can be said of each thing below a directory, and of itself."""
    found: dict[str, tuple[object, ...]] = {}
    names: dict[int, str] = {}
    for path in sorted([top, *top.rglob("*")]):
        status = path.lstat()
        name = str(path.relative_to(top))
        attributes: dict[str, bytes] = {}
        content: object = None
        if stat.S_ISLNK(status.st_mode):
            content = path.readlink()
        elif not stat.S_ISFIFO(status.st_mode):
            attributes = {one: os.getxattr(path, one) for one in os.listxattr(path)}
        if stat.S_ISREG(status.st_mode):
            content = path.read_bytes()
        links = status.st_nlink if stat.S_ISREG(status.st_mode) else 0
        first = names.setdefault(status.st_ino, name)
        found[name] = (
            status.st_mode, status.st_uid, status.st_gid, links, first, status.st_mtime_ns, content, attributes,
        )  # fmt: skip
    return found


@pytest.fixture
def source(tmp_path: Path) -> Path:
    top = tmp_path / "source"
    top.mkdir()
    fill(top)
    return top


@pytest.fixture
def target(tmp_path: Path) -> Path:
    top = tmp_path / "target"
    top.mkdir()
    return top


def copy(source: Path, target: Path, *, trust_times: bool = True) -> Progress:
    copier = Copier(trust_times=trust_times)
    copier.copy(str(source), str(target))
    return copier.progress


def test_everything_is_kept(source: Path, target: Path) -> None:
    progress = copy(source, target)
    assert seen(target) == seen(source)
    assert (target / "holes").lstat().st_blocks * 512 <= 4 * HOLE, "holes stay holes"
    assert progress.files == 10
    assert progress.bytes >= (8 << 20) + SYNCED


@pytest.mark.parametrize("trust_times", [True, False])
def test_a_second_time_nothing_is_written(source: Path, target: Path, *, trust_times: bool) -> None:
    copy(source, target)
    before = {path: (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in target.rglob("*") if not path.is_dir()}
    copy(source, target, trust_times=trust_times)
    assert before == {path: (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in before}


class End(Exception):
    """Ended by force."""


@pytest.mark.parametrize("after", range(1, 24, 4))
def test_ended_anywhere_it_is_taken_up_again(source: Path, target: Path, after: int) -> None:
    calls = 0

    def end(progress: Progress) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            raise End

    try:
        Copier(trust_times=True, report=end).copy(str(source), str(target))
    except End:
        assert seen(target) != seen(source)
    copy(source, target)
    assert seen(target) == seen(source)


def test_what_was_there_gives_way(source: Path, target: Path) -> None:
    fill(target)
    (target / "extra" / "tree").mkdir(parents=True)
    (target / "extra" / "tree" / "file").write_text("x")
    (target / "empty").rmdir()
    (target / "empty").write_text("a file where a directory should be")
    (target / "pipe").unlink()
    (target / "pipe").mkdir()
    (target / "link").unlink()
    (target / "link").symlink_to("/etc/shadow")
    (target / "other").unlink()
    (target / "other").write_bytes(b"words")
    os.setxattr(target / "deep", "user.more", b"x")
    copy(source, target, trust_times=False)
    assert seen(target) == seen(source)


def test_contents_count_where_others_wrote(source: Path, target: Path) -> None:
    """Same size, same time: somebody may have set it back."""
    copy(source, target)
    status = (target / "big").stat()
    data = bytearray((target / "big").read_bytes())
    data[-1] ^= 1
    (target / "big").write_bytes(data)
    os.utime(target / "big", ns=(status.st_atime_ns, status.st_mtime_ns))
    copy(source, target, trust_times=False)
    assert seen(target) == seen(source)


def rot(path: Path) -> None:
    """Another content under the same size and time."""
    status = path.stat()
    path.write_bytes(bytes(one ^ 1 for one in path.read_bytes()))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_what_is_the_same_as_before_is_not_even_read(source: Path, target: Path) -> None:
    copy(source, target)
    rot(target / "big")
    (target / "deep" / "script").chmod(0o600)
    (target / "text").unlink()
    copier = Copier(trust_times=False)
    copier.copy(str(source), str(target), str(source))
    assert (target / "big").read_bytes() != (source / "big").read_bytes(), "what is said to be the same was read"
    copy(source, target, trust_times=False)
    assert seen(target) == seen(source)
    assert copier.progress.files == 10


@pytest.mark.parametrize("since_ns", [0, CLOCKS_NS - 10**9, CLOCKS_NS + 10**9])
def test_a_time_of_change_counts_where_no_clock_that_is_behind_can_have_left_it(
    source: Path, target: Path, since_ns: int
) -> None:
    """What CephFS does where a host whose clock is behind writes into a file: its time of change stays."""
    copy(source, target)
    rot(target / "big")
    rot(target / "text")
    changed = max(path.lstat().st_ctime_ns for path in (source, *source.rglob("*")))
    Copier(trust_times=False, before_at_ns=changed + since_ns).copy(str(source), str(target), str(source))
    assert (seen(target) == seen(source)) is (since_ns < CLOCKS_NS)


@pytest.mark.parametrize("after", range(1, 24, 3))
def test_what_differs_from_before_is_brought_whatever_its_size_and_time(
    source: Path, target: Path, tmp_path: Path, after: int
) -> None:
    before = tmp_path / "before"
    before.mkdir()
    copy(source, before)
    copy(source, target)
    rot(source / "big")
    (source / "deep" / "er").rename(source / "moved")
    (source / "empty").rmdir()
    (source / "empty").write_text("no directory any more")
    (source / "link").unlink()
    (source / "link").mkdir()
    os.setxattr(source / "deep", "user.kind", b"another")
    calls = 0

    def end(_: Progress) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            raise End

    with contextlib.suppress(End):
        Copier(trust_times=False, report=end).copy(str(source), str(target), str(before))
    Copier(trust_times=False).copy(str(source), str(target), str(before))
    assert seen(target) == seen(source)


def test_a_change_that_is_undone_is_found_by_what_was_touched(source: Path, target: Path) -> None:
    """The target itself as what was before: only what has another inode or time of change is looked at."""
    copy(source, target)
    (target / "text").write_bytes(b"other")
    (target / "extra").write_bytes(b"")
    Copier(trust_times=False).copy(str(source), str(target), str(target))
    assert seen(target) == seen(source)


def test_links_are_not_followed(source: Path, target: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "er").mkdir()
    (outside / "keep").write_text("mine")
    (target / "deep").symlink_to(outside)
    (target / "text").symlink_to(outside / "keep")
    copy(source, target)
    assert seen(target) == seen(source)
    assert (outside / "keep").read_text() == "mine"
    assert list((outside / "er").iterdir()) == []


def test_a_deep_tree_is_copied(tmp_path: Path, target: Path) -> None:
    """Deeper than Python's stack."""
    source = tmp_path / "source"
    source.mkdir()
    here = source
    for _ in range(300):
        here /= "d"
        here.mkdir()
    (here / "leaf").write_text("here")
    copy(source, target)
    assert (target / here.relative_to(source) / "leaf").read_text() == "here"


def test_what_is_not_there_is_named(tmp_path: Path, target: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        copy(tmp_path / "nothing", target)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("number", [0, AT_ONCE, 2 * AT_ONCE + 5])
def test_a_small_file_that_does_not_reach_the_disks_is_named(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A client whose pool is full, or that is shut out, says so to nobody who does not sync."""
    source = tmp_path / "source"
    (source / "many").mkdir(parents=True)
    for one in range(2 * AT_ONCE + 6):
        (source / "many" / f"{one:03}").write_text(str(one))
    real = os.fsync

    def full(file: int) -> None:
        if Path(f"/proc/self/fd/{file}").read_text() == str(number):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    before = descriptors()
    copier = Copier(trust_times=True)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left") as caught:
            copier.copy(str(source), str(target))
    assert caught.value.filename == f"many/{number:03}"
    held = (number // AT_ONCE + 1) * AT_ONCE
    assert len(list((target / "many").iterdir())) == min(held, 2 * AT_ONCE + 6), "no more are open than so many"
    copy(source, target)
    assert seen(target) == seen(source)
    assert descriptors() == before


def test_every_file_is_brought_to_the_disks(source: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = set[int]()
    monkeypatch.setattr(os, "fsync", lambda file: synced.add(os.fstat(file).st_ino))
    before = descriptors()
    copy(source, target)
    assert synced == {path.stat().st_ino for path in target.rglob("*") if path.is_file() and not path.is_symlink()}
    assert descriptors() == before


def test_nothing_stays_open_after_an_end(source: Path, target: Path) -> None:
    def end(progress: Progress) -> None:
        if progress.files == 8:
            raise End

    before = descriptors()
    with pytest.raises(End):
        Copier(trust_times=True, report=end).copy(str(source), str(target))
    assert descriptors() == before


ORDER = CopyOrder(entity="client.x", keyring=Path("k"), source="/a", target="/b", trust_times=True)


def jobs(script: str, clock: Callable[[], float] = time.monotonic) -> CopyJobs:
    return CopyJobs(lambda: ["sh", "-c", script], clock=clock)


def until_ended(found: CopyJobs) -> CopyReport:
    """Follow a copy until it is done, or raises."""
    deadline = time.monotonic() + 60
    while not (report := found.follow("t", ORDER)).done:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return report


def test_a_job_is_followed_to_its_end() -> None:
    found = jobs("""read -r order; echo "{\\"files\\": 1, \\"bytes\\": 2, \\"done\\": true}" """)
    assert until_ended(found) == CopyReport(files=1, bytes=2, done=True)
    assert not found.is_running("t")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("exit 1", "ended without a word"),
        ("""read -r o; echo "{\\"files\\": 0, \\"bytes\\": 0, \\"problem\\": \\"no room\\"}" """, "no room"),
        ("read -r o; echo nonsense", "ended without a word"),
    ],
)
def test_a_job_that_failed_rests_before_it_is_begun_again(script: str, said: str) -> None:
    now = 0.0
    found = jobs(script, lambda: now)
    for _ in range(2):
        with pytest.raises(ProgramFailed, match=said):
            until_ended(found)
    assert not found.is_running("t")
    now = 100.0
    with contextlib.suppress(ProgramFailed):
        found.follow("t", ORDER)
        assert found.is_running("t")
    found.keep_only([])


def test_a_job_that_stands_still_is_ended() -> None:
    now = 0.0
    found = jobs("read -r o; read -r never", lambda: now)
    assert not found.follow("t", ORDER).done
    now = 10_000.0
    with pytest.raises(ProgramFailed, match="stood still"):
        found.follow("t", ORDER)
    assert not found.is_running("t")


def test_what_cannot_be_started_is_said() -> None:
    with pytest.raises(ProgramFailed, match="could not be started"):
        CopyJobs(lambda: ["/no/such/program"]).follow("t", ORDER)
