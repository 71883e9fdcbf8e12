"""The life cycle of volumes as desired state in etcd; the storage hosts' reconcilers realise it."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from cbstorage import keys, mirror_records, records
from cbstorage.model import (
    ClusterSpecification,
    MountPhase,
    MountSpecification,
    MountState,
    VolumePhase,
    VolumeSpecification,
    VolumeState,
)  # fmt: skip
from cbstorage.promise import Promise
from cbstorage.share_model import Share, VolumeShares
from cbstorage.volume_model import CopyWish
from cbstorage.wanted import members, promises, sizes, until
from cladnet.etcd.store import Condition, Delete, Operation, Put, Store, Versioned
from cladnet.keys import is_segment
from larva.errors import Conflict, InvalidInput, LarvaError, NotFound, TimedOut

POLL_S = 0.3
KEEP_S = 7 * 86400
"""How long a deleted volume can be taken back, unless told otherwise."""
MOST_KEPT_S = 3650 * 86400

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class MountView:
    """One mount, wanted and as its host reports it."""

    host: str
    path: str
    phase: MountPhase
    client: str = ""
    problem: str = ""
    leaving: bool = False
    """Nobody wants it any more; its host has not taken it away yet."""
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeView:
    """One volume, wanted and as it is."""

    group: str
    name: str
    id: str
    size_bytes: int
    """The quota wanted."""
    quota_bytes: int
    """The quota in force; 0 until the volume was made."""
    used_bytes: int
    ready: bool
    phase: VolumePhase
    problem: str
    created_at: datetime
    mounts: tuple[MountView, ...]
    copied_bytes: int | None = None
    """How much of a snapshot it holds, while it is filled from one; None otherwise."""
    promise: Promise | None = None
    everywhere: bool = False
    """Whether every host should have it, those too that join later."""
    shares: tuple[Share, ...] | None = None
    """The hosts that it is kept for; None: it is for every host."""
    mirror_of: str | None = None
    """The volume that it follows, by its name, or its id once that is deleted; nobody writes to it then."""

    @property
    def status(self) -> str:
        """One word for people."""
        if self.phase is VolumePhase.DELETING:
            return "deleting"
        if self.copied_bytes is not None:
            return "failed" if self.problem else "copying"
        if not self.ready:
            return "failed" if self.problem else "pending"
        return "ready" if self.quota_bytes == self.size_bytes else "resizing"


def create(
    store: Store,
    group: str,
    name: str,
    size_bytes: int,
    promise: Promise | None = None,
    *,
    kept_for: Sequence[str] | None = None,
) -> VolumeSpecification:
    """Ask for a new volume.

    Args:
        size_bytes: its quota.
        promise: what its data outlives, for good; as much as the OSDs allow without it.
        kept_for: the hosts that may have it, and no others (`sharing`); None for every host of the CLADNet.

    Raises:
        NotFound: the group has no storage cluster, or no such host.
        Conflict: it has a volume of that name.
        InvalidInput: the name, the size or the hosts cannot be used, or the present OSDs cannot keep the promise.
        Unavailable: nobody knows yet how the OSDs stand.
    """
    key = keys.volume(group, name)
    sizes.check_volume(size_bytes)
    if store.get(keys.cluster(group), ClusterSpecification) is None:
        raise NotFound(f"CLADNet {group} has no storage cluster", hint=f"larva storage init --group {group}")
    if promise is not None:
        promises.check(store, group, promise)
    specification = VolumeSpecification(
        group=group, name=name, id=secrets.token_hex(4), size_bytes=size_bytes, promise=promise,
        created_at=datetime.now(UTC),
    )  # fmt: skip
    operations: list[Operation] = [Put(key, specification)]
    if kept_for is not None:
        named = members.require(
            group,
            kept_for,
            members.hosts(store, group),
            purpose="to keep it for",
            otherwise="share it with the others after",
        )
        shares = tuple(Share(host=host) for host in sorted(named))
        record = VolumeShares(group=group, volume_id=specification.id, shares=shares)
        operations.append(Put(keys.volume_shares(group, specification.id), record))
    if not store.transact([Condition(key, 0)], operations):
        raise Conflict(
            f"CLADNet {group} has a volume {name!r} already", hint="choose another name, or delete that volume first"
        )
    return specification


def list_all(store: Store, group: str | None = None) -> tuple[VolumeView, ...]:
    """Return every volume, of one group or of all, by group and name."""
    if group is None:
        found = {key.removeprefix(keys.VOLUME).partition("/")[0] for key in store.revisions(keys.VOLUME)}
        groups = sorted(filter(is_segment, found))
    else:
        groups = [group]
    return tuple(view for name in groups for view in _views(store, name))


def find(store: Store, group: str, name: str) -> VolumeView:
    """Return one volume with its mounts; NotFound without it."""
    for view in _views(store, group):
        if view.name == name:
            return view
    raise unknown(group, name)


def delete(store: Store, group: str, name: str, *, force: bool = False, keep_s: int = KEEP_S) -> None:
    """Ask for a volume and everything in it to be moved into the trash.

    Args:
        force: take it away from the hosts that have it mounted first.
        keep_s: seconds for which it can be taken back (`trash.undelete`); with 0 it is destroyed at once.

    Raises:
        InvalidInput: `keep_s` cannot be used.
        NotFound: no such volume.
        Conflict: it is mounted somewhere, and `force` is not set.
    """
    if not 0 <= keep_s <= MOST_KEPT_S:
        raise InvalidInput(f"a volume cannot stay in the trash for {keep_s} s", hint="from 0s to 3650d")
    volume = records.volume(store, group, name)
    if volume is None:
        raise unknown(group, name)
    mounts = [item for (_, volume_name), item in records.mounts_of(store, group).items() if volume_name == name]
    of_all = records.mounts_everywhere(store, group).get(name)
    if (mounts or of_all) and not force:
        where = "every host" if of_all else ", ".join(sorted(item.value.host for item in mounts))
        raise Conflict(f"volume {name} is mounted on {where}", hint=f"larva volume unmount {name} --all, or --force")
    outside = [item for (other, _), item in records.connections_of(store, group).items() if other == name]
    if outside and not force:
        machines = ", ".join(sorted(item.value.machine for item in outside))
        raise Conflict(f"{machines} outside is connected to volume {name}", hint="larva volume disconnect, or --force")
    remove(
        store, [*(item.key for item in mounts), *(item.key for item in outside)]
    )  # when it is interrupted here, the volume was unmounted
    deleting = Put(volume.key, replace(volume.value, phase=VolumePhase.DELETING, keep_s=keep_s))
    operations: list[Operation] = [deleting, *([Delete(of_all.key)] if of_all else [])]
    if not store.transact([Condition(volume.key, volume.revision)], operations):
        raise Conflict(f"somebody else changed volume {name} meanwhile", hint="retry")


def remove(store: Store, mounts: Sequence[str]) -> None:
    """Remove keys, as many in one transaction as etcd takes."""
    for start in range(0, len(mounts), members.MOST_NAMED):
        store.transact([], [Delete(key) for key in mounts[start : start + members.MOST_NAMED]])


def wait_ready(store: Store, group: str, name: str, *, timeout_s: float) -> VolumeView:
    """Wait until the volume can be mounted; the storage hosts' own words in the error when it cannot."""
    return wait(lambda: until.ready(find(store, group, name)), f"volume {name} is not ready", timeout_s)


def wait_mounted(store: Store, group: str, name: str, hosts: Sequence[str], *, timeout_s: float) -> VolumeView:
    """Wait until every host of `hosts` has the volume mounted; the hosts' own words in the error otherwise."""
    what = f"volume {name} is not mounted everywhere"
    return wait(lambda: until.mounted(find(store, group, name), hosts), what, timeout_s)


def wait_unmounted(store: Store, group: str, name: str, hosts: Sequence[str], *, timeout_s: float) -> VolumeView:
    """Wait until no host of `hosts` has the volume mounted any more."""
    what = f"volume {name} is still mounted"
    return wait(lambda: until.unmounted(find(store, group, name), hosts), what, timeout_s)


def wait_deleted(store: Store, group: str, name: str, *, timeout_s: float) -> None:
    """Wait until the volume is in the trash, and its name free."""
    await_deleted(lambda: find(store, group, name), name, timeout_s=timeout_s)


def await_deleted(find: Callable[[], VolumeView], name: str, *, timeout_s: float) -> None:
    """Wait until `find` does not find the volume."""

    def look() -> tuple[None, bool, str]:
        try:
            view = find()
        except NotFound:
            return None, True, ""
        return None, False, view.problem or "the storage hosts have not removed it yet"

    wait(look, f"volume {name} is not deleted", timeout_s)


def wait(look: Callable[[], tuple[T, bool, str]], what: str, timeout_s: float) -> T:
    """Look until it is so, and return what was seen.

    Args:
        look: returns what it saw, whether it is so, and words for when it is not.
        what: what is not so, for the error.

    Raises:
        TimedOut: with the last words.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        value, done, words = look()
        if done:
            return value
        if time.monotonic() > deadline:
            raise TimedOut(
                f"{what} after {timeout_s:g} s\n{words}", hint="larva storage status shows the cluster's health"
            )
        time.sleep(POLL_S)


def active(store: Store, group: str, name: str) -> Versioned[VolumeSpecification]:
    """Return a volume that is not being deleted; NotFound or Conflict otherwise."""
    item = records.volume(store, group, name)
    if item is None:
        raise unknown(group, name)
    if item.value.phase is VolumePhase.DELETING:
        raise Conflict(f"volume {name} is being deleted")
    return item


def unknown(group: str, name: str) -> LarvaError:
    """What to raise for a volume that is not there."""
    return NotFound(f"CLADNet {group} has no volume {name!r}", hint="larva volume list")


def _views(store: Store, group: str) -> list[VolumeView]:
    specifications = [item.value for item in records.volumes(store, group).values()]
    states = records.volume_states(store, group)
    copies = records.copies(store, group)
    of_all = records.mounts_everywhere(store, group)
    asked = records.asked_of(store, group, members.hosts(store, group) if of_all else ())
    shares = records.shares_of(store, group)
    wanted = list(records.allowed_of(asked, shares).values())
    actual = [item.value for item in records.mount_states_of(store, group).values()]
    everywhere = {name: item.value.volume_id for name, item in of_all.items()}
    views = [
        _view(volume, states.get(volume.name), wanted, actual, everywhere=everywhere.get(volume.name) == volume.id)
        for volume in specifications
    ]
    views = [replace(view, shares=shares[view.id].shares) if view.id in shares else view for view in views]
    names = {volume.id: volume.name for volume in specifications}
    for volume_id, item in mirror_records.mirrors_of(store, group).items():
        source = names.get(item.value.source_id, item.value.source_id) if item.value else "?"
        views = [replace(view, mirror_of=source) if view.id == volume_id else view for view in views]
    return [_filled(view, copies[view.id].value) if view.id in copies else view for view in views]


def _filled(view: VolumeView, wish: CopyWish) -> VolumeView:
    """A volume that is filled from a snapshot is not ready, whatever has been made of it."""
    return replace(view, ready=False, copied_bytes=wish.copied_bytes, problem=view.problem or wish.problem)


def _view(
    volume: VolumeSpecification,
    state: VolumeState | None,
    wanted: Sequence[MountSpecification],
    actual: Sequence[MountState],
    *,
    everywhere: bool,
) -> VolumeView:
    current = state if state is not None and state.id == volume.id else None
    reports = {report.host: report for report in actual if report.volume_id == volume.id}
    mounts = []
    for wish in wanted:
        if wish.volume_id != volume.id:
            continue
        report = reports.pop(wish.host, None)
        mounts.append(
            MountView(
                host=wish.host, path=wish.path, phase=report.phase if report else MountPhase.PENDING,
                client=report.client if report else "", problem=report.problem if report else "",
                read_only=wish.read_only,
            )
        )  # fmt: skip
    mounts += [
        MountView(
            host=left.host, path=left.path, phase=left.phase, client=left.client, problem=left.problem, leaving=True
        )
        for left in reports.values()
    ]
    return VolumeView(
        group=volume.group, name=volume.name, id=volume.id, size_bytes=volume.size_bytes,
        quota_bytes=current.size_bytes if current else 0, used_bytes=current.used_bytes if current else 0,
        ready=bool(current and current.ready),
        phase=volume.phase, problem=current.problem if current else "", created_at=volume.created_at,
        mounts=tuple(sorted(mounts, key=lambda mount: mount.host)), promise=volume.promise, everywhere=everywhere,
    )  # fmt: skip
