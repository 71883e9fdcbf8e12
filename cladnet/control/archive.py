"""What a backup holds: named parts one after the other, and a manifest at the end that says what they have to be.

Every piece is preceded by its length (4 bytes); a part is a piece with its name, pieces with its content, an empty one.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from cladnet.model import Moment
from larva import codec
from larva.errors import MalformedData

FORMAT = 1
MANIFEST = "manifest.json"
SNAPSHOT = "etcd.db"
REVOKED = "revoked.pem"
CA = "ca/"
_MOST_PIECE_BYTES = 1 << 24
_MOST_MANIFEST_BYTES = 1 << 24
_CA_FILE = re.compile(r"ca/([a-z0-9][a-z0-9_-]{0,60}/)?[a-z0-9][a-z0-9_.-]{0,60}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part as it was written."""

    name: str
    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup is of."""

    format: int = FORMAT
    taken_at: Moment
    host: str
    """The control node that took it."""
    larva_version: str
    etcd_version: str
    ca: str
    """Fingerprint of the system's CA."""
    revision: int
    """etcd's revision when it began; the snapshot has this one or a later one."""
    control_nodes: tuple[str, ...]
    cladnets: tuple[str, ...]
    """Their names."""
    hosts: int
    """How many were enrolled, control nodes included."""
    parts: tuple[Part, ...]


def is_part(name: str) -> bool:
    """Whether a backup may hold a part of this name; it becomes a path where it is restored."""
    return name in (SNAPSHOT, REVOKED) or _CA_FILE.fullmatch(name) is not None


class Packer:
    """Writes parts and the manifest through `write`."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self.parts: tuple[Part, ...] = ()

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        """Add a part."""
        self._piece(name.encode())
        digest, size = hashlib.sha256(), 0
        for piece in filter(None, pieces):
            self._piece(piece)
            digest.update(piece)
            size += len(piece)
        self._piece(b"")
        if name != MANIFEST:
            self.parts = (*self.parts, Part(name=name, size=size, sha256=digest.hexdigest()))

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest, the last part."""
        self.add(MANIFEST, [codec.encode(manifest)])

    def _piece(self, data: bytes) -> None:
        self._write(len(data).to_bytes(4, "big") + data)


def unpack(pieces: Iterator[bytes], sink: Callable[[str], BinaryIO]) -> Manifest:
    """Write every part into the file that `sink` opens for its name, and return the manifest they were held against.

    Raises:
        MalformedData: the parts are not what the manifest says, or are none that this version knows.
    """
    stream = _Stream(pieces)
    found: list[Part] = []
    while (name := stream.piece().decode(errors="replace")) != MANIFEST:
        if not is_part(name) or any(name == part.name for part in found):
            raise MalformedData(f"it holds {name!r:.80}, which this version does not know")
        digest, size = hashlib.sha256(), 0
        with sink(name) as file:
            while data := stream.piece():
                file.write(data)
                digest.update(data)
                size += len(data)
        found.append(Part(name=name, size=size, sha256=digest.hexdigest()))
    text = bytearray()
    while data := stream.piece():
        text += data
        if len(text) > _MOST_MANIFEST_BYTES:
            raise MalformedData("its manifest has no end")
    stream.expect_end()
    manifest = codec.decode(bytes(text), Manifest, source="its manifest")
    if manifest.format != FORMAT:
        raise MalformedData(f"it has the format {manifest.format}; this version reads {FORMAT}")
    if manifest.parts != tuple(found):
        raise MalformedData("its parts are not those that its manifest lists")
    return manifest


class _Stream:
    """Cuts what arrives in any pieces into those that were written."""

    def __init__(self, arriving: Iterator[bytes]) -> None:
        self._arriving = arriving
        self._held = bytearray()

    def piece(self) -> bytes:
        length = int.from_bytes(self._take(4), "big")
        if length > _MOST_PIECE_BYTES:
            raise MalformedData("it does not hold what a backup holds")
        return self._take(length)

    def expect_end(self) -> None:
        if self._held or any(self._arriving):
            raise MalformedData("something comes after its manifest")

    def _take(self, count: int) -> bytes:
        while len(self._held) < count:
            try:
                self._held += next(self._arriving)
            except StopIteration:
                raise MalformedData("it ends before its manifest") from None
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken
