"""What cannot be done to a volume while it follows another."""

from cbstorage import mirror_records
from cbstorage.leading import mirror_plan
from cbstorage.model import VolumeSpecification
from cladnet.etcd.store import Store
from larva.errors import Conflict


def refuse(store: Store, volume: VolumeSpecification, why: str, *, hint: str) -> None:
    """Raise Conflict if a volume is a mirror.

    Args:
        why: what is the matter then, as the end of a sentence about it.
    """
    if volume.id in mirror_records.mirrors_of(store, volume.group):
        raise Conflict(f"volume {volume.name} is a mirror: {why}", hint=hint)


def refuse_snapshot(store: Store, volume: VolumeSpecification, name: str) -> None:
    """Raise Conflict if a snapshot is one that a mirror needs."""
    whose = mirror_plan.maker(name)
    if whose is not None and whose in mirror_records.mirrors_of(store, volume.group):
        raise Conflict(
            f"snapshot {name} of volume {volume.name} is a mirror's, which removes it in time",
            hint="larva volume mirrors; `larva volume unmirror` ends it",
        )
