"""Upgrades by real dpkg and apt, of packages made here in a root of their own: cut short, and what they leave."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from cbstorage.updating import update
from larva import packages
from larva.errors import ProgramFailed

AUTOREMOVE = Path("/etc/apt/apt.conf.d/01autoremove")
PINS = Path(__file__).parents[2] / "packer/package/usr/share/larva/apt/security.pref"


class Machine:
    """A directory that dpkg and apt take for the machine, and its security archive."""

    def __init__(self, root: Path) -> None:
        self.root = root / "root"
        self._archive = root / "archive"
        self._archive.mkdir()
        for name in (
            "var/lib/dpkg/updates", "var/lib/dpkg/info", "etc/apt/apt.conf.d", "etc/apt/preferences.d",
            "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/apt",
        ):  # fmt: skip
            (self.root / name).mkdir(parents=True)
        (self.root / "var/lib/dpkg/status").touch()
        (self.root / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:{self._archive} ./\n")
        shutil.copy(AUTOREMOVE, self.root / "etc/apt/apt.conf.d")
        self.settings = root / "apt.conf"
        self.settings.write_text(
            f'Dir "{self.root}";\nDir::State::status "{self.root}/var/lib/dpkg/status";\nAPT::Sandbox::User "root";\n'
        )
        self._records: list[str] = []

    def make(self, name: str, version: str, depends: str = "", *, published: bool = True) -> Path:
        """Return a package's file, of which the archive knows if it is published."""
        tree = self._archive / "tree"
        (tree / "DEBIAN").mkdir(parents=True)
        control = (
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
        )
        control += f"Depends: {depends}\n" if depends else ""
        (tree / "DEBIAN/control").write_text(control)
        file = self._archive / f"{name}_{version}_all.deb"
        subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, file], check=True, capture_output=True)
        shutil.rmtree(tree)
        if published:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            self._records.append(f"{control}Filename: ./{file.name}\nSize: {file.stat().st_size}\nSHA256: {digest}\n\n")
        return file

    def publish(self) -> None:
        index = self._archive / "Packages"
        index.write_text("".join(self._records))
        line = f"{hashlib.sha256(index.read_bytes()).hexdigest()} {index.stat().st_size} Packages"
        (self._archive / "Release").write_text(f"Label: Debian-Security\nSHA256:\n {line}\n")
        packages.refresh()

    def dpkg(self, *words: str | Path) -> None:
        subprocess.run(["dpkg", *words], check=True, capture_output=True)

    def has(self) -> dict[str, str]:
        told = subprocess.run(
            ["dpkg-query", "-W", "-f", "${Package} ${Version} ${db:Status-Status}\n"], check=True, capture_output=True,
            text=True,
        ).stdout  # fmt: skip
        return {name: f"{version} {state}" for name, version, state in map(str.split, told.splitlines())}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Machine(tmp_path)
    monkeypatch.setenv("DPKG_ROOT", str(made.root))
    monkeypatch.setenv("APT_CONFIG", str(made.settings))
    monkeypatch.setattr(packages, "SECURITY_ONLY", PINS)
    return made


def test_what_was_unpacked_only_is_configured(machine: Machine) -> None:
    machine.dpkg("--install", machine.make("a", "1"))
    machine.dpkg("--unpack", machine.make("a", "2"))
    machine.publish()
    assert packages.pending() == ()
    due = update.due()
    assert (due.unfinished, due.nothing) == (("a",), False)
    packages.finish()
    assert machine.has() == {"a": "2 installed"}
    assert update.due().unfinished == ()


def test_an_upgrade_cut_short_between_two_packages_is_finished(machine: Machine) -> None:
    """The second is what the first needs now, so that apt simulates nothing more."""
    machine.dpkg("--install", machine.make("b", "1"))
    machine.dpkg("--install", machine.make("a", "1", "b"))
    machine.dpkg("--unpack", machine.make("a", "2", "b (>= 2)"))
    machine.make("b", "2")
    machine.publish()
    with pytest.raises(ProgramFailed, match="nmet dependencies"):
        packages.pending()
    assert update.due().unfinished == ("a",)
    packages.finish()
    assert machine.has() == {"a": "2 installed", "b": "2 installed"}
    assert packages.pending() == ()


def test_nothing_is_removed_to_finish(machine: Machine) -> None:
    machine.dpkg("--install", machine.make("b", "1"))
    machine.dpkg("--install", machine.make("a", "1", "b", published=False))
    machine.dpkg("--unpack", machine.make("a", "2", "b (>= 2)", published=False))
    machine.publish()
    with pytest.raises(ProgramFailed):
        packages.finish()
    assert machine.has() == {"a": "2 unpacked", "b": "1 installed"}


def test_old_kernels_go_with_an_upgrade_and_nothing_else(machine: Machine) -> None:
    """apt spares the two newest of those here, of which none runs."""
    versions = ("6.12.1", "6.12.2", "6.12.3", "6.12.4")
    first, second, third, fourth = (f"linux-image-{version}+deb13-cloud-amd64" for version in versions)
    for name, version in (*zip((first, second, third), versions, strict=False), ("orphan", "1")):
        machine.dpkg("--install", machine.make(name, version))
    machine.dpkg("--install", machine.make("linux-image-cloud-amd64", "6.12.3", third))
    machine.make(fourth, "6.12.4")
    machine.make("linux-image-cloud-amd64", "6.12.4", fourth)
    subprocess.run(["apt-mark", "auto", first, second, third, "orphan"], check=True, capture_output=True)
    machine.publish()
    assert {one.name for one in packages.pending()} == {fourth, "linux-image-cloud-amd64"}
    packages.upgrade()
    left = machine.has()
    assert set(left) == {third, fourth, "linux-image-cloud-amd64", "orphan"}
    assert left["linux-image-cloud-amd64"] == "6.12.4 installed"
    packages.upgrade()
    assert machine.has() == left
