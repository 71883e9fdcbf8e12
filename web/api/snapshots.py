"""Snapshots of volumes, their schedules, and volumes that are made from them."""

from dataclasses import dataclass

from cbstorage.volume_model import Snapshot, SnapshotSchedule
from cbstorage.wanted import copies, snapshots, volumes
from cbstorage.wanted.snapshots import SnapshotList
from web.api.routing import Routes
from web.api.volumes import Volume, shown
from web.context import store
from web.roles import Right

routes = Routes("snapshots", "/cladnets/<cladnet>/volumes/<name>")


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotWish:
    """What a snapshot shall be called; None: by the time."""

    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneWish:
    """The new volume's name, the snapshot that it is made from (None: now), and its quota (None: as the other's)."""

    name: str
    snapshot: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleWish:
    """How often snapshots are made, in seconds, and how many of them stay."""

    every_s: int
    keep: int = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class RestorationWish:
    """Whether a volume is unmounted everywhere first; it is mounted nowhere afterwards then."""

    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """A volume goes back to a snapshot."""

    before: str
    """The snapshot of what it is now."""


@routes.get("/snapshots")
def list_all(group: str, name: str) -> SnapshotList:
    """A volume's snapshots, the oldest first, and its schedule."""
    return snapshots.list_all(store(), group, name)


@routes.post("/snapshots", Right.USE, status=202)
def create(group: str, name: str, wish: SnapshotWish) -> Snapshot:
    """Ask for a snapshot."""
    return snapshots.create(store(), group, name, wish.name)


@routes.post("/clone", Right.USE, status=202)
def clone(group: str, name: str, wish: CloneWish) -> Volume:
    """Ask for a new volume with what this one holds, or held."""
    copies.clone(store(), group, name, wish.name, snapshot=wish.snapshot, size_bytes=wish.size_bytes)
    return shown(volumes.find(store(), group, wish.name))


@routes.post("/snapshots/<snapshot>/restore", Right.USE, status=202)
def restore(group: str, name: str, snapshot: str, wish: RestorationWish) -> Restoration:
    """Ask for a volume to be again what it was; it must be mounted nowhere, unless by force."""
    return Restoration(before=copies.restore(store(), group, name, snapshot, force=wish.force))


@routes.delete("/snapshots/<snapshot>", Right.USE)
def delete(group: str, name: str, snapshot: str) -> None:
    """Ask for a snapshot to be removed."""
    snapshots.delete(store(), group, name, snapshot)


@routes.put("/snapshot-schedule", Right.USE, status=202)
def schedule(group: str, name: str, wish: ScheduleWish) -> SnapshotSchedule:
    """Ask for snapshots from time to time."""
    return snapshots.schedule(store(), group, name, every_s=wish.every_s, keep=wish.keep)


@routes.delete("/snapshot-schedule", Right.USE)
def unschedule(group: str, name: str) -> None:
    """Ask for no more scheduled snapshots."""
    snapshots.unschedule(store(), group, name)
