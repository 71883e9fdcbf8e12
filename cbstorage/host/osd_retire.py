"""An OSD that should be here no more: stopped when it was found empty, its data deleted when the cluster forgot it.

Data is deleted only on the word of a signed wish that names the OSD by its UUID, and only after the monitors' map has
no OSD of that UUID.
"""

import logging
import shutil
from collections.abc import Collection
from pathlib import Path

from cbstorage.host import device, dmcrypt, local, osd, systemd
from cbstorage.host.osd import Record
from cbstorage.model import DaemonKind
from cbstorage.osd_model import OsdPhase, OsdProgress, OsdWish
from larva.errors import HostUnfit, ProgramFailed

log = logging.getLogger(__name__)


def is_ending(record: Record, wish: OsdWish | None, progress: OsdProgress | None) -> bool:
    """Whether an OSD must not be started any more: by what is wanted of it, and how far that is."""
    if record.retired:
        return True
    if wish is None or not wish.goal.ends or wish.uuid != record.uuid:
        return False
    if wish.lost:
        return progress is not None and progress.asked == wish.asked and progress.phase is not OsdPhase.REFUSED
    return (
        progress is not None and progress.asked == wish.asked and progress.phase in (OsdPhase.STOPPING, OsdPhase.GONE)
    )


def end(record: Record, wish: OsdWish | None, *, fsid: str, there: Collection[str] | None) -> None:
    """Take an OSD that is_ending() a step further; it can be killed at any line and called again.

    Args:
        there: UUIDs of the OSDs that the monitors know; None when they do not answer.

    Raises:
        HostUnfit: something else uses its device.
    """
    if record.retired in (osd.EMPTIED, osd.LEFT):
        return
    _stop(record)
    if not record.retired:
        if there is None or record.uuid in there or wish is None or wish.uuid != record.uuid:
            return
        record = osd.retire(record, fsid, osd.FORGOTTEN)
        log.info("osd.%s is out of the cluster; its data on %s is deleted", record.osd_id, record.device)
    empty(record.device, osd_uuid=record.uuid, encrypted=record.encrypted)
    _remove_directory(record)
    osd.retire(record, fsid, osd.EMPTIED)


def leave(record: Record, *, fsid: str) -> None:
    """Let go of an OSD that the cluster forgot without a wish that says so; its device keeps what is on it."""
    _stop(record)
    _remove_directory(record)
    osd.retire(record, fsid, osd.LEFT)
    log.warning("osd.%s on %s is not of the cluster any more", record.osd_id, record.device)


def _stop(record: Record) -> None:
    if record.osd_id is not None:
        unit = local.unit(DaemonKind.OSD, str(record.osd_id))
        systemd.stop(unit)
        systemd.disable(unit)
    if record.encrypted:
        dmcrypt.close(record.uuid)


def _remove_directory(record: Record) -> None:
    if record.osd_id is not None:
        shutil.rmtree(local.data_directory(DaemonKind.OSD, str(record.osd_id)), ignore_errors=True)


def empty(path: Path, *, osd_uuid: str, encrypted: bool = False) -> None:
    """Delete an OSD's data from a device that still carries it; one that is gone, broken or another's is left.

    Of an encrypted one the key slots are destroyed besides.

    Raises:
        HostUnfit: something else uses it.
    """
    try:
        found = device.inspect(path)
    except HostUnfit as error:
        log.warning("not emptied: %s", error.message)
        return
    in_clear = found.label.osd_uuid if found.label is not None else ""
    carried = found.luks_uuid if encrypted else in_clear
    if carried != osd_uuid:
        log.warning("not emptied: %s carries %s", path, f"something else, {carried}" if carried else "no such OSD")
        return
    try:
        if encrypted:
            dmcrypt.erase(path)
        device.overwrite(path)
    except (OSError, ProgramFailed) as error:  # a broken disk keeps what is on it
        log.warning("not emptied: %s: %s", path, error)
