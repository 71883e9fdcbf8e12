"""The images that this console hands out: directories on its host, each as it was sealed where the image was built.

Nothing of a directory is believed but what its signature covers, by the key in `/etc/larva/image-signing.pub`.
"""

import contextlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import TypeVar

from larva import codec, sealed, settings
from larva.errors import LarvaError, MalformedData, NotFound
from larva.sealed import Seal
from web import first_account
from web.checksums import Checksums
from web.context import console
from web.downloads import Download

T = TypeVar("T")

MANIFEST = "manifest.json"
EXPORT = "export.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFile:
    """A file that is handed out."""

    name: str
    bytes: int
    sha256: str
    """As it was signed; compared before the file is sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageManifest:
    """What a built image is, as its manifest says."""

    profile: str
    version: str
    suite: str
    architecture: str
    source: str
    disk_bytes: int
    disk_sha256: str
    locked: bool
    """Whether its packages are those of the lock that the sources name."""
    artifacts: tuple[ImageFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLaunch:
    """How an exported disk is launched at its provider; in `commands`, words in capitals are the reader's."""

    title: str
    system: str
    user_data: str
    commands: str
    notes: tuple[str, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageExport:
    """The disk in the form that a provider takes, as its record says."""

    target: str
    format: str
    source: str
    raw_sha256: str
    file: ImageFile
    launch: ImageLaunch


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedImage:
    """One directory of the shelf."""

    id: str
    """The directory's name."""
    problem: str = ""
    """Why nothing of it is handed out; empty if it is."""
    hint: str = ""
    signed: str = ""
    """What its publisher signed beside the checksums."""
    manifest: ImageManifest | None = None
    export: ImageExport | None = None
    files: tuple[ImageFile, ...] = ()


class NotAsSigned(LarvaError):
    """What lies there is not what its publisher signed, or nobody can tell."""

    code = "not-as-signed"
    http_status = 409


def place(state_directory: Path) -> Path:
    """Return where this host's join file has images, else the directory of that name beside the state."""
    return first_account.control_section().images or state_directory / "images"


def of_this_console() -> "ImageShelf":
    """Return the shelf of the console that handles this request."""
    return ImageShelf(console().images(), console().checksums)


class ImageShelf:
    """The images in one directory.

    Args:
        directory: it may be missing: then none is there.
        checksums: what is known of the files already.
    """

    def __init__(self, directory: Path, checksums: Checksums) -> None:
        self._directory = directory
        self._checksums = checksums
        self._public = sealed.public_key(settings.config_directory())

    def offered(self) -> tuple[OfferedImage, ...]:
        """Return every image, by name, those too of which nothing is handed out."""
        return tuple(self._looked_at(name) for name in self._names())

    def find(self, image: str) -> OfferedImage:
        """Return one of them; NotFound if there is none of that name."""
        return self._looked_at(self._known(image))

    def open(self, image: str, file: str) -> Download:
        """Return a file of an image, open and compared with what was signed.

        Raises:
            NotFound: there is no such image, or it has no such file.
            NotAsSigned: the image is not signed, or the file is not what was signed.
        """
        directory = self._directory / self._known(image)
        seal = self._seal(directory)
        if file not in seal.sha256 and file not in (sealed.SUMS, sealed.SIGNATURE):
            raise NotFound(f"image {image} has no file {file[:100]!r}", hint=f"files: {', '.join(sorted(seal.sha256))}")
        try:
            opened = _open(directory / file)
        except OSError as error:
            raise _not_as_signed(image, f"{file} is missing") from error
        with contextlib.ExitStack() as undo:
            undo.callback(opened.close)
            sha256 = self._checksums.of(opened)
            if sha256 != seal.sha256.get(file, sha256):
                raise _changed(image, file)
            undo.pop_all()
        return Download(name=file, sha256=sha256, bytes=os.fstat(opened.fileno()).st_size, content=opened)

    def _names(self) -> list[str]:
        try:
            found = [each.name for each in self._directory.iterdir() if each.is_dir() and not each.name.startswith(".")]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise MalformedData(f"{self._directory}: {error.strerror}", hint="images are looked for there") from error
        return sorted(found)

    def _known(self, image: str) -> str:
        names = self._names()
        if image not in names:
            raise NotFound(f"there is no image {image[:100]!r}", hint=f"images: {', '.join(names) or 'none'}")
        return image

    def _seal(self, directory: Path) -> Seal:
        try:
            return sealed.read(directory, self._public)
        except LarvaError as error:
            raise _not_as_signed(directory.name, error.message, error.hint) from error

    def _looked_at(self, name: str) -> OfferedImage:
        directory = self._directory / name
        try:
            seal = self._seal(directory)
            manifest = self._record(directory, MANIFEST, ImageManifest) if MANIFEST in seal.sha256 else None
            export = self._record(directory, EXPORT, ImageExport) if EXPORT in seal.sha256 else None
            told = (*(manifest.artifacts if manifest else ()), *((export.file,) if export else ()))
            files = tuple(self._files(directory, seal, {each.name: each.bytes for each in told}))
            return OfferedImage(id=name, signed=seal.comment, manifest=manifest, export=export, files=files)
        except (NotAsSigned, MalformedData) as error:
            return OfferedImage(id=name, problem=error.message, hint=error.hint)

    def _record(self, directory: Path, name: str, wanted: type[T]) -> T:
        with contextlib.closing(self.open(directory.name, name).content) as file:
            return codec.decode(file.read(), wanted, source=f"{directory.name}/{name}")

    def _files(self, directory: Path, seal: Seal, sizes: Mapping[str, int]) -> Iterator[ImageFile]:
        for name, sha256 in sorted(seal.sha256.items()):
            try:
                told = (directory / name).lstat()
            except OSError as error:
                raise _not_as_signed(directory.name, f"{name} is missing") from error
            if not stat.S_ISREG(told.st_mode):
                raise _not_as_signed(directory.name, f"{name} is no plain file")
            if told.st_size != sizes.get(name, told.st_size) or self._checksums.known(told) not in (None, sha256):
                raise _changed(directory.name, name)
            yield ImageFile(name=name, bytes=told.st_size, sha256=sha256)


def _open(path: Path) -> BufferedReader:
    """Open a plain file; OSError for anything else, a link too."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise IsADirectoryError(path)
    return os.fdopen(descriptor, "rb")


def _changed(image: str, file: str) -> NotAsSigned:
    return _not_as_signed(image, f"{file} was changed after it was signed")


def _not_as_signed(image: str, what: str, hint: str = "") -> NotAsSigned:
    return NotAsSigned(
        f"image {image}: {what}", hint=hint or "take the image away and fetch it again from who built it"
    )
