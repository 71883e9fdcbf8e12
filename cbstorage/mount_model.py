"""The values of mounts that concern more than one host, as they travel through etcd."""

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from cbstorage.model import MountSpecification, Name, VolumeId

Path = Annotated[str, Meta(pattern=r"\A/", max_length=4096)]


@dataclass(frozen=True, slots=True, kw_only=True)
class MountEverywhere:
    """Every host of a CLADNet should have this volume: `cb-storage/mount-everywhere/{group}/{volume}`.

    One key, however many hosts there are; those that join later have it too.
    """

    volume: Name
    volume_id: VolumeId
    path: Path
    """Absolute path, the same on each host."""
    read_only: bool = False

    def on(self, host: str) -> MountSpecification:
        """What it means for one host."""
        return MountSpecification(
            volume=self.volume, volume_id=self.volume_id, host=host, path=self.path, read_only=self.read_only
        )
