"""What travels through etcd of a volume besides itself: its stay in the trash."""

from dataclasses import dataclass
from datetime import datetime

from cbstorage.model import KeepS, Size, VolumeSpecification


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
