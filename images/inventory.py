"""What is in an image: every Debian package, Python distribution and JavaScript library, with version and licence."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageMetadata, distributions
from pathlib import Path
from urllib.parse import quote

from images import deb
from images.lock import Lock
from larva import codec, process

SHORT_NAME = re.compile(r"^License:[ \t]*(\S[^\n]*)", re.MULTILINE)
"""Debian's machine-readable copyright file, version 1.0: the first line of a field License is its short name."""
COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z][A-Za-z0-9.+-]*[A-Za-z0-9+])")
LONGEST_NAME = 60
CLASSIFIER = "License :: OSI Approved :: "


class Kind(StrEnum):
    """Where a package comes from."""

    DEBIAN = "deb"
    PYTHON = "pypi"
    JAVASCRIPT = "npm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One package.

    Args:
        licences: short names as its packager gives them; empty if it gives none.
        source: the source package with its version, where it is another than the package.
        home: where it is developed; empty if unknown.
        sha256: of the package file, if it is locked.
    """

    kind: Kind
    name: str
    version: str
    licences: tuple[str, ...]
    source: str = ""
    home: str = ""
    sha256: str = ""

    def purl(self, suite: str) -> str:
        """Return the package URL (purl-spec, types deb, pypi and npm)."""
        version = quote(self.version, safe="")
        if self.kind is Kind.DEBIAN:
            return f"pkg:deb/debian/{quote(self.name, safe='')}@{version}?arch=amd64&distro={suite}"
        if self.kind is Kind.JAVASCRIPT:
            return f"pkg:npm/{quote(self.name, safe='/')}@{version}"
        return f"pkg:pypi/{self.name.lower().replace('_', '-')}@{version}"


def debian(status: Path, root: Path, lock: Lock) -> tuple[Package, ...]:
    """Return the packages that dpkg's `status` in the directory `status` lists as installed.

    Args:
        root: the tree with their copyright files.
        lock: tells the files of those that were taken from it; what provisioning brought is in none.
    """
    fields = ("db:Status-Abbrev", "Package", "Version", "source:Package", "source:Version", "Homepage")
    form = "\t".join(f"${{{field}}}" for field in fields) + "\n"
    listing = process.run(["dpkg-query", f"--admindir={status}", "-W", "-f", form], timeout=30)
    found = []
    for line in listing.splitlines():
        state, name, version, source, source_version, home = line.split("\t")
        if state.startswith("ii"):
            of = "" if (source, source_version) == (name, version) else f"{source} {source_version}"
            locked = lock.packages.get(name)
            found.append(
                Package(
                    kind=Kind.DEBIAN, name=name, version=version, source=of, home=home,
                    licences=licences(root / "usr/share/doc" / name / "copyright"),
                    sha256=locked.sha256 if locked and locked.version == version else "",
                )
            )  # fmt: skip
    return tuple(found)


def python(package: Path, scratch: Path, version: str) -> tuple[Package, ...]:
    """Return the Python distributions in our Debian package.

    Args:
        version: of Python, as in the recipe.
    """
    unpacked = scratch / "unpacked"
    process.run(["dpkg-deb", "-x", package, unpacked], timeout=120)
    site = unpacked / deb.ENVIRONMENT / "lib" / f"python{version}" / "site-packages"
    found = [
        Package(
            kind=Kind.PYTHON, name=one.metadata["Name"], version=one.version,
            licences=tuple(_declared(one.metadata)), home=_home(one.metadata),
        )
        for one in distributions(path=[str(site)])
    ]  # fmt: skip
    shutil.rmtree(unpacked)
    return tuple(sorted(found, key=lambda one: one.name))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Locked:
    """What package-lock.json says of one library (docs.npmjs.com, package-lock.json, lockfileVersion 3)."""

    version: str = ""
    license: str = ""
    dev: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lock:
    packages: dict[str, _Locked]
    """By where each lies; the project itself has an empty name."""


def javascript(lock: Path) -> tuple[Package, ...]:
    """Return the JavaScript libraries of a package-lock.json that pages load; what only tests need is left out."""
    found = codec.decode(lock.read_bytes(), _Lock, source=str(lock)).packages
    return tuple(
        Package(
            kind=Kind.JAVASCRIPT, name=where.rpartition("node_modules/")[2], version=one.version,
            licences=(one.license,) if one.license else (),
        )
        for where, one in sorted(found.items())
        if where and not one.dev
    )  # fmt: skip


def licences(copyright_file: Path) -> tuple[str, ...]:
    """Return the short names of the licences that a Debian copyright file names; none if it says none in a known form.

    A package whose documentation is another's has a link there; a link out of the tree is not followed.
    """
    place = copyright_file
    if place.parent.is_symlink():
        place = place.parent.parent / place.parent.readlink().name / place.name
    if not place.is_file() or place.is_symlink():
        return ()
    text = place.read_text(errors="replace")
    names = SHORT_NAME.findall(text) if text.startswith("Format:") else COMMON.findall(text)
    return tuple(sorted({name.strip()[:LONGEST_NAME] for name in names}))


def _declared(metadata: PackageMetadata) -> Iterator[str]:
    """Give the licence of a distribution: its expression (PEP 639), else its classifiers, else a short free text."""
    fields = metadata.json
    expression, text = fields.get("license_expression"), fields.get("license")
    classifiers = [one for one in fields.get("classifier", []) if one.startswith(CLASSIFIER)]
    if expression:
        yield str(expression)
    elif classifiers:
        yield from sorted(one.removeprefix(CLASSIFIER) for one in classifiers)
    elif text and len(str(text)) <= LONGEST_NAME:
        yield str(text).strip()


def _home(metadata: PackageMetadata) -> str:
    fields = metadata.json
    addresses = [str(one).partition(", ") for one in fields.get("project_url", [])]
    for wanted in ("source", "homepage", "repository", "source code"):
        for label, _, address in addresses:
            if label.lower() == wanted:
                return address
    return str(fields.get("home_page") or "")
