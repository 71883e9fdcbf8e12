"""An OSD that should be here no more: stopped when it was found empty, its data deleted when the cluster forgot it.

Data is deleted only on the word of a signed wish that names the OSD by its UUID, and only after the monitors' map has
no OSD of that UUID.
"""

import logging
import os
import shutil
from pathlib import Path

from cbstorage.ceph.monitor import Monitors, OsdMap
from cbstorage.host import device, local, osd, systemd
from cbstorage.host.osd import Record
from cbstorage.model import DaemonKind
from cbstorage.osd_model import OsdGoal, OsdPhase, OsdProgress, OsdWish
from larva.errors import HostUnfit

log = logging.getLogger(__name__)

_ZEROED_BYTES = 16 << 20
"""Enough for labels, partition tables and the super blocks of file systems, at both ends."""


def is_ending(record: Record, wish: OsdWish | None, progress: OsdProgress | None) -> bool:
    """Whether an OSD must not be started any more: by what is wanted of it, and how far that is."""
    if record.retired:
        return True
    if wish is None or wish.goal is not OsdGoal.REMOVED or wish.uuid != record.uuid:
        return False
    if wish.lost:
        return progress is not None and progress.asked == wish.asked and progress.phase is not OsdPhase.REFUSED
    return (
        progress is not None and progress.asked == wish.asked and progress.phase in (OsdPhase.STOPPING, OsdPhase.GONE)
    )


def end(monitors: Monitors | None, record: Record, wish: OsdWish | None, *, fsid: str) -> None:
    """Take an OSD that is_ending() a step further; it can be killed at any line and called again.

    Raises:
        OSError: something else uses its device (EBUSY).
    """
    if record.retired == osd.EMPTIED:
        return
    if record.osd_id is not None:
        unit = local.unit(DaemonKind.OSD, str(record.osd_id))
        systemd.stop(unit)
        systemd.disable(unit)
    if not record.retired:
        if monitors is None or wish is None or wish.uuid != record.uuid:
            return
        if any(entry.uuid == record.uuid for entry in monitors.ask("osd dump", OsdMap).osds):
            return
        record = osd.retire(record, fsid, osd.FORGOTTEN)
        log.info("osd.%s is out of the cluster; its data on %s is deleted", record.osd_id, record.device)
    try:
        empty(record.device, osd_uuid=record.uuid)
    except HostUnfit as error:  # gone, broken, or another's by now
        log.warning("not emptied: %s", error.message)
    if record.osd_id is not None:
        shutil.rmtree(local.data_directory(DaemonKind.OSD, str(record.osd_id)), ignore_errors=True)
    osd.retire(record, fsid, osd.EMPTIED)


def empty(path: Path, *, osd_uuid: str) -> None:
    """Make a device blank at both ends, and a file as if it was new; HostUnfit if another OSD is on it."""
    label = device.inspect(path).label
    if label is not None and label.osd_uuid != osd_uuid:
        raise HostUnfit(f"{path} carries another OSD ({label.osd_uuid}) by now", hint="it is left as it is")
    overwrite(path)


def overwrite(path: Path) -> None:
    """Make a device blank at both ends; a file loses all that is in it.

    Raises:
        FileNotFoundError: it is not there.
        OSError: EBUSY above all: a block device that is mounted or otherwise in use.
    """
    size = _size(path)
    if path.is_file():
        with path.open("r+b") as file:
            file.truncate(0)
            file.truncate(size)
            os.fsync(file.fileno())
        return
    # O_EXCL on a block device fails with EBUSY while the kernel uses it (open(2)).
    descriptor = os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
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
