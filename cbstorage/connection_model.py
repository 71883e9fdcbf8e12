"""Volumes for machines that do not run the appliance, as this travels through etcd."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from msgspec import Meta

from cbstorage.model import Name, VolumeId
from cladnet.trust.kinds import signed_by_ca

SealKey = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9+/]{43}=\Z")]
Serial = Annotated[str, Meta(pattern=r"\A[0-9a-f]{8}\Z")]


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class OutsideConnection:
    """A machine outside should have a volume: `cb-storage/connection/{group}/{volume}/{machine}`.

    Deleting it takes the key back.
    """

    volume: Name
    volume_id: VolumeId
    machine: Name
    """What its owner calls it; nobody checks that."""
    serial: Serial
    """Drawn anew each time, so that a key that leaked and was taken back is never given again."""
    seal_key: SealKey
    """Of whoever asked, who alone opens the key, and forgets how once it was shown."""
    read_only: bool = False
    renewal: SealKey | None = None
    """Of whoever asked last for another key beside the present one."""
    created_at: datetime

    @property
    def entity(self) -> str:
        """Its cephx identity; a host's and a storage host's have fewer parts."""
        return f"client.outside.{self.volume}.{self.volume_id}.{self.machine}.{self.serial}"
