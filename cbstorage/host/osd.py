"""The OSDs of this host: one a device, made in steps each of which can be done again."""

import json
import logging
import os
import stat
import time
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from msgspec import Meta

from cbstorage.ceph import cephx
from cbstorage.ceph.answers import OsdMap
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import dmcrypt, encryption, local, lockbox, systemd
from cbstorage.host.device import Fate, decide, inspect, make_file, overwrite
from cbstorage.model import DaemonKind
from cbstorage.osd_model import OsdAddition
from larva import codec, files, process
from larva.errors import HostUnfit, MalformedData, Unavailable

log = logging.getLogger(__name__)

MKFS_S = 300
FORGOTTEN = "forgotten"
EMPTIED = "emptied"
LEFT = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What this host remembers of one device's OSD, in its private directory."""

    device: Path
    uuid: str
    key: str
    osd_id: int | None = None
    made: bool = False
    """mkfs ran to its end."""
    encrypted: bool = False
    """LUKS2 is on the device, and BlueStore on what dm-crypt shows of it."""
    formatting: bool = False
    """The device was found free, and LUKS2 is being put on it."""
    addition: Annotated[str, Meta(max_length=60)] = ""
    """The `OsdAddition.asked` that it was made for; empty for a device of the join file."""
    retired: Annotated[str, Meta(max_length=20)] = ""
    """`FORGOTTEN` once the cluster has it no more, `EMPTIED` when its data is deleted too; `LEFT` when the cluster
    forgot it and nobody asked for its data to be deleted. Nothing is made here again unless somebody asks for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _NewOsd:
    osdid: int


def ensure(
    monitors: Monitors | None, device: Path, *, fsid: str, file_bytes: int, addition: OsdAddition | None = None,
    encrypt: bool = False,
) -> int:  # fmt: skip
    """Bring the OSD of a device up and return its id.

    Args:
        monitors: needed to make a new OSD, and for the key of an encrypted one; any other is started without.
        fsid: of the cluster.
        file_bytes: size of the sparse file to make where `device` is a file that is not there.
        addition: what asked for it, where its join file does not.
        encrypt: whether a new one is to be encrypted; one that was made stays as it is.

    Raises:
        HostUnfit: the device is missing, too small, or holds foreign data, or cannot be encrypted here.
        Unavailable: no monitors, and it has to be made or opened.
    """
    record = recall(device, fsid)
    if record is not None and record.retired:
        record = None
    if record is None or not record.made or record.osd_id is None:
        file_bytes = (addition.size_bytes if addition else None) or file_bytes
        record = _make(
            monitors, device, record, fsid=fsid, file_bytes=file_bytes, addition=addition, encrypt=encrypt
        )  # fmt: skip
    if record.osd_id is None:
        raise AssertionError("a made OSD has an id")
    if record.encrypted and monitors is None and not dmcrypt.is_open(record.uuid):
        raise Unavailable(
            f"{device} is encrypted, and the monitors have its key", hint="it is opened as soon as they answer"
        )
    start(record, fsid)
    return record.osd_id


def start(record: Record, fsid: str) -> None:
    """Start a made OSD, its device opened first where it is encrypted; errors as encryption.opened."""
    _own(encryption.opened(record.device, record.uuid, fsid) if record.encrypted else record.device)
    systemd.start(local.unit(DaemonKind.OSD, str(record.osd_id)))


def recall(device: Path, fsid: str) -> Record | None:
    """Return what is remembered of a device's OSD in this cluster."""
    path = _record_file(device, fsid)
    return codec.decode(path.read_bytes(), Record, source=str(path)) if path.exists() else None


def _make(
    monitors: Monitors | None, device: Path, record: Record | None, *, fsid: str, file_bytes: int,
    addition: OsdAddition | None, encrypt: bool,
) -> Record:  # fmt: skip
    if record.encrypted if record is not None else encrypt:
        dmcrypt.require()  # before anything is written
    make_file(device, file_bytes)
    if record is None:
        record = Record(
            device=device, uuid=str(uuid.uuid4()), key=cephx.new_key(created_s=int(time.time())),
            addition=addition.asked if addition else "", encrypted=encrypt,
        )  # fmt: skip
        contents = inspect(device)
        label = contents.label
        if monitors is not None and contents.luks_uuid and is_known(monitors, contents.luks_uuid):
            raise _locked(device, contents.luks_uuid)
        if label is not None and label.is_finished(fsid) and label.whoami.isdecimal():
            if monitors is None or is_known(monitors, label.osd_uuid):
                return _adopt(device, label.osd_uuid, int(label.whoami), fsid, addition=record.addition)
            if addition is None or not addition.destroy_data:
                raise removed(device, int(label.whoami))
        if addition is not None and addition.destroy_data and not contents.is_free():
            if monitors is None:
                raise _not_yet(device)
            if label is not None and is_known(monitors, label.osd_uuid):
                raise HostUnfit(
                    f"{device} carries an OSD of this cluster ({label.osd_uuid})",
                    hint="remove that first: `osd remove`",
                )
            log.warning("what is on %s is destroyed, as it was asked for", device)
            overwrite(device)
            contents = inspect(device)
        decide(device, contents, fsid=fsid, osd_uuid=record.uuid)  # refuses before an id is taken
        _remember(record, fsid)
    if monitors is None:
        raise _not_yet(device)
    # Uuid and key were written down first: asking again with both gives the same id.
    # With a number it takes the place of an OSD that was destroyed; monitors refuse it before that.
    number = {"id": addition.osd} if addition is not None and addition.osd is not None else {}
    secrets = {"cephx_secret": record.key, **(encryption.secrets(record.uuid, fsid) if record.encrypted else {})}
    answer = monitors.ask("osd new", _NewOsd, uuid=record.uuid, stdin=json.dumps(secrets).encode(), **number)
    record = _changed(record, fsid, osd_id=answer.osdid)
    under = device
    if record.encrypted:  # the monitors have its key by now
        encryption.check(device, record.uuid, begun=record.formatting)
        record = _changed(record, fsid, formatting=True)
        under = encryption.formatted(device, record.uuid, secrets["dmcrypt_key"].encode())
    _lay_out(under, record, answer.osdid)
    if _is_unmade(under, record, fsid):
        _wipe_label(under)
        process.run(
            ["ceph-osd", "--mkfs", "--id", str(answer.osdid), "--osd-uuid", record.uuid, "--setuser", "ceph", "--setgroup", "ceph"],  # noqa: E501
            timeout=MKFS_S,
        )  # fmt: skip
    log.info("made osd.%d on %s%s", answer.osdid, device, ", encrypted" if record.encrypted else "")
    return _changed(record, fsid, made=True)


def _is_unmade(under: Path, record: Record, fsid: str) -> bool:
    found = inspect(under)
    if record.encrypted:  # what a new key shows of a device is noise, whose it was does not show
        label = found.label
        return label is None or label.osd_uuid != record.uuid or not label.is_finished(fsid)
    return decide(under, found, fsid=fsid, osd_uuid=record.uuid) is Fate.MAKE


def _locked(device: Path, osd_uuid: str) -> HostUnfit:
    return HostUnfit(
        f"{device} carries an encrypted OSD of this cluster ({osd_uuid}) that this host does not know",
        hint="if its host was installed anew: `larva storage osd remove N --lost`, then add it with --destroy-data",
    )


def is_known(monitors: Monitors, osd_uuid: str) -> bool:
    """Whether the cluster has an OSD of this UUID."""
    return any(entry.uuid == osd_uuid for entry in monitors.ask("osd dump", OsdMap).osds)


def removed(device: Path, osd_id: int) -> HostUnfit:
    """What to say of a device whose OSD the cluster knows no more."""
    return HostUnfit(
        f"{device} carries osd.{osd_id}, which was removed from the cluster",
        hint=f"if its data may go: `larva storage osd add HOST {device} --destroy-data {device}`",
    )


def _not_yet(device: Path) -> Unavailable:
    return Unavailable(f"{device} has no OSD yet", hint="it is made as soon as the monitors answer")


def _adopt(device: Path, osd_uuid: str, osd_id: int, fsid: str, *, addition: str) -> Record:
    """Take over a finished OSD of this cluster whose host was installed anew; its label holds its key."""
    directory = local.data_directory(DaemonKind.OSD, str(osd_id))
    directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    process.run(["ceph-bluestore-tool", "prime-osd-dir", "--dev", device, "--path", directory], timeout=60, secret=True)
    _lead(directory, device)
    local.give_to_ceph(directory)
    log.info("took over osd.%d on %s", osd_id, device)
    record = Record(device=device, uuid=osd_uuid, key="", osd_id=osd_id, made=True, addition=addition)
    _remember(record, fsid)
    return record


def _lay_out(device: Path, record: Record, osd_id: int) -> None:
    """Make the data directory: the keyring, and `block` leading to the device (BlueStore opens what it leads to)."""
    identity = cephx.Identity(entity=f"osd.{osd_id}", key=record.key)
    local.write_daemon_keyring(DaemonKind.OSD, str(osd_id), identity)
    directory = local.data_directory(DaemonKind.OSD, str(osd_id))
    _lead(directory, device)
    local.give_to_ceph(directory)
    _own(device)


def _lead(directory: Path, device: Path) -> None:
    """Make `block` lead to the device, also where it led to one that has another name now."""
    block = directory / "block"
    if block.is_symlink() and block.readlink() == device:
        return
    new = directory / "block.new"
    new.unlink(missing_ok=True)
    new.symlink_to(device)
    new.replace(block)


def _own(device: Path) -> None:
    """Give the device to the user ceph, again after each boot, and make sure that it can get there."""
    owner = local.ceph_owner()
    os.chown(device, *owner)
    for directory in device.resolve().parents:
        mode = directory.stat()
        passable = mode.st_mode & stat.S_IXOTH or (mode.st_uid == owner[0] and mode.st_mode & stat.S_IXUSR)
        if not passable:
            raise HostUnfit(f"the user ceph cannot pass {directory} to {device}", hint=f"chmod o+x {directory}")


def _wipe_label(device: Path) -> None:
    """Remove what an interrupted mkfs of our own left, so that the next one starts on a blank device."""
    with device.open("r+b") as file:
        file.write(bytes(1 << 20))
        file.flush()
        os.fsync(file.fileno())


def _record_file(device: Path, fsid: str) -> Path:
    name = quote(str(device), safe="")  # /a-b and /a/b are two devices
    return local.private_directory("osd", fsid) / f"{name}.json"


def _remember(record: Record, fsid: str) -> None:
    files.write_whole(_record_file(record.device, fsid), codec.encode(record), mode=files.SECRET)


def records(fsid: str) -> dict[Path, Record]:
    """Everything that is remembered of this cluster's OSDs, by device."""
    found = {}
    for path in sorted(local.private_directory("osd", fsid).glob("*.json")):
        try:
            record = codec.decode(path.read_bytes(), Record, source=str(path))
        except MalformedData as error:  # the others have to run; its own device says so too, by recall()
            log.warning("%s", error.message)
            continue
        found[record.device] = record
    return found


def retire(record: Record, fsid: str, how: str) -> Record:
    """Write down how far the end of an OSD is; its keys are kept no longer."""
    new = replace(record, retired=how, key="")
    if new != record:
        _remember(new, fsid)
    lockbox.forget(record.uuid, fsid)
    return new


def _changed(record: Record, fsid: str, **changes: Any) -> Record:
    new = replace(record, **changes)
    if new != record:
        _remember(new, fsid)
    return new
