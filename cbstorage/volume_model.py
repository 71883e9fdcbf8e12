"""What travels through etcd of a volume besides itself: its stay in the trash, its snapshots, copies of them."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from cbstorage.model import KeepS, Name, Size, VolumeId, VolumeSpecification


@dataclass(frozen=True, slots=True, kw_only=True)
class Trashed:
    """A deleted volume that can be taken back: `cb-storage/trash/{group}/{id}`, by its id: names are used again."""

    volume: VolumeSpecification
    """As it was."""
    used_bytes: Size | None = None
    """As counted last; None for an empty one."""
    deleted_at: datetime
    keep_s: KeepS
    """How long it stays, in seconds."""
    seen_s: KeepS = 0
    """For how long leading hosts saw it lie here, by their own counting."""
    purging: bool = False
    """It is being destroyed: there is no way back. Set before the first file goes."""


class SnapshotPhase(StrEnum):
    """How far a snapshot is."""

    WANTED = "wanted"
    MADE = "made"
    DELETING = "deleting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A volume as it was once: `cb-storage/snapshot/{group}/{volume id}/{name}`."""

    volume_id: VolumeId
    name: Name
    """Also the name of its directory in the volume's `.snap`."""
    phase: SnapshotPhase = SnapshotPhase.WANTED
    scheduled: bool = False
    """The schedule made it, and removes it in time; what people made is theirs to remove."""
    asked_at: datetime
    made_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSchedule:
    """How often snapshots are made, and how many stay: `cb-storage/snapshot-schedule/{group}/{volume id}`."""

    volume_id: VolumeId
    every_s: Annotated[int, Meta(ge=300, le=366 * 86400)]
    """Seconds between two."""
    keep: Annotated[int, Meta(ge=1, le=48)]
    """A directory has room for about a hundred (`mds_max_snaps_per_dir`); people's own need some of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyWish:
    """A volume is to hold what a snapshot does: `cb-storage/copy/{group}/{volume id}`.

    Nobody has it mounted until that is done; then the key goes.
    """

    volume_id: VolumeId
    """The volume that is filled."""
    source_id: VolumeId
    source_path: Annotated[str, Meta(pattern=r"\A/volumes/[a-z0-9-]{1,63}/[a-z0-9-]{1,63}\.[0-9a-f]{8}\Z")]
    """The directory of the volume that the snapshot is of; the same volume's for a restoration in its place."""
    snapshot: Name
    only_copied: bool = False
    """Only copiers wrote to the volume since the snapshot: what has the same inode and time of change is as it was."""
    copied_files: Annotated[int, Meta(ge=0)] = 0
    copied_bytes: Annotated[int, Meta(ge=0)] = 0
    problem: str = ""
    """Why it does not go on; it is tried again all the same."""

    @property
    def in_place(self) -> bool:
        """Whether a volume goes back to a snapshot of its own."""
        return self.volume_id == self.source_id

    @property
    def without_quota(self) -> bool:
        """Whether the volume has no quota until that is done: a promoted mirror may hold some of two states."""
        return self.in_place and self.only_copied
