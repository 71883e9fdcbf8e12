"""The reconciler of volumes: the leading monitor's host makes, sizes, hands out and removes them."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from cbstorage import ground, keys, mirror_records, records, view
from cbstorage.ceph import cephx
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.leading import leadership, mount_keys, promise_pools, tree
from cbstorage.leading.connection_keeper import ConnectionKeeper
from cbstorage.leading.copy_access import CopyAccess
from cbstorage.leading.copy_keeper import CopyKeeper
from cbstorage.leading.metadata_servers import active_metadata_servers
from cbstorage.leading.mirror_keeper import MirrorKeeper
from cbstorage.leading.mount_keys import MountKeys
from cbstorage.leading.patience import Patience
from cbstorage.leading.snapshot_keeper import SnapshotKeeper
from cbstorage.leading.trash_keeper import TrashKeeper
from cbstorage.leading.volume_plan import Desired, is_made, lingering, plan
from cbstorage.model import (
    VolumePhase,
    VolumeSpecification,
    VolumeState,
)
from cbstorage.view import View
from cbstorage.volume_model import Trashed
from cladnet.etcd.store import Condition, Delete, Put, Store, Versioned
from larva.errors import Conflict, LarvaError, Unavailable

log = logging.getLogger(__name__)

LOOK_S = 30.0
"""Between two counts of the bytes in use."""
UNSETTLED_S = 2.0
LINGER_S = 120.0
"""How long a host may take to let go of a mount that nobody wants; then its key goes, and it is shut out."""


class VolumeKeeper:
    """The volumes of one CLADNet, as a monitor's host keeps them; only the leading monitor's acts."""

    def __init__(self, store: Store, group: str, host: str) -> None:
        self._store = store
        self._group = group
        self._host = host
        self._last_words = ""
        self._counted = float("-inf")
        self._copies = CopyKeeper(store, group)
        self._mirrors = MirrorKeeper(store, group)
        self._snapshots = SnapshotKeeper(store, group, self._snap)
        self._trash = TrashKeeper(store, self._purge)
        self._connections = ConnectionKeeper(store, group, self._end_sessions)
        self._keys = MountKeys(store, group, self._evict)
        self._patience = Patience[tuple[str, str]](LINGER_S)

    def prefixes(self) -> list[str]:
        """What wakes the reconciler."""
        return [
            keys.cluster_state(self._group),
            keys.volumes_of(self._group),
            keys.volume_shares_of(self._group),
            keys.mounts_of(self._group),
            keys.mounts_everywhere_of(self._group),
            keys.mount_states_of(self._group),
            keys.trash_of(self._group),
            keys.snapshots_of(self._group),
            keys.snapshot_schedules_of(self._group),
            *self._connections.prefixes(),
            keys.copies_of(self._group),
            *self._mirrors.prefixes(),
        ]

    def reconcile(self) -> float:
        """Bring volumes and keys nearer to what is wanted; return when to look again."""
        seen = view.read(self._store, self._group)
        if seen is None or not leadership.has_keys(seen, self._host):
            return LOOK_S
        desired = self._desired(seen)
        trash = records.trash(self._store, self._group)
        if not desired.volumes and not desired.handed_out and not trash and self._connections.is_idle():
            return LOOK_S
        try:
            with Monitors(local.CONFIGURATION, entity=cephx.ADMIN, keyring=local.keyring_of(cephx.ADMIN)) as monitors:
                if not leadership.leads(monitors, seen, self._host):
                    self._copies.stop()
                    self._mirrors.stop()
                    return LOOK_S / 3
                settled = self._act(monitors, seen, desired)
                filled = (item.value for item in desired.volumes if item.value.id not in desired.copies)
                settled &= self._connections.act(monitors, {volume.name: volume for volume in filled})
                return LOOK_S if self._trash.keep(trash) and settled else UNSETTLED_S
        except Unavailable as error:
            # While the cluster comes up this is no failure to back off from: whoever waits for a volume waits for us.
            if error.message != self._last_words:
                self._last_words = error.message
                log.info("volumes wait: %s", error.message)
            return UNSETTLED_S

    def _desired(self, seen: View) -> Desired:
        group = self._group
        return Desired(
            volumes=tuple(records.volumes(self._store, group).values()),
            states=records.volume_states(self._store, group),
            mounts=records.asked_of(self._store, group, seen.hosts),
            reports={pair: item.value for pair, item in records.mount_states_of(self._store, group).items()},
            handed_out=records.mount_keys_of(self._store, group),
            copies=records.copies(self._store, group),
            shares=records.shares_of(self._store, group),
        )

    def _act(self, monitors: Monitors, seen: View, desired: Desired) -> bool:
        """Do what the plan says; True when nothing was left undone."""
        seal_keys = {host: information.seal_key for host, information in seen.hosts.items()}
        desired = replace(desired, dead=mount_keys.dead(monitors, desired))
        leaving = lingering(desired, seal_keys)
        todo = plan(desired, seal_keys, self._patience.overdue(leaving))
        # What goes on with the next look: a removal that is not through, and what may be done once keys are back.
        settled = not todo.remove and not todo.take_back
        active: tuple[str, ...] = ()
        if todo.make or todo.remove or todo.take_back or todo.fill:
            active = active_metadata_servers(monitors)
        for volume in todo.make:
            settled &= self._try(volume, partial(self._make, monitors, seen, volume))
        volumes = {item.value.name: item.value for item in desired.volumes}
        for mount in todo.hand_out:
            volume = volumes[mount.volume]
            given = desired.handed_out.get((mount.host, mount.volume))
            settled &= self._apart(partial(self._keys.hand_out, monitors, seen, volume, mount, given))
        if todo.take_back:
            back = {pair: desired.handed_out[pair] for pair in todo.take_back}
            settled &= self._apart(partial(self._keys.take_back, monitors, active, back))
        for item in todo.remove:
            settled &= self._try(item.value, partial(self._discard, item))
        whole = [
            item
            for item in desired.volumes
            if item.value.phase is VolumePhase.ACTIVE and is_made(item.value, desired.states.get(item.value.name))
        ]
        made = [item.value for item in whole]
        copied = {(item.value.source_id, item.value.snapshot) for item in desired.copies.values()}
        for volume, changes in self._snapshots.due(made, copied | self._mirrors.needed()):
            settled &= self._try(volume, partial(self._snapshots.carry_out, volume, changes)) and not changes.again
        settled &= self._copies.keep(desired.copies, todo.fill, CopyAccess(monitors, self._evict, active))
        access = partial(self._access, monitors)
        settled &= self._mirrors.keep(whole, desired.copies, access)
        if settled or time.monotonic() - self._counted >= LOOK_S:
            self._counted = time.monotonic()
            self._count(made)
        return settled

    def _access(self, monitors: Monitors) -> CopyAccess:
        return CopyAccess(monitors, self._evict, active_metadata_servers(monitors))

    def _apart(self, action: Callable[[], None]) -> bool:
        """Run one host's step; its trouble keeps no other host waiting."""
        try:
            action()
        except Unavailable:
            raise
        except LarvaError as error:
            log.warning("%s", error.message)
            return False
        return True

    def _try(self, volume: VolumeSpecification, action: Callable[[], None]) -> bool:
        """Run one volume's step; its trouble is written where its owner looks, and keeps no other volume waiting."""
        try:
            action()
        except LarvaError as error:
            log.warning("volume %s: %s", volume.name, error.message)
            key = keys.volume_state(self._group, volume.name)
            current = self._store.get(key, VolumeState)
            old = current.value if current and current.value.id == volume.id else VolumeState(id=volume.id, ready=False)
            self._store.put(key, replace(old, problem=error.message))
            return False
        return True

    def _order(
        self,
        *,
        make: tuple[tree.Make, ...] = (),
        count: tuple[str, ...] = (),
        discard: tuple[tree.Discard, ...] = (),
        purge: tuple[str, ...] = (),
        evict: tuple[tree.Evict, ...] = (),
        snap: tuple[tree.Snap, ...] = (),
        unsnap: tuple[tree.Snap, ...] = (),
    ) -> tree.Answer:
        order = tree.Order(
            entity=cephx.ADMIN,
            keyring=local.keyring_of(cephx.ADMIN),
            make=make,
            count=count,
            discard=discard,
            purge=purge,
            evict=evict,
            snap=snap,
            unsnap=unsnap,
        )
        return tree.carry_out(order)

    def _make(self, monitors: Monitors, seen: View, volume: VolumeSpecification) -> None:
        if volume.promise is not None:
            rtts = ground.measured(self._store, self._group)
            promise_pools.ensure(monitors, volume.promise, promise_pools.survey(monitors, seen, rtts, up=False))
        mirror = mirror_records.mirrors_of(self._store, self._group).get(volume.id)
        # While a mirror changes from one state to the next it holds some of both: its source's quota is what bounds it.
        copy = records.copies(self._store, self._group).get(volume.id)
        unbounded = mirror is not None or (copy is not None and copy.value.without_quota)
        wish = tree.Make(
            path=volume.path, namespace=volume.namespace, size_bytes=0 if unbounded else volume.size_bytes,
            trash=volume.trash_path, pool=volume.data_pool if volume.promise else "",
        )  # fmt: skip
        used = self._order(make=(wish,), count=(volume.path,)).used_bytes[volume.path]
        state = VolumeState(id=volume.id, ready=True, size_bytes=volume.size_bytes, used_bytes=used)
        still = [Condition(keys.mirror(self._group, volume.id), mirror.revision if mirror else 0)]
        if copy is not None and unbounded:
            still.append(Condition(copy.key, copy.revision))
        if not self._store.transact(still, [Put(keys.volume_state(self._group, volume.name), state)]):
            raise Conflict(f"volume {volume.name} became another's mirror meanwhile, or is one no longer")
        log.info("volume %s is ready: %s", volume.name, volume.path)

    def _end_sessions(self, monitors: Monitors, entities: Sequence[str]) -> None:
        self._evict(entities, active_metadata_servers(monitors))

    def _evict(self, entities: Sequence[str], servers: tuple[str, ...]) -> None:
        if entities:
            self._order(evict=tuple(tree.Evict(entity=entity, servers=servers) for entity in entities))

    def _discard(self, item: Versioned[VolumeSpecification]) -> None:
        """Put a volume into the trash; from there it comes back, or is destroyed in time. Its name is free then."""
        volume = item.value
        self._order(discard=(tree.Discard(path=volume.path, trash=volume.trash_path),))
        state_key = keys.volume_state(self._group, volume.name)
        state = self._store.get(state_key, VolumeState)
        entry = Trashed(
            volume=replace(volume, phase=VolumePhase.ACTIVE),
            used_bytes=(state.value.used_bytes or None) if state and state.value.id == volume.id else None,
            deleted_at=datetime.now(UTC),
            keep_s=volume.keep_s,
            purging=volume.keep_s == 0,
        )
        there = keys.trashed(self._group, volume.id)
        self._store.transact(
            [Condition(item.key, item.revision), Condition(there, 0)],
            [Delete(item.key), Delete(state_key), Put(there, entry)],
        )
        log.info("volume %s is in the trash for %d s", volume.name, volume.keep_s)

    def _purge(self, volume: VolumeSpecification) -> bool:
        if self._order(purge=(volume.trash_path,)).unfinished:
            return False
        self._snapshots.forget(volume.id)
        mirrors = mirror_records.mirrors_of(self._store, self._group)
        gone = [keys.mirror(self._group, volume.id), keys.mirror_state(self._group, volume.id)]
        if not any(item.value is not None and item.value.source_id == volume.id for item in mirrors.values()):
            gone.append(keys.volume_shares(self._group, volume.id))  # they narrow its mirrors' while there are some
        self._store.transact([], [Delete(key) for key in gone])
        return True

    def _snap(self, made: tuple[tree.Snap, ...], removed: tuple[tree.Snap, ...]) -> None:
        self._order(snap=made, unsnap=removed)

    def _count(self, made: Sequence[VolumeSpecification]) -> None:
        if not made:
            return
        answer = self._order(count=tuple(volume.path for volume in made))
        for volume in made:
            key = keys.volume_state(self._group, volume.name)
            current = self._store.get(key, VolumeState)
            if current is None or current.value.id != volume.id:
                continue
            if volume.path in answer.missing:
                # A leader that was late may have moved it into the trash after it was taken back.
                log.warning("volume %s: %s is not there", volume.name, volume.path)
                self._store.replace(current, replace(current.value, ready=False))
            elif current.value.used_bytes != answer.used_bytes[volume.path]:
                used = answer.used_bytes[volume.path]
                self._store.replace(current, replace(current.value, used_bytes=used, problem=""))
