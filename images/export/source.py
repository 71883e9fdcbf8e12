"""The raw disk that exports start from: the published archive's, checked against the manifest, unpacked once."""

from pathlib import Path

from images import artifacts, gpt
from images.artifact import describe
from images.artifacts import Manifest
from images.formats.format import Disk
from images.stages import Stage, digest
from larva import process
from larva.errors import MalformedData

ARCHIVE_SUFFIX = ".raw.zst"
DISK = "disk.raw"
SIGNATURE = b"EFI PART"
"""UEFI specification 2.10, table 5-5: the first bytes of both headers of a GUID partition table."""


def archive_of(place: Path, manifest: Manifest) -> Path:
    """Return the published archive of the raw disk, which was compared with what was signed when the manifest was read.

    Raises:
        MalformedData: the manifest does not list one.
    """
    listed = [one for one in manifest.artifacts if one.name.endswith(ARCHIVE_SUFFIX)]
    if len(listed) != 1:
        raise MalformedData(f"{place / artifacts.MANIFEST} lists {len(listed)} archives of the raw disk, not one")
    return place / listed[0].name


def stage(archive: Path, manifest: Manifest) -> Stage:
    """Return the stage that unpacks the raw disk and compares it with what was signed."""
    (listed,) = (one for one in manifest.artifacts if one.name == archive.name)
    inputs = {
        "archive": listed.sha256, "bytes": str(manifest.disk_bytes), "disk": manifest.disk_sha256,
        "code": digest([Path(__file__)]),
    }  # fmt: skip

    def make(directory: Path, log_file: Path) -> None:
        process.require_programs("zstd")
        disk = directory / DISK
        process.run(["zstd", "-q", "-d", "--sparse", archive, "-o", disk], timeout=900, log_file=log_file)
        require_bootable(disk, manifest.disk_bytes)
        if describe(disk).sha256 != manifest.disk_sha256:
            raise MalformedData(
                f"what {archive} holds is not the disk that was signed: its manifest names another hash",
                hint="build the image again",
            )

    return Stage(
        name="raw", family=manifest.profile, inputs=inputs, needs_mib=manifest.disk_bytes >> 20, make=make
    )  # fmt: skip


def disk(entry: Path, *, sha256: str, epoch: int, name: str) -> Disk:
    """Return what the stage made.

    Args:
        sha256: what the raw disk has to have, by the signed manifest; whoever reads all of it compares.
    """
    raw = entry / DISK
    return Disk(raw=raw, size=raw.stat().st_size, sha256=sha256, epoch=epoch, name=name)


def require_bootable(disk: Path, size: int) -> None:
    """Raise MalformedData unless the file has so many bytes and a partition table at both ends."""
    found = disk.stat().st_size
    if found != size:
        raise MalformedData(f"the raw disk has {found} bytes, and the manifest says {size}: it is truncated or another")
    with disk.open("rb") as file:
        for sector in (1, size // gpt.SECTOR - 1):
            file.seek(sector * gpt.SECTOR)
            if file.read(len(SIGNATURE)) != SIGNATURE:
                raise MalformedData(
                    f"the raw disk has no GUID partition table in sector {sector}: it is no image of ours"
                )
