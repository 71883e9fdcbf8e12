"""What a lab has on disks that outlive it: its data and its leases on the image's parts; a reboot leaves both."""

import contextlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from larva import codec, files, settings
from larva.errors import Conflict, MalformedData

OWNER = "lab.json"
"""In a lab's data directory; the lease holds the same."""
LEASES = "leases"
_STAGE_RECORD = "stage.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Which lab something belongs to; it is left over when that lab's state directory is gone."""

    run_id: str
    directory: Path


def data_root() -> Path:
    """Where the labs' layers and disks are."""
    return settings.cache_directory().absolute() / "labs"


def lease_on(part: Path, run_id: str) -> Path | None:
    """Return the file that keeps the stage of the pipeline which holds a part; None for a part from elsewhere."""
    stages = _stages()
    if stages not in part.parents:
        return None
    for directory in (part, *part.parents):
        if (directory / _STAGE_RECORD).is_file():
            return directory / LEASES / run_id
        if directory == stages:
            break
    return None


def leases_on(parts: Iterable[Path], run_id: str) -> tuple[Path, ...]:
    """Return the files that keep parts of the image, each once."""
    found = (lease_on(part, run_id) for part in parts)
    return tuple(dict.fromkeys(lease for lease in found if lease is not None))


def mark(file: Path, owner: Owner) -> None:
    """Write down whose it is."""
    file.parent.mkdir(mode=0o755, exist_ok=True)
    files.write_whole(file, codec.encode(owner) + b"\n")


def sweep() -> tuple[Path, ...]:
    """Remove data and leases of labs that are gone without having been taken down, as after a reboot.

    A lab makes its state directory first and removes it last, so that what belongs to a living one is never found here.
    """
    removed = []
    for file in (*data_root().glob(f"*/{OWNER}"), *_stages().glob(f"*/*/{LEASES}/*")):
        with contextlib.suppress(FileNotFoundError, MalformedData):
            owner = codec.decode(file.read_bytes(), Owner, source=str(file))
            if not owner.directory.exists():
                if file.name == OWNER:
                    remove_directory(file.parent)
                else:
                    file.unlink()
                removed.append(file)
    return tuple(removed)


def _stages() -> Path:
    return settings.cache_directory().absolute() / "stages"


def remove_directory(directory: Path) -> None:
    """Remove a directory of the lab's data, unless something is mounted below it (which removal would empty)."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    below = [point for point in mounted if Path(point).is_relative_to(directory)]
    if below:
        raise Conflict(f"{below[0]} is mounted below {directory}", hint=f"umount {below[0]}, and try again")
    with contextlib.suppress(FileNotFoundError):
        for entry in sorted(directory.iterdir()):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
        shutil.rmtree(directory)  # the owner's mark goes last: a removal that is stopped can be taken up again
