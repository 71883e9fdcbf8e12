"""Locks of packages: what is written is read, what differs is shown, and what apt says is understood."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from images import cli, lock, mirror, recipe, resolve
from images.lock import How, Lock, Locked
from larva.errors import Conflict, MalformedData, NotFound

SHA = "0123456789abcdef" * 4


def locked(version: str = "1.0-1", *, sha256: str = SHA, security: bool = False) -> Locked:
    return Locked(
        version=version, architecture="amd64", source="thing", security=security, path=f"t/thing/thing_{version}.deb",
        size=5, sha256=sha256,
    )  # fmt: skip


def a_lock(**packages: Locked) -> Lock:
    return Lock(suite="trixie", asked="0" * 20, packages=packages)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = a_lock(**{"libstdc++6": locked(), "python3.13": locked("1:3.13~rc1+b2"), "a": locked(security=True)})
    lock.write(tmp_path / "x.lock", written)
    assert lock.read(tmp_path / "x.lock") == written
    lines = (tmp_path / "x.lock").read_text().splitlines()
    assert [line.split()[0] for line in lines if "sha256" in line] == ['"a"', '"libstdc++6"', '"python3.13"']


def test_a_lock_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        lock.read(tmp_path / "x.lock")
    assert "larva image lock" in caught.value.hint
    (tmp_path / "x.lock").write_text('suite = "trixie"\nasked = "x"\n[packages]\nthing = {version = 1}\n')
    with pytest.raises(MalformedData, match=r"x\.lock"):
        lock.read(tmp_path / "x.lock")


def test_digest_is_of_all_that_is_locked() -> None:
    one = a_lock(a=locked(), b=locked())
    assert one.digest == a_lock(b=locked(), a=locked()).digest
    others = [a_lock(a=locked()), a_lock(a=locked(), b=locked("1.0-2")), a_lock(a=locked(), b=locked(sha256="f" * 64))]
    assert len({one.digest, *(other.digest for other in others)}) == 4


def test_what_differs_is_shown() -> None:
    old = a_lock(gone=locked(), same=locked(), up=locked("1", sha256="a" * 64))
    new = a_lock(same=locked(), up=locked("2", sha256="b" * 64, security=True), fresh=locked("3"))
    assert [str(one) for one in lock.compare(old, new)] == ["+ fresh 3", "- gone 1.0-1", "~ up 1 → 2  [security]"]
    assert {one.how for one in lock.compare(None, new)} == {How.ADDED}


@given(
    *[st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("0123").map(lambda one: locked(sha256=one * 64)))] * 2
)
def test_exactly_what_differs_is_compared(old: dict[str, Locked], new: dict[str, Locked]) -> None:
    found = {one.name for one in lock.compare(a_lock(**old), a_lock(**new))}
    assert found == {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


def test_a_lock_is_of_what_the_recipe_asks_for() -> None:
    member = recipe.load("member")
    shuffled = replace(member, packages=member.packages[::-1])
    assert lock.asked(member) == lock.asked(shuffled)
    assert lock.asked(member) != lock.asked(replace(member, packages=(*member.packages, "hello")))
    assert lock.asked(member) != lock.asked(replace(member, suite="forky"))


@pytest.mark.parametrize("one", [*map(recipe.load, recipe.profiles()), recipe.tools()], ids=lambda one: one.name)
def test_committed_lock_is_of_the_recipe_and_names_no_origin(one: recipe.Recipe) -> None:
    file = lock.committed(one)
    found = lock.read(file)
    assert found.is_for(one), "the recipe's packages changed: run `larva image lock`"
    assert found.suite == one.suite
    assert set(one.packages) <= found.packages.keys()
    assert all(re.fullmatch(r"[0-9a-f]{64}", package.sha256) for package in found.packages.values())
    assert all(not package.path.startswith("/") and ".." not in package.path for package in found.packages.values())
    assert "://" not in file.read_text()


SIMULATED = """\
NOTE: This is only a simulation!
Inst gcc-14-base (14.2.0-19 Debian:13.8/stable [amd64])
Inst libc6 (2.41-12+deb13u5 Debian:13.8/stable [amd64]) []
Inst bsdutils (1:2.41.5-0+deb13u1 Debian:13.8/stable, Debian-Security:13/stable-security [amd64])
Inst libzstd1 (1.5.7+dfsg-1+deb13u1 Debian-Security:13/stable-security [amd64]) [apt:amd64 ]
Conf gcc-14-base (14.2.0-19 Debian:13.8/stable [amd64])
"""

SHOWN = f"""\
Package: bsdutils
Source: util-linux (2.41.5-0+deb13u1)
Version: 1:2.41.5-0+deb13u1
Architecture: amd64
Description: basic utilities
 Package: not a field
Filename: pool/main/u/util-linux/bsdutils_2.41.5-0+deb13u1_amd64.deb
Size: 107
SHA256: {SHA}

Package: libzstd1
Version: 1.5.7+dfsg-1+deb13u1
Architecture: amd64
Filename: pool/updates/main/libz/libzstd/libzstd1_1.5.7+dfsg-1+deb13u1_amd64.deb
Size: 304140
SHA256: {SHA}

Package: libzstd1
Version: 1.5.7+dfsg-1
Architecture: amd64
Filename: pool/main/libz/libzstd/libzstd1_1.5.7+dfsg-1_amd64.deb
Size: 300000
SHA256: {"f" * 64}
"""


def test_what_apt_would_install_is_read() -> None:
    chosen = resolve.parse_simulation(SIMULATED)
    assert chosen.keys() == {"gcc-14-base", "libc6", "bsdutils", "libzstd1"}
    assert chosen["bsdutils"] == ("1:2.41.5-0+deb13u1", False)
    assert chosen["libzstd1"] == ("1.5.7+dfsg-1+deb13u1", True)
    with pytest.raises(MalformedData):
        resolve.parse_simulation("0 upgraded, 0 newly installed")


def test_files_of_what_was_chosen_are_read() -> None:
    chosen = {name: one for name, one in resolve.parse_simulation(SIMULATED).items() if name in SHOWN}
    found = resolve.parse_records(SHOWN, chosen)
    assert found["bsdutils"].path == "u/util-linux/bsdutils_2.41.5-0+deb13u1_amd64.deb"
    assert found["bsdutils"].source == "util-linux"
    assert (found["libzstd1"].size, found["libzstd1"].sha256) == (304140, SHA)
    assert found["libzstd1"].path.startswith("libz/")


def test_a_package_of_which_nothing_is_said_is_told() -> None:
    with pytest.raises(MalformedData, match="nothing of nowhere"):
        resolve.parse_records(SHOWN, {"nowhere": ("1", False)})
    with pytest.raises(MalformedData, match="no SHA-256 of libzstd1"):
        resolve.parse_records(SHOWN.replace("SHA256", "MD5sum"), {"libzstd1": ("1.5.7+dfsg-1", False)})


class FakeApt:
    """A mirror that has one package, in the version `has`."""

    has = "1"

    def __init__(self, *_of: object) -> None: ...

    def update(self) -> None: ...

    def resolve(self, one: recipe.Recipe) -> Lock:
        newest = locked(self.has, sha256=self.has * 64, security=self.has != "1")
        return Lock(suite=one.suite, asked=lock.asked(one), packages={"thing": newest})


def test_lock_is_written_and_an_update_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resolve, "Apt", FakeApt)
    monkeypatch.setattr(mirror, "of_this_host", lambda: mirror.Mirror("http://m.example", "http://s.example"))
    monkeypatch.setattr(lock, "committed", lambda one: tmp_path / f"{one.name}.lock")

    def run(*words: str) -> tuple[str, BaseException | None]:
        done = CliRunner().invoke(cli.image, ["lock", *words])
        return done.output, done.exception

    assert isinstance(run("--check")[1], Conflict)
    assert not list(tmp_path.iterdir())
    assert run()[1] is None
    assert sorted(file.name for file in tmp_path.iterdir()) == ["full.lock", "member.lock", "tools.lock"]
    assert run("--check")[1] is None
    monkeypatch.setattr(FakeApt, "has", "2")
    printed, error = run("--profile", "member", "--check")
    assert isinstance(error, Conflict)
    assert "~ thing 1 → 2  [security]" in printed
    assert run("--profile", "member")[1] is None
    versions = {file.name: lock.read(file).packages["thing"].version for file in tmp_path.iterdir()}
    assert versions == {"full.lock": "1", "member.lock": "2", "tools.lock": "2"}
