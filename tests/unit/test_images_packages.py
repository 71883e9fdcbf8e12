"""Packages by their hash: fetched once, checked always; and which lock serves where the committed one does not."""

import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from images import base, lock, lock_choice, recipe
from images.artifact import describe
from images.lock import Lock, Locked
from images.lock_choice import Mode
from images.mirror import Mirror
from images.packages import UNUSED_S, Packages
from larva.errors import Conflict, LarvaError, NotFound, ProgramFailed, TimedOut, Unavailable

TOOLS = recipe.tools()
NOWHERE = Mirror("copy:/nonexistent/main", "copy:/nonexistent/security")


def package(archive: Path, name: str, version: str = "1.0", *, security: bool = False) -> Locked:
    """Build a package and lay it into the archive."""
    tree = archive / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\n"
        "Description: a test's\n"
    )
    path = f"{name[0]}/{name}/{name}_{version}_all.deb"
    file = archive / ("security/pool/updates/main" if security else "main/pool/main") / path
    file.parent.mkdir(parents=True)
    subprocess.run(["dpkg-deb", "-Znone", "--build", tree, file], check=True, capture_output=True, timeout=30)
    subprocess.run(["rm", "-r", tree], check=True, timeout=30)
    described = describe(file)
    return Locked(
        version=version, architecture="all", source=name, security=security, path=path, size=described.bytes,
        sha256=described.sha256,
    )  # fmt: skip


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return tmp_path / "archive"


@pytest.fixture
def mirror(archive: Path) -> Mirror:
    return Mirror(f"copy:{archive}/main", f"copy:{archive}/security")


@pytest.fixture
def found(archive: Path) -> Lock:
    packages = {"one": package(archive, "one"), "two": package(archive, "two", "1:2.0+b1", security=True)}
    return Lock(suite="trixie", asked=lock.asked(TOOLS), packages=packages)


@pytest.fixture
def store(tmp_path: Path) -> Packages:
    return Packages(tmp_path / "packages")


def test_packages_are_fetched_once(found: Lock, store: Packages, mirror: Mirror, tmp_path: Path) -> None:
    store.ensure(found, mirror, tmp_path / "log")
    assert store.missing(found) == {}
    store.ensure(found, NOWHERE, tmp_path / "log")
    assert sorted(file.name for file in store.directory.iterdir()) == sorted(
        f"{one.sha256}.deb" for one in found.packages.values()
    )


def test_a_file_that_was_changed_is_fetched_again(found: Lock, store: Packages, mirror: Mirror, tmp_path: Path) -> None:
    store.ensure(found, mirror, tmp_path / "log")
    file = store.path(found.packages["one"])
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert store.missing(found).keys() == {"one"}
    with pytest.raises(Unavailable, match=r"1 of 2 packages as they are locked: one 1\.0"):
        store.ensure(found, NOWHERE, tmp_path / "log")
    store.ensure(found, mirror, tmp_path / "log")
    assert store.missing(found) == {}


def test_what_no_build_asked_for_lately_is_pruned(
    found: Lock, store: Packages, mirror: Mirror, archive: Path, tmp_path: Path
) -> None:
    for file in archive.rglob("*.deb"):
        os.utime(file, (0, 0))  # apt keeps the mirror's time
    store.ensure(found, mirror, tmp_path / "log")
    assert store.prune(now=time.time()) == []
    for one in found.packages.values():
        os.utime(store.path(one), (0, 0))
    (store.directory / ".fetch-killed").mkdir()
    os.utime(store.directory / ".fetch-killed", (0, 0))
    store.ensure(replace(found, packages={"one": found.packages["one"]}), NOWHERE, tmp_path / "log")
    now = store.path(found.packages["one"]).stat().st_mtime
    store.prune(now=now + UNUSED_S - 1)
    assert [path.name for path in store.directory.iterdir()] == [f"{found.packages['one'].sha256}.deb"]
    store.prune(now=now + UNUSED_S + 1)
    assert list(store.directory.iterdir()) == []


def test_another_content_under_the_same_name_is_refused(
    found: Lock, store: Packages, mirror: Mirror, archive: Path, tmp_path: Path
) -> None:
    (file,) = archive.rglob("one_*.deb")
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(Unavailable) as caught:
        store.ensure(found, mirror, tmp_path / "log")
    assert "larva image lock" in caught.value.hint
    assert store.missing(found).keys() == {"one"}


def test_a_package_that_moved_from_security_into_the_archive_is_found(
    found: Lock, store: Packages, mirror: Mirror, archive: Path, tmp_path: Path
) -> None:
    (file,) = archive.rglob("two_*.deb")
    moved = archive / "main/pool/main" / found.packages["two"].path
    moved.parent.mkdir(parents=True)
    file.rename(moved)
    store.ensure(found, mirror, tmp_path / "log")
    assert store.missing(found) == {}


def test_the_repository_has_the_locked_packages(found: Lock, store: Packages, mirror: Mirror, tmp_path: Path) -> None:
    store.ensure(found, mirror, tmp_path / "log")
    line = store.repository(found, tmp_path / "repository")
    assert line == f"deb [trusted=yes] copy:{tmp_path}/repository ./"
    index = (tmp_path / "repository" / "Packages").read_text()
    assert index.count("\n\nPackage: ") == 1
    for name, one in found.packages.items():
        assert f"Package: {name}\n" in index
        assert f"SHA256: {one.sha256}\n" in index


def test_a_package_that_is_locked_under_a_wrong_name_is_refused(
    found: Lock, store: Packages, mirror: Mirror, tmp_path: Path
) -> None:
    wrong = replace(found, packages={"one": found.packages["two"]})
    store.ensure(wrong, mirror, tmp_path / "log")
    with pytest.raises(ProgramFailed, match="is another package"):
        store.repository(wrong, tmp_path / "repository")


def test_a_tree_with_other_packages_than_the_lock_is_refused(found: Lock, tmp_path: Path) -> None:
    status = tmp_path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    of = "Package: {}\nStatus: install ok installed\nVersion: {}\nArchitecture: all\nMaintainer: x\nDescription: x\n\n"
    status.write_text(of.format("one", "1.0") + of.format("two", "1:2.0+b1"))
    base.require_locked(tmp_path, found)
    status.write_text(of.format("one", "1.0") + of.format("three", "3"))
    with pytest.raises(ProgramFailed, match=r"missing \['two 1:2\.0\+b1'\], not locked \['three 3'\]"):
        base.require_locked(tmp_path, found)


class Choosing:
    """Chooses the lock of the tools; `resolved` counts how often a mirror was asked anew."""

    def __init__(self, place: Path, store: Packages, mirror: Mirror) -> None:
        self.place, self.store, self.mirror = place, store, mirror
        self.resolved = 0
        self.anew: Lock | None = None
        self.built: list[Lock] = []

    def __call__(self, mode: Mode) -> lock_choice.Chosen:
        return lock_choice.choose(
            TOOLS, self.mirror, self.store, self.place / "own", mode=mode, made=lambda one: one in self.built,
            log_file=self.place / "log", locks=self.place / "locks",
        )  # fmt: skip

    def commit(self, found: Lock) -> None:
        lock.write(lock.committed(TOOLS, self.place / "locks"), found)


@pytest.fixture
def choose(tmp_path: Path, store: Packages, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> Choosing:
    choosing = Choosing(tmp_path, store, mirror)

    class FakeApt:
        def __init__(self, *_of: object) -> None: ...

        def update(self) -> None: ...

        def resolve(self, _recipe: recipe.Recipe) -> Lock:
            choosing.resolved += 1
            assert choosing.anew is not None
            return choosing.anew

    monkeypatch.setattr(lock_choice, "Apt", FakeApt)
    return choosing


@pytest.mark.parametrize("mode", Mode)
def test_the_committed_lock_is_taken(choose: Choosing, found: Lock, mode: Mode) -> None:
    choose.commit(found)
    assert choose(mode) == lock_choice.Chosen(found, committed=True)
    assert choose.store.missing(found) == {}


def test_what_is_built_already_needs_no_package(choose: Choosing, found: Lock) -> None:
    choose.commit(found)
    choose.mirror, choose.built = NOWHERE, [found]
    assert choose(Mode.STRICT).committed
    assert choose.store.missing(found) == found.packages


def test_strict_says_what_is_wrong(choose: Choosing, found: Lock) -> None:
    with pytest.raises(NotFound):
        choose(Mode.STRICT)
    choose.commit(replace(found, asked="of another recipe"))
    with pytest.raises(Conflict, match="not of the packages that its recipe asks for"):
        choose(Mode.STRICT)
    choose.commit(found)
    choose.mirror = NOWHERE
    with pytest.raises(Unavailable, match="2 of 2 packages") as caught:
        choose(Mode.STRICT)
    assert "--lock auto" in caught.value.hint


def test_auto_resolves_anew_once_says_so_and_leaves_the_committed_lock(
    choose: Choosing, found: Lock, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = replace(found, packages={**found.packages, "one": replace(found.packages["one"], sha256="f" * 64)})
    choose.commit(gone)
    choose.anew = replace(found, packages={"three": package(archive, "three")})
    assert choose(Mode.AUTO) == lock_choice.Chosen(choose.anew, committed=False)
    said = capsys.readouterr().err
    assert "not from the committed lock" in said
    assert "one 1.0" in said
    assert choose(Mode.AUTO).lock == choose.anew
    assert choose.resolved == 1
    assert lock.read(lock.committed(TOOLS, choose.place / "locks")) == gone


@pytest.mark.parametrize("trouble", [TimedOut, ProgramFailed])
def test_auto_gets_over_a_mirror_that_hangs_and_a_helper_that_dies(
    choose: Choosing, found: Lock, archive: Path, monkeypatch: pytest.MonkeyPatch, trouble: type[LarvaError]
) -> None:
    choose.commit(replace(found, packages={"one": replace(found.packages["one"], sha256="f" * 64)}))
    choose.anew = found
    ensure = choose.store.ensure

    def fail_first(wanted: Lock, mirror: Mirror, log_file: Path) -> None:
        if wanted != found:
            raise trouble("apt-helper did not end well")
        ensure(wanted, mirror, log_file)

    monkeypatch.setattr(choose.store, "ensure", fail_first)
    with pytest.raises(Unavailable, match="did not end well") as caught:
        choose(Mode.STRICT)
    assert "--lock auto" in caught.value.hint
    assert choose(Mode.AUTO) == lock_choice.Chosen(found, committed=False)


def test_auto_asks_no_mirror_again_for_what_it_built_of_its_own_lock(
    choose: Choosing, found: Lock, archive: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = replace(found, packages={"one": replace(found.packages["one"], sha256="f" * 64)})
    choose.commit(gone)
    choose.anew = found
    assert choose(Mode.AUTO).lock == found
    asked: list[Lock] = []
    monkeypatch.setattr(choose.store, "ensure", lambda wanted, *_of: asked.append(wanted))
    choose.built = [found]
    capsys.readouterr()
    assert choose(Mode.AUTO) == lock_choice.Chosen(found, committed=False)
    assert "not from the committed lock" in capsys.readouterr().err
    assert asked == []
    choose.built = [found, gone]
    assert choose(Mode.AUTO) == lock_choice.Chosen(gone, committed=True)


def test_auto_goes_back_to_a_committed_lock_that_serves_again(choose: Choosing, found: Lock, archive: Path) -> None:
    choose.commit(replace(found, packages={"one": replace(found.packages["one"], sha256="f" * 64)}))
    choose.anew = replace(found, packages={"three": package(archive, "three")})
    choose.built = [choose(Mode.AUTO).lock]
    renewed = replace(found, packages={"two": found.packages["two"]})
    choose.commit(renewed)
    assert choose(Mode.AUTO) == lock_choice.Chosen(renewed, committed=True)


def test_auto_resolves_again_where_its_own_lock_is_gone_too(choose: Choosing, found: Lock, archive: Path) -> None:
    gone = {"one": replace(found.packages["one"], sha256="f" * 64)}
    choose.anew = replace(found, packages={"three": package(archive, "three")})
    choose(Mode.AUTO)
    (own,) = (choose.place / "own").iterdir()
    lock.write(own, replace(found, packages=gone))
    assert choose(Mode.AUTO).lock == choose.anew
    assert choose.resolved == 2
