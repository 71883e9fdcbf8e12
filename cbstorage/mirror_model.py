"""A volume that follows another from a distance, by snapshots, as this travels through etcd."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from msgspec import Meta

from cbstorage.model import Name, VolumeId
from cladnet.trust.kinds import signed_by_ca

Count = Annotated[int, Meta(ge=0)]


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeMirror:
    """A volume follows another: `cb-storage/mirror/{group}/{id of the volume that follows}`.

    While it stands, nobody but the copier writes to that volume. It goes by ids, so that trash and new names change
    nothing.
    """

    group: Name
    volume_id: VolumeId
    """The volume that follows."""
    source_id: VolumeId
    every_s: Annotated[int, Meta(ge=60, le=366 * 86400)]
    """Seconds from one snapshot of the source to the next: what may be lost with it."""
    keep: Annotated[int, Meta(ge=1, le=48)]
    """How many whole states stay."""
    stopped: bool = False
    """It follows no longer, and stays what it was last."""
    now_at: datetime | None = None
    """When somebody last asked for a round out of turn."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorState:
    """How far a mirror is: `cb-storage/mirror-state/{group}/{volume id}`, as the leading host has it."""

    volume_id: VolumeId
    complete: Name | None = None
    """The last snapshot that is there whole, under the same name as at the source."""
    complete_at: datetime | None = None
    """When that snapshot of the source was asked for: what was written before then, and synced, is here."""
    copying: Name | None = None
    """The snapshot that is brought now."""
    copying_at: datetime | None = None
    answers: datetime | None = None
    """The `now_at` that this round was begun after."""
    answered: datetime | None = None
    """The `now_at` that the last whole state was begun after."""
    mixed: bool = False
    """A round was given up: what lies outside of snapshots is of no single time."""
    copied_files: Count = 0
    """Of the round that runs, or of the last: those that are the same now, copied or not."""
    copied_bytes: Count = 0
    problem: str = ""
    """Why it does not go on; it is tried again all the same."""
