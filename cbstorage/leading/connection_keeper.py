"""Keys for machines outside: made, sealed to whoever asked, and taken back with every session that they opened."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from cbstorage import keys, records
from cbstorage.ceph import cephx, sealed_keys
from cbstorage.ceph.monitor import Monitors
from cbstorage.connection_model import OutsideConnection
from cbstorage.host import services
from cbstorage.leading import identities
from cbstorage.model import FILE_SYSTEM, SealedKeys, VolumePhase, VolumeSpecification
from cladnet.etcd.store import Store, Versioned
from larva.errors import LarvaError, Unavailable

log = logging.getLogger(__name__)

Pair = tuple[str, str]
"""Volume and machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to do, in this order: a key is back before another is made in its place."""

    take_back: tuple[Pair, ...]
    hand_out: tuple[Pair, ...]
    renew: tuple[Pair, ...] = ()
    """Another key is made beside the present one, which ends when the other is first used."""


def plan(
    wanted: Mapping[Pair, OutsideConnection],
    given: Mapping[Pair, Versioned[SealedKeys]],
    volumes: Mapping[str, VolumeSpecification],
) -> Plan:
    """Return what separates the connections that are wanted from the keys that were made."""
    good = {
        pair: wish
        for pair, wish in wanted.items()
        if (volume := volumes.get(wish.volume)) is not None
        and volume.id == wish.volume_id
        and volume.phase is VolumePhase.ACTIVE
    }

    def fits(pair: Pair) -> bool:
        made = given[pair].value
        return pair in good and made.keys[0].entity == good[pair].entity and made.seal_key == good[pair].seal_key

    return Plan(
        take_back=tuple(pair for pair in given if not fits(pair)),
        hand_out=tuple(pair for pair in good if pair not in given),
        renew=tuple(
            pair
            for pair, made in given.items()
            if fits(pair) and good[pair].renewal not in (None, made.value.next_seal_key)
        ),
    )


class ConnectionKeeper:
    """The connections of one CLADNet, as the leading host keeps them.

    Args:
        evict: ends every session of identities, by what they proved with their key.
    """

    def __init__(self, store: Store, group: str, evict: Callable[[Monitors, Sequence[str]], None]) -> None:
        self._store = store
        self._group = group
        self._evict = evict

    def is_idle(self) -> bool:
        """Whether nobody wants a connection or has one."""
        return not any(self._store.revisions(prefix) for prefix in self.prefixes())

    def prefixes(self) -> list[str]:
        """What wakes it."""
        return [keys.connections_of(self._group), keys.connection_keys_of(self._group)]

    def act(self, monitors: Monitors, volumes: Mapping[str, VolumeSpecification]) -> bool:
        """Bring keys nearer to what is wanted; True when nothing was left undone."""
        if self.is_idle():
            return True
        wanted = {pair: item.value for pair, item in records.connections_of(self._store, self._group).items()}
        given = records.connection_keys_of(self._store, self._group)
        todo, settled = plan(wanted, given, volumes), True
        for pair in todo.take_back:
            settled &= self._apart(lambda one=pair: self._take_back(monitors, one, given[one]))  # type: ignore[misc]
        for pair in todo.hand_out:
            wish = wanted[pair]
            settled &= self._apart(lambda one=wish: self._hand_out(monitors, one, volumes[one.volume]))  # type: ignore[misc]
        for pair in todo.renew:
            settled &= self._apart(lambda one=pair: self._renew(monitors, wanted[one], given[one]))  # type: ignore[misc]
        return settled and not todo.take_back

    def _apart(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except Unavailable:
            raise
        except LarvaError as error:
            log.warning("%s", error.message)
            return False
        return True

    def _hand_out(self, monitors: Monitors, wish: OutsideConnection, volume: VolumeSpecification) -> None:
        caps = cephx.volume_caps(
            file_system=FILE_SYSTEM,
            path=volume.path,
            data_pool=volume.data_pool,
            namespace=volume.namespace,
            read_only=wish.read_only,
        )
        identity = services.get_or_create(monitors, wish.entity, caps)
        sealed = sealed_keys.seal_keys(wish.seal_key, [identity])
        self._store.create(keys.connection_key(self._group, wish.volume, wish.machine), sealed)
        log.info("made a key for %s outside, for volume %s", wish.machine, wish.volume)

    def _renew(self, monitors: Monitors, wish: OutsideConnection, given: Versioned[SealedKeys]) -> None:
        if wish.renewal is None:
            return
        following = services.pending(monitors, wish.entity)
        sealed = (sealed_keys.seal_one(wish.renewal, following),)
        self._store.replace(given, replace(given.value, next=sealed, next_seal_key=wish.renewal))
        log.info("made another key for %s outside, for volume %s", wish.machine, wish.volume)

    def _take_back(self, monitors: Monitors, pair: Pair, given: Versioned[SealedKeys]) -> None:
        volume, machine = pair
        ended = identities.remove(monitors, given, partial(is_outside_entity, volume=volume, machine=machine))
        if ended:
            self._evict(monitors, ended)
        self._store.delete(given.key, revision=given.revision)
        log.info("took the key for volume %s back from %s outside", volume, machine)


def is_outside_entity(entity: str, volume: str, machine: str) -> bool:
    """Whether an identity is one that this machine had for a volume of this name: what stands in etcd may say more."""
    pattern = rf"client\.outside\.{re.escape(volume)}\.[0-9a-f]{{8}}\.{re.escape(machine)}\.[0-9a-f]{{8}}"
    return re.fullmatch(pattern, entity) is not None
