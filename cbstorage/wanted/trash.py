"""Deleted volumes: listed, taken back, destroyed for good."""

from dataclasses import dataclass, replace
from datetime import datetime

from cbstorage import keys, records
from cbstorage.model import VolumeSpecification
from cbstorage.volume_model import Trashed
from cbstorage.wanted import volumes
from cladnet.etcd.store import Condition, Delete, Put, Store, Versioned
from larva.errors import Conflict, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class TrashView:
    """One volume in the trash."""

    group: str
    name: str
    id: str
    size_bytes: int
    used_bytes: int
    """As counted last before it was deleted."""
    deleted_at: datetime
    remaining_s: int
    """Seconds for which it can be taken back at least; counting stops while no storage host leads."""
    purging: bool
    """It is being destroyed."""


def list_all(store: Store, group: str) -> tuple[TrashView, ...]:
    """Return what is in the trash of a group, the latest first."""
    found = sorted(records.trash(store, group).values(), key=lambda item: item.value.deleted_at, reverse=True)
    return tuple(_view(item.value) for item in found)


def undelete(store: Store, group: str, wanted: str, *, name: str | None = None) -> VolumeSpecification:
    """Take a volume back from the trash; its mounts are gone.

    Args:
        wanted: its name or its id.
        name: what it shall be called from now on; None for its old name.

    Raises:
        NotFound: the trash has no such volume.
        Conflict: it has several of that name, the name is in use again, or it is being destroyed already.
    """
    item = _find(store, group, wanted)
    old = item.value.volume
    if item.value.purging:
        raise Conflict(f"volume {old.name} is being destroyed already")
    new = name or old.name
    back = replace(old, name=new, origin=None if new == (old.origin or old.name) else old.origin or old.name)
    key = keys.volume(group, new)
    if store.exists(key):
        raise Conflict(f"CLADNet {group} has a volume {new!r} again", hint="give it another name: --as NAME")
    state = keys.volume_state(group, new)
    conditions = [Condition(item.key, item.revision), Condition(key, 0)]
    if not store.transact(conditions, [Delete(item.key), Delete(state), Put(key, back)]):
        raise Conflict(
            "somebody else changed the trash meanwhile", hint="look with `larva volume trash list`, then retry"
        )
    return back


def purge(store: Store, group: str, wanted: str) -> TrashView:
    """Ask for a volume in the trash to be destroyed now; there is no way back.

    Args:
        wanted: its name or its id.

    Raises:
        NotFound: the trash has no such volume.
        Conflict: it has several of that name.
    """
    item = _find(store, group, wanted)
    purging = replace(item.value, purging=True)
    if not item.value.purging:
        store.replace(item, purging)
    return _view(purging)


def wait_purged(store: Store, group: str, volume_id: str, *, timeout_s: float) -> None:
    """Wait until nothing is left of a volume."""

    def look() -> tuple[None, bool, str]:
        left = volume_id in records.trash(store, group)
        return None, not left, "the storage hosts have not destroyed it yet"

    volumes.wait(look, f"the volume of id {volume_id} is not destroyed", timeout_s)


def _find(store: Store, group: str, wanted: str) -> Versioned[Trashed]:
    found = records.trash(store, group)
    if wanted in found:
        return found[wanted]
    named = [item for item in found.values() if item.value.volume.name == wanted]
    if not named:
        raise NotFound(f"the trash of CLADNet {group} has no volume {wanted!r}", hint="larva volume trash list")
    if len(named) > 1:
        ids = ", ".join(sorted(item.value.volume.id for item in named))
        raise Conflict(f"the trash has {len(named)} volumes {wanted!r}", hint=f"name one by its id: {ids}")
    return named[0]


def _view(entry: Trashed) -> TrashView:
    volume = entry.volume
    return TrashView(
        group=volume.group, name=volume.name, id=volume.id, size_bytes=volume.size_bytes,
        used_bytes=entry.used_bytes or 0, deleted_at=entry.deleted_at,
        remaining_s=0 if entry.purging else max(0, entry.keep_s - entry.seen_s), purging=entry.purging,
    )  # fmt: skip
