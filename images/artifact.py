"""One file that is handed out: its name, size and hash."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One file that is handed out."""

    name: str
    bytes: int
    sha256: str


def describe(path: Path) -> Artifact:
    """Return name, size and hash of a file."""
    with path.open("rb") as file:
        return Artifact(
            name=path.name, bytes=path.stat().st_size, sha256=hashlib.file_digest(file, "sha256").hexdigest()
        )
