"""Mirrors, as the leading host brings them what their sources hold."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from cbstorage import keys, mirror_records, records
from cbstorage.leading import mirror_plan
from cbstorage.leading.copier import CopyOrder
from cbstorage.leading.copy_jobs import CopyJobs
from cbstorage.leading.copy_keeper import Access
from cbstorage.leading.mirror_plan import Snapshots, Step
from cbstorage.mirror_model import MirrorState, VolumeMirror
from cbstorage.mirror_records import Mirrors
from cbstorage.model import VolumeSpecification
from cbstorage.volume_model import Snapshot, SnapshotPhase
from cladnet.etcd.store import Condition, Put, Store, Versioned
from larva.errors import Conflict, LarvaError, Unavailable

log = logging.getLogger(__name__)

Volumes = Mapping[str, Versioned[VolumeSpecification]]
"""Those that are wanted and made, by id."""


class MirrorKeeper:
    """The mirrors of a group.

    Args:
        jobs: runs what copies.
        clock: this host's; it decides when rounds begin.
    """

    def __init__(
        self,
        store: Store,
        group: str,
        jobs: Callable[[], CopyJobs] = CopyJobs,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._clock = clock
        self._store = store
        self._group = group
        self._jobs = jobs()

    def prefixes(self) -> list[str]:
        """What wakes it."""
        return [keys.mirrors_of(self._group)]

    def keep(
        self, volumes: Sequence[Versioned[VolumeSpecification]], filling: Collection[str], access: Callable[[], Access]
    ) -> bool:
        """Look once; True when nothing was left undone.

        Args:
            volumes: those that are wanted and made.
            filling: the ids of those that are filled with something else now: they are no source.
            access: how a copier gets in, asked for only where one runs.
        """
        mirrors = mirror_records.mirrors_of(self._store, self._group)
        snapshots: dict[str, dict[str, Versioned[Snapshot]]] = {}
        for (volume_id, name), item in records.snapshots(self._store, self._group).items():
            snapshots.setdefault(volume_id, {})[name] = item
        everything = [item for each in snapshots.values() for item in each.values()]
        settled = self._remove(mirror_plan.orphans(everything, mirrors))
        there = {item.value.id: item for item in volumes if item.value.id not in filling}
        known = self._known(mirrors, snapshots)
        self._jobs.keep_only([_token(mirror, state.value) for mirror, state in known if mirror.volume_id in there])
        for mirror, state in known:
            if mirror.volume_id not in there:
                continue  # in the trash, or not made yet
            source, own = (snapshots.get(one, {}) for one in (mirror.source_id, mirror.volume_id))
            try:
                settled &= self._remove(mirror_plan.surplus(mirror, state.value, source, own))
                settled &= self._look(mirror, state, there, source, own, access)
            except Conflict as error:  # another leader, or somebody who promoted it meanwhile
                log.info("mirror %s: %s", mirror.volume_id, error.message)
                settled = False
            except Unavailable:
                raise
            except LarvaError as error:  # its trouble keeps no other volume waiting
                self._tell_anew(mirror.volume_id, error.message)
                settled = False
        return settled

    def needed(self) -> frozenset[tuple[str, str]]:
        """The volume ids and names of the snapshots that stay, whoever wants them gone."""
        mirrors = mirror_records.mirrors_of(self._store, self._group)
        states = mirror_records.mirror_states_of(self._store, self._group) if mirrors else {}
        return frozenset(
            pair
            for volume_id, item in mirrors.items()
            if item.value is not None and volume_id in states
            for pair in mirror_plan.needed(item.value, states[volume_id].value)
        )

    def stop(self) -> None:
        """End all copying: another host leads."""
        self._jobs.keep_only([])

    def _known(
        self, mirrors: Mirrors, snapshots: Mapping[str, Snapshots]
    ) -> list[tuple[VolumeMirror, Versioned[MirrorState]]]:
        """The mirrors that can be read, with how far they are; what cannot be read of that is written anew."""
        states = mirror_records.mirror_states_of(self._store, self._group)
        for volume_id in states.keys() - mirrors.keys():
            self._store.delete(states[volume_id].key)
        found = []
        for volume_id, item in mirrors.items():
            if item.value is None:
                continue
            state = states.get(volume_id)
            if state is None:
                value = mirror_plan.recovered(volume_id, snapshots.get(volume_id, {}))
                key = keys.mirror_state(self._group, volume_id)
                log.warning(
                    "mirror %s: how far it is was lost; the last that is known is %s", volume_id, value.complete
                )
                state = Versioned(key, value, self._store.put(key, value))
            found.append((item.value, state))
        return found

    def _look(
        self,
        mirror: VolumeMirror,
        state: Versioned[MirrorState],
        volumes: Volumes,
        source: Snapshots,
        own: Snapshots,
        access: Callable[[], Access],
    ) -> bool:
        now = self._clock()
        step = mirror_plan.next_step(mirror, state.value, source, own, now)
        origin = volumes.get(mirror.source_id)
        if step is Step.REST:
            return True
        if step is Step.FINISH:
            self._write(state, mirror_plan.finished(state.value))
            log.info("mirror %s holds what %s does", mirror.volume_id, state.value.copying)
        elif step is Step.GIVE_UP:
            access().take(_entity(mirror.volume_id))
            self._write(state, mirror_plan.given_up(state.value))
        elif origin is None:
            self._tell(state, "its source is deleted, not ready, or filled itself")
            return True
        elif step is Step.BEGIN:
            self._begin(mirror, state, origin, volumes[mirror.volume_id], now)
        elif step is Step.COPY:
            self._copy(mirror, state, origin.value, volumes[mirror.volume_id].value, source, access())
        return False

    def _begin(
        self,
        mirror: VolumeMirror,
        state: Versioned[MirrorState],
        origin: Versioned[VolumeSpecification],
        volume: Versioned[VolumeSpecification],
        now: datetime,
    ) -> None:
        if volume.value.size_bytes != origin.value.size_bytes:
            self._store.replace(volume, replace(volume.value, size_bytes=origin.value.size_bytes))
            return
        new = mirror_plan.begun(mirror, state.value, now)
        if new.copying is None:
            raise AssertionError("a round that begins has a name")
        wish = Snapshot(volume_id=mirror.source_id, name=new.copying, asked_at=now)
        key = keys.snapshot(self._group, mirror.source_id, wish.name)
        done = self._store.transact(
            [Condition(state.key, state.revision), Condition(origin.key, origin.revision), Condition(key, 0)],
            [Put(key, wish), Put(state.key, new)],
        )
        if not done:
            raise Conflict("somebody else began a round")

    def _copy(
        self,
        mirror: VolumeMirror,
        state: Versioned[MirrorState],
        origin: VolumeSpecification,
        volume: VolumeSpecification,
        source: Snapshots,
        access: Access,
    ) -> None:
        entity, token, name = _entity(mirror.volume_id), _token(mirror, state.value), str(state.value.copying)
        if not self._jobs.is_running(token):
            access.take(entity)
        bring = mirror_plan.how(state.value, source)
        order = CopyOrder(
            entity=entity,
            keyring=access.give(entity),
            source=f"{origin.path}/.snap/{name}",
            target=volume.path,
            trust_times=bring.trust_times,
            before=f"{origin.path}/.snap/{bring.before}" if bring.before else "",
            before_at=state.value.complete_at,
        )
        try:
            report = self._jobs.follow(token, order)
        except LarvaError as error:
            self._tell(state, error.message)
            return
        if report.files > state.value.copied_files or report.bytes > state.value.copied_bytes or state.value.problem:
            told = replace(state.value, copied_files=report.files, copied_bytes=report.bytes, problem="")
            state = self._write(state, told)
        if report.done:
            # Nobody writes from here on: what is here now is what its snapshot will hold.
            access.take(entity)
            wish = Snapshot(volume_id=mirror.volume_id, name=name, asked_at=state.value.copying_at or self._clock())
            key = keys.snapshot(self._group, mirror.volume_id, name)
            if not self._store.transact([Condition(state.key, state.revision), Condition(key, 0)], [Put(key, wish)]):
                raise Conflict("somebody else ended this round")

    def _tell(self, state: Versioned[MirrorState], problem: str) -> None:
        if state.value.problem != problem:
            log.warning("mirror %s: %s", state.value.volume_id, problem)
            self._write(state, replace(state.value, problem=problem))

    def _tell_anew(self, volume_id: str, problem: str) -> None:
        """Say what went wrong in a look, which may have written the state already."""
        state = mirror_records.mirror_states_of(self._store, self._group).get(volume_id)
        if state is None:
            log.warning("mirror %s: %s", volume_id, problem)
            return
        try:
            self._tell(state, problem)
        except Conflict as error:
            log.info("mirror %s: %s", volume_id, error.message)

    def _write(self, state: Versioned[MirrorState], value: MirrorState) -> Versioned[MirrorState]:
        return Versioned(state.key, value, self._store.replace(state, value))

    def _remove(self, items: Sequence[Versioned[Snapshot]]) -> bool:
        """Mark snapshots to be removed; True without any."""
        for item in items:
            try:
                self._store.replace(item, replace(item.value, phase=SnapshotPhase.DELETING))
            except Conflict as error:
                log.info("snapshot %s: %s", item.value.name, error.message)
        return not items


def _entity(volume_id: str) -> str:
    """Who copies into a volume: the same as for its other copies, so that whoever begins one ends all before."""
    return f"client.copy.{volume_id}"


def _token(mirror: VolumeMirror, state: MirrorState) -> str:
    return f"{mirror.volume_id}@{state.copying}"
