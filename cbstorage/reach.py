"""Volumes and the storage cluster through the API: for each function that a command calls, the route that does it."""

from collections.abc import Sequence
from typing import TypeVar

from cbstorage.commands.volume_options import group_of
from cbstorage.model import MountSpecification, VolumeSpecification
from cbstorage.promise import Promise
from cbstorage.volume_model import Snapshot, SnapshotPhase, SnapshotSchedule
from cbstorage.wanted import cluster, mounting, osds, promises, resizing, room, snapshots, trash, until, volumes
from cbstorage.wanted.cluster import ClusterView
from cbstorage.wanted.osds import OsdView
from cbstorage.wanted.promises import Preview
from cbstorage.wanted.snapshots import SnapshotList
from cbstorage.wanted.trash import TrashView
from cbstorage.wanted.volumes import VolumeView
from cladnet import networks
from cladnet.reach import networks as through_api
from cladnet.reach.api import Api, place
from cladnet.reach.system import Table
from larva.errors import InvalidInput, NotFound

T = TypeVar("T")


def only_group(api: Api) -> str:
    """As cluster.only_group."""
    found = []
    for each in through_api.list_all(api):
        try:
            found.append(_cluster(api, each.id).specification.group)
        except NotFound:
            continue
    return cluster.the_only(found)


def group_of_option(api: Api, group: str | None) -> str:
    """As volume_options.group_of."""
    return through_api.find(api, group).id if group else only_group(api)


def find_cluster(api: Api, cladnet: str | None = None) -> ClusterView:
    """As cluster.find."""
    return _cluster(api, cladnet if cladnet is not None else only_group(api))


def wait_cluster(api: Api, cladnet: str | None, *, timeout_s: float, osds: int | None = None) -> ClusterView:
    """As cluster.wait_ready."""
    return cluster.await_ready(lambda: find_cluster(api, cladnet), timeout_s=timeout_s, osds=osds)


def _cluster(api: Api, cladnet: str) -> ClusterView:
    return api.get(place("cladnets", cladnet, "storage"), ClusterView)


def osd_views(api: Api, cladnet: str | None = None) -> tuple[OsdView, ...]:
    """As osds.views."""
    return api.items(place("cladnets", cladnet if cladnet is not None else only_group(api), "osds"), "osds", OsdView)


def list_all(api: Api, group: str | None = None) -> tuple[VolumeView, ...]:
    """As volumes.list_all."""
    return api.items(place("volumes") if group is None else place("cladnets", group, "volumes"), "volumes", VolumeView)


def find(api: Api, group: str, name: str) -> VolumeView:
    """As volumes.find."""
    return api.get(place("cladnets", group, "volumes", name), VolumeView)


def create(
    api: Api,
    group: str,
    name: str,
    size_bytes: int,
    promise: Promise | None = None,
    *,
    kept_for: Sequence[str] | None = None,
) -> VolumeSpecification:
    """As volumes.create."""
    return api.post(
        place("cladnets", group, "volumes"), VolumeSpecification, name=name, size_bytes=size_bytes, kept_for=kept_for,
        survive=promise.survive if promise else None, home=promise.home if promise else "",
    )  # fmt: skip


def check_promise(api: Api, group: str, promise: Promise) -> None:
    """As promises.check."""
    if missing := preview(api, group, promise.home).option(promise.survive).missing:
        raise InvalidInput(missing, hint="add storage hosts there, or promise less")


def preview(api: Api, group: str, home: str = "") -> Preview:
    """As promises.preview."""
    return api.get(place("cladnets", group, "promises"), Preview, home=home)


def resize(api: Api, group: str, name: str, size_bytes: int, *, force: bool = False) -> VolumeSpecification:
    """As resizing.resize."""
    return _do(api, group, name, "resize", VolumeSpecification, size_bytes=size_bytes, force=force)


def mount(
    api: Api, group: str, name: str, hosts: Sequence[str] | None, path: str, *, read_only: bool = False
) -> tuple[MountSpecification, ...]:
    """As mounting.mount."""
    view = _do(api, group, name, "mount", VolumeView, hosts=hosts, path=path, read_only=read_only)
    return tuple(
        MountSpecification(volume=name, volume_id=view.id, host=one.host, path=one.path, read_only=one.read_only)
        for one in view.mounts
        if not one.leaving and (hosts is None or one.host in hosts)
    )


def unmount(api: Api, group: str, name: str, hosts: Sequence[str] | None = None) -> tuple[str, ...]:
    """As mounting.unmount."""
    had = [one.host for one in find(api, group, name).mounts if not one.leaving]
    _do(api, group, name, "unmount", VolumeView, hosts=hosts)
    return tuple(sorted(had)) if hosts is None else tuple(dict.fromkeys(hosts))


def delete(api: Api, group: str, name: str, *, force: bool = False, keep_s: int = volumes.KEEP_S) -> None:
    """As volumes.delete."""
    api.delete(place("cladnets", group, "volumes", name), force=force, keep_s=keep_s)


def wait_ready(api: Api, group: str, name: str, *, timeout_s: float) -> VolumeView:
    """As volumes.wait_ready."""
    return volumes.wait(lambda: until.ready(find(api, group, name)), f"volume {name} is not ready", timeout_s)


def wait_resized(api: Api, group: str, name: str, *, timeout_s: float) -> VolumeView:
    """As resizing.wait_resized."""
    return volumes.wait(lambda: until.resized(find(api, group, name)), f"volume {name} is not resized", timeout_s)


def wait_mounted(api: Api, group: str, name: str, hosts: Sequence[str], *, timeout_s: float) -> VolumeView:
    """As volumes.wait_mounted."""
    what = f"volume {name} is not mounted everywhere"
    return volumes.wait(lambda: until.mounted(find(api, group, name), hosts), what, timeout_s)


def wait_unmounted(api: Api, group: str, name: str, hosts: Sequence[str], *, timeout_s: float) -> VolumeView:
    """As volumes.wait_unmounted."""
    what = f"volume {name} is still mounted"
    return volumes.wait(lambda: until.unmounted(find(api, group, name), hosts), what, timeout_s)


def wait_deleted(api: Api, group: str, name: str, *, timeout_s: float) -> None:
    """As volumes.wait_deleted."""
    volumes.await_deleted(lambda: find(api, group, name), name, timeout_s=timeout_s)


def warning(api: Api, group: str) -> str:
    """As room.warning."""
    state = _cluster(api, group).state
    if state is None or not state.room_bytes:
        return ""
    return room.words(sum(view.size_bytes for view in list_all(api, group)), state.room_bytes)


def _do(api: Api, group: str, volume: str, what: str, wanted: type[T], /, **body: object) -> T:
    return api.post(place("cladnets", group, "volumes", volume, what), wanted, **body)


def list_snapshots(api: Api, group: str, volume: str) -> SnapshotList:
    """As snapshots.list_all."""
    return api.get(place("cladnets", group, "volumes", volume, "snapshots"), SnapshotList)


def create_snapshot(api: Api, group: str, volume: str, name: str | None = None) -> Snapshot:
    """As snapshots.create."""
    return _do(api, group, volume, "snapshots", Snapshot, name=name)


def delete_snapshot(api: Api, group: str, volume: str, name: str) -> None:
    """As snapshots.delete."""
    api.delete(place("cladnets", group, "volumes", volume, "snapshots", name))


def wait_made(api: Api, group: str, volume: str, name: str, *, timeout_s: float) -> None:
    """As snapshots.wait_made."""

    def look() -> tuple[None, bool, str]:
        phases = {one.name: one.phase for one in list_snapshots(api, group, volume).snapshots}
        return None, phases.get(name) is SnapshotPhase.MADE, find(api, group, volume).problem or snapshots.NOT_MADE

    volumes.wait(look, f"snapshot {name} of volume {volume} is not made", timeout_s)


def wait_gone(api: Api, group: str, volume: str, name: str, *, timeout_s: float) -> None:
    """As snapshots.wait_gone."""

    def look() -> tuple[None, bool, str]:
        there = {one.name for one in list_snapshots(api, group, volume).snapshots}
        return None, name not in there, find(api, group, volume).problem or snapshots.NOT_GONE

    volumes.wait(look, f"snapshot {name} of volume {volume} is not removed", timeout_s)


def schedule(api: Api, group: str, volume: str, *, every_s: int, keep: int) -> SnapshotSchedule:
    """As snapshots.schedule."""
    path = place("cladnets", group, "volumes", volume, "snapshot-schedule")
    return api.put(path, SnapshotSchedule, every_s=every_s, keep=keep)


def unschedule(api: Api, group: str, volume: str) -> None:
    """As snapshots.unschedule."""
    api.delete(place("cladnets", group, "volumes", volume, "snapshot-schedule"))


def list_trash(api: Api, group: str) -> tuple[TrashView, ...]:
    """As trash.list_all."""
    found = api.items(place("cladnets", group, "volume-trash"), "volumes", TrashView)
    return tuple(sorted(found, key=lambda view: view.deleted_at, reverse=True))


def undelete(api: Api, group: str, wanted: str, *, name: str | None = None) -> VolumeSpecification:
    """As trash.undelete."""
    return api.post(place("cladnets", group, "volume-trash", wanted, "undelete"), VolumeSpecification, name=name)


def purge(api: Api, group: str, wanted: str) -> TrashView:
    """As trash.purge."""
    there = sorted(list_trash(api, group), key=lambda view: view.id != wanted)
    api.delete(place("cladnets", group, "volume-trash", wanted))
    found = next((view for view in there if wanted in (view.id, view.name)), None)
    if found is None:
        raise NotFound(f"{wanted} came into the trash a moment ago and is being destroyed: what it was is not known")
    return found


def wait_purged(api: Api, group: str, volume_id: str, *, timeout_s: float) -> None:
    """As trash.wait_purged."""

    def look() -> tuple[None, bool, str]:
        left = any(view.id == volume_id for view in list_trash(api, group))
        return None, not left, "the storage hosts have not destroyed it yet"

    volumes.wait(look, f"the volume of id {volume_id} is not destroyed", timeout_s)


TABLE: Table = {
    group_of: group_of_option,
    networks.find: through_api.find,
    cluster.find: find_cluster,
    cluster.wait_ready: wait_cluster,
    osds.views: osd_views,
    room.warning: warning,
    promises.check: check_promise,
    promises.preview: preview,
    volumes.list_all: list_all,
    volumes.find: find,
    volumes.create: create,
    volumes.delete: delete,
    volumes.wait_ready: wait_ready,
    volumes.wait_mounted: wait_mounted,
    volumes.wait_unmounted: wait_unmounted,
    volumes.wait_deleted: wait_deleted,
    resizing.resize: resize,
    resizing.wait_resized: wait_resized,
    mounting.mount: mount,
    mounting.unmount: unmount,
    snapshots.create: create_snapshot,
    snapshots.list_all: list_snapshots,
    snapshots.delete: delete_snapshot,
    snapshots.wait_made: wait_made,
    snapshots.wait_gone: wait_gone,
    snapshots.schedule: schedule,
    snapshots.unschedule: unschedule,
    trash.list_all: list_trash,
    trash.undelete: undelete,
    trash.purge: purge,
    trash.wait_purged: wait_purged,
}
