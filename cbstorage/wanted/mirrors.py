"""Volumes that follow others from a distance, as desired state in etcd; the storage hosts bring them what is new."""

import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from cbstorage import keys, mirror_records, records
from cbstorage.leading import mirror_plan
from cbstorage.mirror_model import MirrorState, VolumeMirror
from cbstorage.model import VolumeSpecification
from cbstorage.promise import Promise
from cbstorage.volume_model import CopyWish, SnapshotPhase
from cbstorage.wanted import mirror_guards, mirror_siting, promises, snapshots, volumes
from cladnet.etcd.store import Condition, Delete, Operation, Put, Store, Versioned
from cladnet.placement.model import Survive
from larva.errors import Conflict, InvalidInput, NotFound

SHORTEST_S, LONGEST_S = 60, 366 * 86400
MOST_KEPT = snapshots.MOST - 1
"""They are its own once it is promoted; in a round there is one more."""
MOST_MIRRORS = 2
"""Of one volume: each has two snapshots of it, and a directory has room for about a hundred."""
KEEP = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorView:
    """One mirror, wanted and as it is."""

    group: str
    name: str
    id: str
    source: str
    """The name of the volume that it follows; empty when that is deleted."""
    source_id: str
    promise: Promise | None
    every_s: int
    keep: int
    status: str
    """One word: waiting (nothing whole is here yet), in-sync, late (so too when its source is deleted), stopped,
    trashed, unreadable."""
    complete: str | None
    """The last snapshot that is here whole."""
    complete_at: datetime | None
    lag_s: float | None
    """Seconds since then: what was written later is not here."""
    copying: str | None
    copied_files: int
    copied_bytes: int
    problem: str

    @property
    def loss(self) -> str:
        """What is lost with the source, in words."""
        if self.complete_at is None:
            return f"nothing whole has arrived in {self.name} yet"
        return f"{self.name} holds what {self.source or 'its source'} held at {self.complete_at:%Y-%m-%d %H:%M:%S} UTC"


def placed(store: Store, group: str, name: str, *, survive: str | None = None, home: str = "") -> Promise:
    """Return the promise of a mirror in a user's words: it outlives what the volume does, unless told otherwise.

    Raises:
        NotFound: no such volume.
        InvalidInput: nothing is told, or what is told is no promise.
    """
    if not home and not survive:
        raise InvalidInput(
            "say where the mirror lies", hint="--to CSP[/REGION] for its home, --survive for what it outlives"
        )
    source = volumes.find(store, group, name).promise
    promise = promises.parse(survive or (source.survive if source else Survive.HOST), home)
    if promise is None:
        raise AssertionError("what is survived was told")
    return promise


def create(
    store: Store,
    group: str,
    name: str,
    promise: Promise,
    *,
    new: str | None = None,
    every_s: int = 900,
    keep: int = KEEP,
) -> VolumeSpecification:
    """Ask for a new volume that follows another; asking again changes how often, and goes on with a stopped one.

    Args:
        promise: what the mirror's data outlives, and where it lies.
        new: its name; None for that of the other with `-mirror`.
        every_s: seconds from one whole state to the next, which is what may be lost.
        keep: how many whole states stay.

    Raises:
        NotFound: no such volume.
        InvalidInput: a name or number cannot be used, the OSDs cannot keep the promise, or one failure takes both.
        Conflict: the volume is a mirror itself, is filled or deleted, or has too many mirrors; or another volume has
            the name.
        Unavailable: nobody knows yet how the OSDs stand.
    """
    if not SHORTEST_S <= every_s <= LONGEST_S:
        raise InvalidInput(f"a mirror cannot follow every {every_s} s", hint="from 1m to 366d")
    if not 1 <= keep <= MOST_KEPT:
        raise InvalidInput(f"a mirror cannot keep {keep} states", hint=f"from 1 to {MOST_KEPT}")
    source = volumes.active(store, group, name)
    wanted = new or f"{name}-mirror"
    mirrors = mirror_records.mirrors_of(store, group)
    there = records.volume(store, group, wanted)
    if there is not None:
        return _change(store, source.value, there.value, mirrors, promise, every_s, keep)
    mirror_guards.refuse(store, source.value, "it is followed by none", hint="mirror its source once more")
    if source.value.id in records.copies(store, group):
        raise Conflict(f"volume {name} is being filled itself", hint="wait until it is ready")
    if sum(1 for one in mirrors.values() if one.value and one.value.source_id == source.value.id) >= MOST_MIRRORS:
        raise Conflict(f"volume {name} has {MOST_MIRRORS} mirrors already", hint="larva volume mirrors")
    promises.check(store, group, promise)
    fate = mirror_siting.shared_fate(source.value.promise, promise, promises.present(store, group)[1])
    if fate:
        raise InvalidInput(
            f"the loss of {fate} would take volume {name} and this mirror",
            hint="choose another place: --to CSP[/REGION], or more to survive: --survive",
        )
    made = replace(
        source.value, name=wanted, origin=None, id=secrets.token_hex(4), promise=promise, created_at=datetime.now(UTC)
    )
    mirror = VolumeMirror(
        group=group,
        volume_id=made.id,
        source_id=source.value.id,
        every_s=every_s,
        keep=keep,
        created_at=made.created_at,
    )
    key = keys.volume(group, wanted)
    operations: list[Operation] = [
        Put(source.key, source.value),  # a deletion that runs at the same time fails, or this
        Put(key, made),
        Put(keys.mirror(group, made.id), mirror),
        Put(keys.mirror_state(group, made.id), MirrorState(volume_id=made.id)),
    ]
    shares = records.shares_of(store, group).get(source.value.id)
    if shares is not None:
        operations.append(Put(keys.volume_shares(group, made.id), replace(shares, volume_id=made.id)))
    if not store.transact([Condition(source.key, source.revision), Condition(key, 0)], operations):
        raise Conflict("somebody else changed these volumes meanwhile", hint="retry")
    return made


def list_all(store: Store, group: str) -> tuple[MirrorView, ...]:
    """Return the mirrors of a group, by name; those too that lie in the trash."""
    mirrors = mirror_records.mirrors_of(store, group)
    states = mirror_records.mirror_states_of(store, group)
    by_id = {item.value.id: item.value for item in records.volumes(store, group).values()}
    trashed = {volume_id: item.value.volume for volume_id, item in records.trash(store, group).items()}
    now = datetime.now(UTC)
    found = []
    for volume_id, item in mirrors.items():
        volume = by_id.get(volume_id) or trashed.get(volume_id)
        if volume is not None:
            state = states[volume_id].value if volume_id in states else MirrorState(volume_id=volume_id)
            source = by_id.get(item.value.source_id) if item.value else None
            view = _view(volume, item.value, state, source, now)
            found.append(view if volume_id in by_id else replace(view, status="trashed"))
    return tuple(sorted(found, key=lambda view: view.name))


def find(store: Store, group: str, name: str) -> MirrorView:
    """Return one mirror; NotFound without it."""
    for view in list_all(store, group):
        if view.name == name and view.status != "trashed":
            return view
    if records.volume(store, group, name) is None:
        raise volumes.unknown(group, name)
    raise NotFound(f"volume {name} is no mirror", hint="larva volume mirrors")


def stop(store: Store, group: str, name: str) -> None:
    """Ask for a mirror to follow no longer; it stays for reading, as it was whole last. Errors as find()."""
    _rewrite(store, _mirror(store, group, name), stopped=True)


def now(store: Store, group: str, name: str) -> datetime:
    """Ask for a round out of turn, and return what `wait_whole` waits for; Conflict if it is stopped."""
    item = _mirror(store, group, name)
    if item[1].stopped:
        raise Conflict(f"{name} follows no longer", hint="larva volume mirror goes on with it")
    asked = datetime.now(UTC)
    _rewrite(store, item, now_at=asked)
    return asked


def wait_whole(store: Store, group: str, name: str, *, asked: datetime | None = None, timeout_s: float) -> MirrorView:
    """Wait until a mirror holds a whole state, with `asked` one that was begun after that; TimedOut otherwise."""

    def look() -> tuple[MirrorView, bool, str]:
        states = mirror_records.mirror_states_of(store, group)
        view = find(store, group, name)  # after its state: what it says is whole is no older
        state = states.get(view.id)
        done = state is not None and view.complete is not None and (asked is None or state.value.answered == asked)
        words = view.problem or volumes.find(store, group, name).problem
        return view, done, words or f"{view.copied_bytes} bytes are here"

    return volumes.wait(look, f"mirror {name} is not whole", timeout_s)


def promote(store: Store, group: str, name: str, *, force: bool = False) -> MirrorView:
    """Make a mirror an ordinary volume, which holds what its last whole state does, and can be written to.

    Args:
        force: also while it follows a source that is there, so that two volumes go on apart from each other.

    Returns:
        How it stood; its `loss` says what is not in it.

    Raises:
        NotFound: no such volume, or it is no mirror.
        Conflict: nothing whole has arrived yet; it follows its source; or somebody else changed it meanwhile.
    """
    view = find(store, group, name)
    item = volumes.active(store, group, name)
    mirrors = mirror_records.mirrors_of(store, group)
    own = {one: found for (whose, one), found in records.snapshots(store, group).items() if whose == view.id}
    last = own.get(view.complete or "")
    if view.complete is None or last is None or last.value.phase is SnapshotPhase.WANTED:
        raise Conflict(f"nothing whole has arrived in {name} yet", hint="larva volume mirrors; or delete it")
    if view.status == "in-sync" and not force:
        raise Conflict(
            f"{name} follows {view.source}, which is there: they would go on apart from each other. {view.loss}",
            hint="larva volume mirror-now brings what is new; --force promotes it all the same",
        )
    key = keys.copy(group, view.id)
    wish = CopyWish(
        volume_id=view.id, source_id=view.id, source_path=item.value.path, snapshot=view.complete, only_copied=True
    )
    # Until all is as in that snapshot nobody has it, and it has no quota.
    operations: list[Operation] = [
        Put(item.key, item.value), Put(key, wish), Delete(keys.volume_state(group, name)),
        Delete(keys.mirror(group, view.id)), Delete(keys.mirror_state(group, view.id)),
    ]  # fmt: skip
    conditions = [
        Condition(item.key, item.revision), Condition(key, 0),
        Condition(mirrors[view.id].key, mirrors[view.id].revision), Condition(last.key, last.revision),
    ]  # fmt: skip
    if last.value.phase is SnapshotPhase.DELETING:
        operations.append(Put(last.key, replace(last.value, phase=SnapshotPhase.MADE)))
    for other in own.values():  # of a round that has come this far
        if mirror_plan.maker(other.value.name) == view.id and other.value.phase is SnapshotPhase.WANTED:
            conditions.append(Condition(other.key, other.revision))
            operations.append(Put(other.key, replace(other.value, phase=SnapshotPhase.DELETING)))
    shares = records.shares_of(store, group).get(view.id)
    if shares is not None:  # what narrowed them is another volume's from now on
        operations.append(Put(keys.volume_shares(group, view.id), shares))
    if not store.transact(conditions, operations):
        raise Conflict(f"mirror {name} changed meanwhile", hint="look with `larva volume mirrors`, then retry")
    return view


def _change(
    store: Store,
    source: VolumeSpecification,
    volume: VolumeSpecification,
    mirrors: mirror_records.Mirrors,
    promise: Promise,
    every_s: int,
    keep: int,
) -> VolumeSpecification:
    item = mirrors.get(volume.id)
    if item is None or item.value is None or item.value.source_id != source.id:
        raise Conflict(f"CLADNet {volume.group} has a volume {volume.name!r} already", hint="choose another name: --as")
    if volume.promise != promise:
        raise Conflict(f"{volume.name} lies elsewhere for good: {volume.promise}", hint="choose another name: --as")
    _rewrite(store, (item, item.value), stopped=False, every_s=every_s, keep=keep)
    return volume


def _mirror(store: Store, group: str, name: str) -> tuple[Versioned[VolumeMirror | None], VolumeMirror]:
    item = mirror_records.mirrors_of(store, group)[find(store, group, name).id]
    if item.value is None:
        raise Conflict(f"what {name} follows cannot be read", hint="promote it, or delete it and mirror anew")
    return item, item.value


def _rewrite(store: Store, item: tuple[Versioned[VolumeMirror | None], VolumeMirror], **changes: object) -> None:
    record, mirror = item
    changed = replace(mirror, **changes)  # type: ignore[arg-type]
    if changed != mirror and not store.transact([Condition(record.key, record.revision)], [Put(record.key, changed)]):
        raise Conflict("somebody else changed this mirror meanwhile", hint="retry")


def _view(
    volume: VolumeSpecification,
    mirror: VolumeMirror | None,
    state: MirrorState,
    source: VolumeSpecification | None,
    now: datetime,
) -> MirrorView:
    lag = (now - state.complete_at).total_seconds() if state.complete_at else None
    return MirrorView(
        group=volume.group, name=volume.name, id=volume.id, source=source.name if source else "",
        source_id=mirror.source_id if mirror else "", promise=volume.promise, every_s=mirror.every_s if mirror else 0,
        keep=mirror.keep if mirror else 0, status=_status(mirror, state, now, there=source is not None),
        complete=state.complete, complete_at=state.complete_at, lag_s=None if lag is None else max(0.0, lag),
        copying=state.copying, copied_files=state.copied_files, copied_bytes=state.copied_bytes, problem=state.problem,
    )  # fmt: skip


def _status(mirror: VolumeMirror | None, state: MirrorState, now: datetime, *, there: bool) -> str:
    if mirror is None:
        return "unreadable"
    if mirror.stopped:
        return "stopped"
    if state.complete is None:
        return "waiting"
    return "late" if mirror_plan.is_late(mirror, state, now) or not there else "in-sync"
