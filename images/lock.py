"""The lock of a recipe: which version of every Debian package an image is made of, by its hash."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from images.recipe import Recipe
from larva import codec, files
from larva.errors import NotFound

LOCKS = Path(__file__).parent / "locks"
HEADER = """\
# Written by `larva image lock`: every Debian package of the profile, and not where it comes from, since any mirror
# that has the file with this hash will do. `path` is below pool/main/ of Debian's archive, or below
# pool/updates/main/ of its security archive.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """One package.

    Args:
        source: the source package it is built from.
        security: the version comes from the security archive.
        size: of the package file, bytes.
    """

    version: str
    architecture: str
    source: str
    security: bool
    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What one recipe's packages were resolved to.

    Args:
        asked: digest of what the recipe asked for.
        packages: by their name.
    """

    suite: str
    asked: str
    packages: Mapping[str, Locked]

    @property
    def digest(self) -> str:
        """Hash of the whole lock, 20 hexadecimal digits."""
        return hashlib.sha256(render(self)).hexdigest()[:20]

    def is_for(self, recipe: Recipe) -> bool:
        """Whether the recipe still asks for what was resolved."""
        return self.asked == asked(recipe)


class How(StrEnum):
    """How a package differs between two locks."""

    ADDED = "+"
    REMOVED = "-"
    CHANGED = "~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One package that differs; a version is empty on the side that lacks it."""

    how: How
    name: str
    old: str
    new: str
    security: bool

    def __str__(self) -> str:
        versions = " → ".join(version for version in (self.old, self.new) if version)
        return f"{self.how} {self.name} {versions}{'  [security]' if self.security else ''}"


def asked(recipe: Recipe) -> str:
    """Hash what a recipe asks the archive for, 20 hexadecimal digits."""
    return hashlib.sha256("\n".join([recipe.suite, *sorted(recipe.packages)]).encode()).hexdigest()[:20]


def compare(old: Lock | None, new: Lock) -> list[Change]:
    """Return what differs, by name; a package counts as changed when its file is another."""
    before = old.packages if old else {}
    changes = []
    for name in sorted(before.keys() | new.packages.keys()):
        was, is_now = before.get(name), new.packages.get(name)
        if was is not None and is_now is not None and was.sha256 == is_now.sha256:
            continue
        how = How.ADDED if was is None else How.REMOVED if is_now is None else How.CHANGED
        changes.append(
            Change(
                how=how, name=name, old=was.version if was else "", new=is_now.version if is_now else "",
                security=bool(is_now and is_now.security),
            )
        )  # fmt: skip
    return changes


def render(lock: Lock) -> bytes:
    """Return the lock as TOML, a line a package, so that an update reads as a diff."""
    lines = [f'suite = "{lock.suite}"', f'asked = "{lock.asked}"', "", "[packages]"]
    for name, one in sorted(lock.packages.items()):
        fields = codec.to_builtins(one)
        words = ", ".join(f"{field} = {json.dumps(value)}" for field, value in fields.items())
        lines.append(f'"{name}" = {{ {words} }}')
    return (HEADER + "\n".join(lines) + "\n").encode()


def write(file: Path, lock: Lock) -> None:
    """Write a lock file whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    files.write_whole(file, render(lock))


def read(file: Path) -> Lock:
    """Return the lock that a file holds.

    Raises:
        NotFound: there is no such file.
        MalformedData: it is no lock.
    """
    if not file.is_file():
        raise NotFound(f"there is no lock file {file}", hint="run `larva image lock`")
    return codec.read_toml(file, Lock)


def committed(recipe: Recipe, directory: Path = LOCKS) -> Path:
    """Return where the lock of a recipe lies in the checkout."""
    return directory / f"{recipe.name}.lock"
