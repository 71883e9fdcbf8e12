"""What a device that should carry an OSD holds already: ours, nothing, or somebody's data, which is never touched."""

import errno
import os
import stat
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from larva import codec, process
from larva.errors import HostUnfit, LarvaError, ProgramFailed

_LABEL = b"bluestore block device\n"
"""How a BlueStore device begins (BlueStore::_write_bdev_label); the UUID of its OSD is the next line."""
_LABEL_BYTES = 4096
_LOOK_BYTES = 4 << 20
SMALLEST_BYTES = 1 << 30
_ZEROED_BYTES = 16 << 20
"""Enough for labels, partition tables and the super blocks of file systems, at both ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What a BlueStore label says of its OSD; empty where `mkfs` was killed before it wrote that."""

    osd_uuid: str
    ceph_fsid: str = ""
    whoami: str = ""
    mkfs_done: str = ""

    def is_finished(self, fsid: str) -> bool:
        """Whether it carries a whole OSD of that cluster."""
        return self.ceph_fsid == fsid and self.mkfs_done == "yes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What was found on a device."""

    size_bytes: int
    label: Label | None = None
    signature: str = ""
    """The kind of file system or partition table on it."""
    luks_uuid: str = ""
    """Of its LUKS header; an encrypted OSD's is the OSD's own."""
    blank: bool = False
    """Nothing but zeros at its beginning."""
    begins_blank: bool = False
    """Nothing but zeros in its first 4 KiB, whatever comes after."""

    def is_free(self) -> bool:
        """Whether nothing of anybody is on it."""
        return self.label is None and not self.signature and self.blank


class Fate(StrEnum):
    """What to do with a device."""

    MAKE = "make"
    """Make an OSD on it."""
    KEEP = "keep"
    """It carries a finished OSD of ours."""


def decide(device: Path, contents: Contents, *, fsid: str, osd_uuid: str) -> Fate:
    """Return what to do with a device.

    Args:
        fsid: of our cluster.
        osd_uuid: of the OSD that this host means to have there.

    Raises:
        HostUnfit: it holds foreign data, or is too small.
    """
    label = contents.label
    if label is not None:
        if label.is_finished(fsid):
            return Fate.KEEP
        if label.osd_uuid == osd_uuid:
            return Fate.MAKE  # our own mkfs, killed half-way
        whose = "that was never finished" if label.ceph_fsid == fsid else "of another cluster"
        raise HostUnfit(
            f"{device} holds an OSD {whose} ({label.ceph_fsid or label.osd_uuid})",
            hint=f"if its data may go: ceph-bluestore-tool zap-device --dev {device} --yes-i-really-really-mean-it",
        )
    if contents.signature or not contents.blank:
        raise foreign(device, contents)
    if contents.size_bytes < SMALLEST_BYTES:
        raise HostUnfit(f"{device} has {contents.size_bytes} bytes", hint="an OSD needs 1 GiB at least")
    return Fate.MAKE


def foreign(device: Path, contents: Contents) -> HostUnfit:
    """What to say of a device that holds somebody's data."""
    found = "an OSD" if contents.label is not None else contents.signature or "unknown content"
    return HostUnfit(
        f"{device} holds foreign data ({found})",
        hint=f"name another device, or empty it if its data may go: wipefs -a {device}; `larva storage osd add` "
        "does so with --destroy-data",
    )


def inspect(device: Path) -> Contents:
    """Look at a file or block device without changing it; HostUnfit if it is neither or cannot be read."""
    try:
        mode = device.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISBLK(mode)):
            raise HostUnfit(f"{device} is neither a file nor a block device", hint="see [storage] in join.toml")
        with device.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            head = file.read(_LOOK_BYTES)
    except OSError as error:
        raise HostUnfit(f"{device}: {error.strerror}", hint="see [storage] in join.toml") from error
    if head.startswith(_LABEL):
        return Contents(size_bytes=size, label=_label(device, head))
    seen = _seen(device)
    kind = seen.get("TYPE") or seen.get("PTTYPE") or ""
    return Contents(
        size_bytes=size, signature=kind, luks_uuid=seen.get("UUID", "") if kind == "crypto_LUKS" else "",
        blank=not any(head), begins_blank=not any(head[:_LABEL_BYTES]),
    )  # fmt: skip


def make_file(device: Path, size_bytes: int) -> None:
    """Create the sparse file that join.toml names and that is not there; a path below /dev is never created."""
    if device.exists():
        return
    if Path("/dev") in device.parents:
        raise HostUnfit(f"{device} is not there", hint="`lsblk` lists the machine's disks")
    device.parent.mkdir(parents=True, exist_ok=True)
    unfinished = device.with_name(f".{device.name}.new")  # of full size before it has its name: we may be killed here
    with unfinished.open("wb") as file:
        file.truncate(size_bytes)
    unfinished.rename(device)


def overwrite(path: Path) -> None:
    """Make a device blank at both ends; a file loses all that is in it.

    Raises:
        HostUnfit: the kernel uses it, as a mount or a part of something else.
        OSError: it is not there, or is broken.
    """
    size = _size(path)
    if path.is_file():
        with path.open("r+b") as file:
            file.truncate(0)
            file.truncate(size)
            os.fsync(file.fileno())
        return
    # O_EXCL on a block device fails with EBUSY while the kernel uses it (open(2)).
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise HostUnfit(
            f"{path} is in use", hint="`lsblk` shows by what: a mount, or a part of a bigger device"
        ) from error
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        for start in (0, max(0, size - _ZEROED_BYTES)):
            file.seek(start)
            left = min(_ZEROED_BYTES, size - start)
            while left > 0:
                left -= file.write(bytes(min(left, 1 << 20)))
        os.fsync(file.fileno())


def _size(path: Path) -> int:
    with path.open("rb") as file:
        return file.seek(0, os.SEEK_END)


def _label(device: Path, head: bytes) -> Label:
    uuid = head[len(_LABEL) : len(_LABEL) + 36].decode(errors="replace")
    try:
        shown = process.run(["ceph-bluestore-tool", "show-label", "--dev", device], timeout=30)
        labels = codec.decode(shown, dict[str, Label], source=f"label of {device}")
    except (ProgramFailed, LarvaError):  # a label that was half written names its OSD all the same
        return Label(osd_uuid=uuid)
    return next(iter(labels.values()), Label(osd_uuid=uuid))


def _seen(device: Path) -> dict[str, str]:
    """What blkid(8) sees; exit code 2 means nothing."""
    found = process.run(["blkid", "-p", "-o", "export", device], timeout=30, ok_codes=(0, 2, 8))
    return dict(line.split("=", 1) for line in found.splitlines() if "=" in line)
