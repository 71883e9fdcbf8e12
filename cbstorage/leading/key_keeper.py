"""Cephx keys that are replaced: the leading monitor's host makes them, hands them out and ends the old ones.

`key_plan` says what is next; everything here can be done twice, and two leaders for a moment do no harm.
"""

import logging
import time
from collections.abc import Collection, Sequence

from cbstorage import keys, records, view
from cbstorage.ceph import cephx, sealed_keys
from cbstorage.ceph.answers import AuthEntry, FileSystems, OsdMap
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local, services
from cbstorage.leading import key_facts, key_plan, leadership, tree
from cbstorage.leading.key_facts import Owned, Told
from cbstorage.leading.key_plan import Act, Facts, Kind
from cbstorage.leading.metadata_servers import active_metadata_servers
from cbstorage.model import DaemonKind
from cbstorage.rotation_model import KeyPhase, KeyState
from cladnet.etcd.store import Store
from larva.errors import LarvaError, NotFound, Unavailable

log = logging.getLogger(__name__)

LOOK_S = 30.0
UNSETTLED_S = 2.0


class KeyKeeper:
    """The cephx keys of one CLADNet's storage, as a monitor's host keeps them; only the leading monitor's acts."""

    def __init__(self, store: Store, group: str, host: str) -> None:
        self._store = store
        self._group = group
        self._host = host
        self._looked = float("-inf")

    def prefixes(self) -> list[str]:
        """What wakes the reconciler."""
        return [
            keys.key_rotations_of(self._group), keys.mount_states_of(self._group), keys.daemons_of(self._group),
            keys.mount_keys_of(self._group),
        ]  # fmt: skip

    def reconcile(self) -> float:
        """Bring every key that should be replaced a step nearer to that; return when to look again."""
        seen = view.read(self._store, self._group)
        if seen is None or not leadership.has_keys(seen, self._host):
            return LOOK_S
        left = self._looked + LOOK_S - time.monotonic()
        if left > 0 and not records.key_rotations(self._store, self._group):
            return left  # nobody ever asked; ages are looked at now and then
        try:
            with Monitors(local.CONFIGURATION, entity=cephx.ADMIN, keyring=local.keyring_of(cephx.ADMIN)) as monitors:
                if not leadership.leads(monitors, seen, self._host):
                    return LOOK_S / 3
                again = self.tend(monitors, seen)
                self._looked = time.monotonic()
                return UNSETTLED_S if again else LOOK_S
        except Unavailable as error:
            log.info("keys wait: %s", error.message)
            return LOOK_S / 3

    def tend(self, monitors: Monitors, seen: view.View) -> bool:
        """Look at every key once, as the leading host; True when another look is worth while soon."""
        heard = key_facts.told(self._store, self._group)
        auth = key_facts.authorities(monitors)
        again, names = False, set()
        for one in key_facts.owned(self._store, monitors, seen, auth):
            names.add(one.entity)
            try:
                again |= self._further(monitors, one, auth[one.entity], heard)
            except Unavailable:
                raise
            except LarvaError as error:  # one key's trouble keeps no other waiting
                log.warning("the key of %s is not replaced: %s", one.entity, error.message)
                again = True
        for entity in heard.states.keys() - names:
            self._store.delete(key_facts.state_key(self._group, entity))
        return again

    def _further(self, monitors: Monitors, one: Owned, entry: AuthEntry, heard: Told) -> bool:
        known = key_facts.facts(one, entry, heard)
        if known.is_under_way():
            entry = _entry(monitors, one.entity)
            known = key_facts.facts(one, entry, heard)
        step = key_plan.step(known, may_commit=known.kind is not Kind.DAEMON or self._may_commit(monitors, known))
        if step.act is Act.END:
            self._end(monitors, one)
        if step.state != known.state:
            self._say(known.state, step.state)
        if step.act is Act.MAKE:
            services.pending(monitors, one.entity)
            # At once, by this connection: a login by a wrong key, whoever's, makes Ceph take the next one for good.
            entry = _entry(monitors, one.entity)
            self._seal(one, entry, key_facts.facts(one, entry, heard))
        elif step.act is Act.CLEAR:
            monitors.run("auth clear-pending", entity=one.entity)
        elif step.act is Act.COMMIT:
            monitors.run("auth commit-pending", entity=one.entity)
            log.info("%s has its new key only", one.entity)
        elif step.act is Act.SEAL:
            self._seal(one, entry, known)
        return step.again

    def _seal(self, one: Owned, entry: AuthEntry, known: Facts) -> None:
        present = cephx.Identity(entity=one.entity, key=entry.key)
        following = cephx.Identity(entity=one.entity, key=entry.pending_key) if entry.pending_key else None
        for host, sealed in one.sealed.items():
            holder = known.holders[host]
            if (holder.sealed, holder.sealed_next) == (known.key, known.pending):
                continue
            # Read again: another identity of this host may have been put there by this same look.
            current = self._store.get(sealed.key, type(sealed.value))
            if current is None or current.value.seal_key != sealed.value.seal_key:
                continue
            new = sealed_keys.with_identity(current.value, present, following, one.entity)
            self._store.replace(current, new)
            log.info("sealed to %s the key of %s%s", host, one.entity, " and the one that follows" if following else "")

    def _say(self, before: KeyState | None, state: KeyState) -> None:
        records.tell(self._store, key_facts.state_key(self._group, state.entity), state)
        if before is not None and before.number != state.number:
            log.info("the key of %s is replaced", state.entity)
        elif before is not None and before.phase is not state.phase:
            log.info("the key of %s: %s", state.entity, state.phase)

    def _end(self, monitors: Monitors, one: Owned) -> None:
        servers = active_metadata_servers(monitors)
        order = tree.Order(
            entity=cephx.ADMIN, keyring=local.keyring_of(cephx.ADMIN),
            evict=(tree.Evict(entity=one.entity, servers=servers),),
        )  # fmt: skip
        tree.carry_out(order)
        log.info("ended what was opened with the old key of %s", one.entity)

    def _may_commit(self, monitors: Monitors, known: Facts) -> bool:
        if not any(wish.now for wish in known.wishes):
            return False
        states = [item.value for item in records.key_states(self._store, self._group).values()]
        return may_restart(known.entity, states, monitors.ask("osd dump", OsdMap), monitors.ask("fs dump", FileSystems))


def may_restart(entity: str, states: Collection[KeyState], osd_map: OsdMap, maps: FileSystems) -> bool:
    """Whether a daemon may be cut off from its old key now: one after the other, and none while an OSD is missing.

    One that does not run may be at any time.
    """
    up = {f"{DaemonKind.OSD}.{one.osd}" for one in osd_map.osds if one.up}
    servers: Sequence[str] = [one.name for one in maps.standbys]
    servers = [*servers, *(one.name for fs in maps.filesystems for one in fs.mdsmap.info.values())]
    running = up | {f"{DaemonKind.MDS}.{name}" for name in servers}
    if entity not in running:
        return True
    restarting = {one.entity for one in states if one.phase is KeyPhase.ENDING} & running
    whole = all(one.up for one in osd_map.osds if one.weight > 0)
    return whole and not restarting - {entity}


def _entry(monitors: Monitors, entity: str) -> AuthEntry:
    found = monitors.ask("auth get", tuple[AuthEntry, ...], entity=entity)
    if len(found) != 1:
        raise NotFound(f"Ceph knows no {entity}")
    return found[0]
