"""An encrypted OSD's device, step by step: its key is with the monitors before a byte is written, and opens it at boot.

Every step can be done again. A device is taken for ours by its LUKS header's UUID, which is the OSD's.
"""

from pathlib import Path

from cbstorage.host import dmcrypt, lockbox
from cbstorage.host.device import foreign, inspect
from larva.errors import HostUnfit, NotFound


def secrets(uuid: str, fsid: str) -> dict[str, str]:
    """Return what `osd new` stores for an encrypted OSD, by its own names: the same again if it did so already.

    Raises:
        Unavailable: no quorum answers.
    """
    identity = lockbox.prepare(uuid, fsid)
    try:
        key = lockbox.fetch(uuid, fsid).decode()
    except NotFound:
        key = lockbox.new_key()
    return {"cephx_lockbox_secret": identity, "dmcrypt_key": key}


def check(device: Path, uuid: str, *, begun: bool) -> None:
    """Raise HostUnfit if a device holds what may not be formatted.

    Args:
        begun: our own format was begun and may have been killed: that leaves zeros where its header will be, and random
            bytes after them. A disk that has this one's name now may have no signature either, but some beginning.
    """
    found = inspect(device)
    half_done = begun and found.label is None and not found.signature and found.begins_blank
    if not (found.is_free() or found.luks_uuid == uuid or half_done):
        raise foreign(device, found)


def formatted(device: Path, uuid: str, key: bytes) -> Path:
    """Format a checked device, unless that was done to its end before, and return its clear view, open."""
    if not dmcrypt.is_open(uuid):
        if not (inspect(device).luks_uuid == uuid and dmcrypt.fits(device, key)):
            dmcrypt.format_device(device, uuid, key)
        dmcrypt.open_device(device, uuid, key)
    return dmcrypt.mapped(uuid)


def opened(device: Path, uuid: str, fsid: str) -> Path:
    """Return the clear view of a finished OSD's device, opened if it is not.

    Raises:
        HostUnfit: something else is on the device.
        Unavailable: no monitors give its key.
        NotFound: the monitors have no key of it.
    """
    if dmcrypt.is_open(uuid):
        return dmcrypt.mapped(uuid)
    if inspect(device).luks_uuid != uuid:
        raise HostUnfit(
            f"{device} does not carry the encrypted OSD {uuid}",
            hint="`lsblk -o NAME,UUID` shows whether its disk has another name now",
        )
    return dmcrypt.open_device(device, uuid, lockbox.fetch(uuid, fsid))
