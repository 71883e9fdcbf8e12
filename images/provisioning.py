"""A user's provisioning scripts: read once, so that what ran is what the build is named after and what is attested."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from larva.errors import InvalidInput

EXECUTABLE = 0o700


@dataclass(frozen=True, slots=True)
class Script:
    """One script, by the name of its file."""

    name: str
    content: bytes

    @property
    def sha256(self) -> str:
        """Of its content."""
        return hashlib.sha256(self.content).hexdigest()


def read(paths: Iterable[Path]) -> tuple[Script, ...]:
    """Return the scripts, in the order they run in.

    Raises:
        InvalidInput: one cannot be read.
    """
    found = []
    for path in paths:
        try:
            found.append(Script(path.name, path.read_bytes()))
        except OSError as error:
            raise InvalidInput(f"the provisioning script {path} cannot be read: {error.strerror}") from error
    return tuple(found)


def write(scripts: Sequence[Script], directory: Path) -> list[Path]:
    """Write the scripts to a new directory, each in one of its own, since two may have one name; return their paths."""
    written = []
    for number, script in enumerate(scripts, start=1):
        path = directory / str(number) / script.name
        path.parent.mkdir(parents=True)
        path.write_bytes(script.content)
        path.chmod(EXECUTABLE)
        written.append(path)
    return written
