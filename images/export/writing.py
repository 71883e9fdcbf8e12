"""Write the raw disk in one format and read it back; targets that take the same format share the file."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from images.artifact import Artifact, describe
from images.formats import compare, table
from images.formats.format import Disk
from images.stages import Stage, digest
from larva import codec

RECORD = "written.json"
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file that holds the raw disk byte for byte.

    Args:
        raw_sha256: of the raw disk.
        reader: what read the file back.
    """

    file: Artifact
    raw_sha256: str
    reader: str


def stage(raw: Stage, disk: Callable[[], Disk], *, format_name: str, size: int, profile: str) -> Stage:
    """Return the stage that writes the file and compares it with the raw disk.

    Args:
        raw: the stage of the raw disk.
        disk: gives the raw disk; called when the file is made.
        size: of the disk, bytes.
    """
    one = table.FORMATS[format_name]
    code = [path for path in Path(table.__file__).parent.iterdir() if path.suffix in {".py", ".ovf"}]
    inputs = {"raw": raw.id, "format": format_name, "code": digest([Path(__file__), *code])}

    def make(directory: Path, log_file: Path) -> None:
        of = disk()
        file = directory / f"{of.name}{one.suffix}"
        one.write(of, file, log_file)
        compare.with_raw(one.read(file), of, what=file.name)
        written = Written(file=describe(file), raw_sha256=of.sha256, reader=one.reader)
        (directory / RECORD).write_bytes(codec.encode(written) + b"\n")

    return Stage(
        name="format", family=f"{profile}, {format_name}", inputs=inputs, needs_mib=2 * size // MIB, make=make
    )  # fmt: skip


def read(entry: Path) -> Written:
    """Return what the stage made."""
    return codec.decode((entry / RECORD).read_bytes(), Written, source=str(entry / RECORD))
