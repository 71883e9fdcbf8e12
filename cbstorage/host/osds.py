"""All OSDs of this host in one look: those that end are ended first, then every device that should have one gets it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cbstorage import records
from cbstorage.ceph.answers import OsdMap
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import osd, osd_retire
from cbstorage.host.osd import Record
from cbstorage.host.problems import Problems, words
from cbstorage.model import ClusterSpecification, DeviceProblem
from cbstorage.osd_model import OsdAddition, OsdGoal, OsdPhase, OsdProgress, OsdWish
from cladnet.etcd.store import Store
from larva.errors import HostUnfit, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is wanted of this host's OSDs."""

    devices: tuple[Path, ...]
    """Of its join file."""
    encrypt: bool = False
    """Whether its join file wants those to be encrypted."""
    additions: Mapping[Path, OsdAddition]
    wishes: Mapping[int, OsdWish]
    progress: Mapping[int, OsdProgress]

    def is_encrypted(self, device: Path) -> bool:
        """Whether somebody wants what an OSD writes on a device to be encrypted: whoever does is heard."""
        addition = self.additions.get(device)
        return (self.encrypt and device in self.devices) or (addition is not None and addition.encrypt)

    def of(self, record: Record) -> tuple[OsdWish | None, OsdProgress | None]:
        """What is wanted of an OSD, and how far that is."""
        if record.osd_id is None:
            return None, None
        return self.wishes.get(record.osd_id), self.progress.get(record.osd_id)


def read(store: Store, group: str, host: str, devices: tuple[Path, ...], *, encrypt: bool) -> Wanted:
    """Return what etcd and the join file want."""
    wishes = {osd_id: item.value for osd_id, item in records.osd_wishes(store, group).items()}
    return Wanted(
        devices=devices,
        encrypt=encrypt,
        additions=records.osd_additions(store, group, host),
        wishes=wishes,
        progress=records.osd_progress(store, group),
    )


def tend(
    monitors: Monitors | None, wanted: Wanted, specification: ClusterSpecification, problems: Problems
) -> tuple[DeviceProblem, ...]:
    """Bring every OSD of this host a step further and return which devices cannot have one."""
    fsid = specification.fsid
    _end(monitors, wanted, fsid, problems)
    known = osd.records(fsid)
    found = []
    for device in dict.fromkeys((*wanted.devices, *wanted.additions, *known)):
        addition = wanted.additions.get(device)
        with problems.kept():
            try:
                if _should_run(device, known, wanted):
                    asks = wanted.is_encrypted(device)
                    osd.ensure(
                        monitors, device, fsid=fsid, file_bytes=specification.osd_file_bytes, addition=addition,
                        encrypt=asks or specification.encrypt_osds,
                    )  # fmt: skip
            except HostUnfit as error:
                asked = addition.asked if addition is not None else ""
                found.append(DeviceProblem(device=str(device), asked=asked, words=words(error)))
                raise
    return tuple(found)


def _end(monitors: Monitors | None, wanted: Wanted, fsid: str, problems: Problems) -> None:
    known = osd.records(fsid)
    made = [one for one in known.values() if one.made and not one.retired]
    there = {entry.uuid for entry in monitors.ask("osd dump", OsdMap).osds} if monitors is not None and made else None
    for record in known.values():
        with problems.kept():
            if osd_retire.is_ending(record, *wanted.of(record)):
                osd_retire.end(record, wanted.of(record)[0], fsid=fsid, there=there)
            elif record in made and there is not None and record.uuid not in there:
                osd_retire.leave(record, fsid=fsid)


def _should_run(device: Path, known: Mapping[Path, Record], wanted: Wanted) -> bool:
    record, addition = known.get(device), wanted.additions.get(device)
    if record is not None and not record.retired:
        return not osd_retire.is_ending(record, *wanted.of(record))
    if record is not None and (addition is None or addition.asked == record.addition):
        if record.retired == osd.LEFT and record.osd_id is not None:
            raise osd.removed(device, record.osd_id)
        return False
    _refuse_while_ending(known.values())
    return addition is None or _may_begin(addition, wanted)


def _may_begin(addition: OsdAddition, wanted: Wanted) -> bool:
    """Whether the OSD that this one replaces is out of the way: nothing is done to the device before."""
    if addition.osd is None:
        return True
    wish, told = wanted.wishes.get(addition.osd), wanted.progress.get(addition.osd)
    return (
        wish is not None
        and wish.goal is OsdGoal.REPLACED
        and told is not None
        and (told.asked, told.phase) == (wish.asked, OsdPhase.GONE)
    )


def _refuse_while_ending(known: Iterable[Record]) -> None:
    """Ids are given anew: a new OSD must not find the directory of one whose data is still to be deleted."""
    for record in known:
        if record.retired == osd.FORGOTTEN:
            raise Unavailable(f"{record.device} is to be emptied first; its OSD was removed")
