"""Storage's values as etcd has them, by their keys: one that does not say what its key says is left out.

Whoever writes another's name into a value of its own would otherwise speak for that other.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TypeVar

from etcd3.utils import prefix_range_end

from cbstorage import keys, mirror_records, rotation_model
from cbstorage.connection_model import OutsideConnection
from cbstorage.model import MountSpecification, MountState, SealedKeys, VolumeSpecification, VolumeState
from cbstorage.mount_model import MountEverywhere
from cbstorage.osd_model import OsdAddition, OsdProgress, OsdWish, digest
from cbstorage.rotation_model import KeyRotation, KeyState
from cbstorage.share_model import VolumeShares, allowed
from cbstorage.volume_model import CopyWish, Snapshot, SnapshotSchedule, Trashed
from cladnet.etcd.store import Store, Versioned
from cladnet.keys import child
from larva.errors import MalformedData

log = logging.getLogger(__name__)

K = TypeVar("K")
T = TypeVar("T")


def volumes(store: Store, group: str) -> dict[str, Versioned[VolumeSpecification]]:
    """The volumes of a group, by name."""
    found = store.children(keys.volumes_of(group), VolumeSpecification)
    return agreeing(found, lambda name, volume: (volume.group, volume.name) == (group, name))


def volume(store: Store, group: str, name: str) -> Versioned[VolumeSpecification] | None:
    """One volume, or None; MalformedData if what stands there is none."""
    found = store.get(keys.volume(group, name), VolumeSpecification)
    return found if found is not None and (found.value.group, found.value.name) == (group, name) else None


def volume_states(store: Store, group: str) -> dict[str, VolumeState]:
    """What was made of the volumes of a group, by name."""
    return {name: item.value for name, item in store.children(keys.volume_states_of(group), VolumeState).items()}


def trash(store: Store, group: str) -> dict[str, Versioned[Trashed]]:
    """The deleted volumes of a group, by id."""
    found = store.children(keys.trash_of(group), Trashed)
    return agreeing(found, lambda name, entry: (entry.volume.group, entry.volume.id) == (group, name))


def snapshots(store: Store, group: str) -> dict[tuple[str, str], Versioned[Snapshot]]:
    """The snapshots of a group, by volume id and name."""
    found = _pairs(store, keys.snapshots_of(group), Snapshot)
    return agreeing(found, lambda pair, one: (one.volume_id, one.name) == pair)


def snapshot_schedules(store: Store, group: str) -> dict[str, Versioned[SnapshotSchedule]]:
    """The schedules of a group, by volume id."""
    found = store.children(keys.snapshot_schedules_of(group), SnapshotSchedule)
    return agreeing(found, lambda name, one: one.volume_id == name)


def copies(store: Store, group: str) -> dict[str, Versioned[CopyWish]]:
    """What is to be copied in a group, by the id of the volume that is filled."""
    found = store.children(keys.copies_of(group), CopyWish)
    return agreeing(
        found, lambda name, wish: wish.volume_id == name and wish.source_path.startswith(f"/volumes/{group}/")
    )


def mounts_on(store: Store, group: str, host: str) -> dict[str, Versioned[MountSpecification]]:
    """The mounts wanted on one host, by volume."""
    found = store.children(keys.mounts_on(group, host), MountSpecification)
    return agreeing(found, lambda name, wish: (wish.host, wish.volume) == (host, name))


def mounts_of(store: Store, group: str) -> dict[tuple[str, str], Versioned[MountSpecification]]:
    """The mounts wanted in a group, by host and volume."""
    found = _pairs(store, keys.mounts_of(group), MountSpecification)
    return agreeing(found, lambda pair, wish: (wish.host, wish.volume) == pair)


def mounts_everywhere(store: Store, group: str) -> dict[str, Versioned[MountEverywhere]]:
    """What every host of a group should mount, by volume."""
    found = store.children(keys.mounts_everywhere_of(group), MountEverywhere)
    return agreeing(found, lambda name, wish: wish.volume == name)


def wanted_on(store: Store, group: str, host: str) -> dict[str, MountSpecification]:
    """What one host should mount and may, by volume: what is wanted of it by name comes before what is of everybody."""
    everywhere = {name: item.value.on(host) for name, item in mounts_everywhere(store, group).items()}
    asked = everywhere | {name: item.value for name, item in mounts_on(store, group, host).items()}
    if not asked:
        return {}
    return allowed_of(mirror_records.read_only(asked, mirror_records.mirrors_of(store, group)), shares_of(store, group))


def wanted_of(store: Store, group: str, hosts: Collection[str]) -> dict[tuple[str, str], MountSpecification]:
    """The mounts that are wanted in a group and may be, by host and volume.

    Args:
        hosts: those of the group, who should have what every host should.
    """
    asked = asked_of(store, group, hosts)
    return allowed_of(asked, shares_of(store, group) if asked else {})


def asked_of(store: Store, group: str, hosts: Collection[str]) -> dict[tuple[str, str], MountSpecification]:
    """The mounts that somebody wrote down, for `hosts` those too that are of every host; shares are not looked at.

    Those of a mirror are for reading only, whatever was written.
    """
    everywhere = mounts_everywhere(store, group)
    of_all = {(host, name): item.value.on(host) for name, item in everywhere.items() for host in hosts}
    asked = of_all | {pair: item.value for pair, item in mounts_of(store, group).items()}
    return mirror_records.read_only(asked, mirror_records.mirrors_of(store, group)) if asked else {}


def allowed_of(
    asked: Mapping[K, MountSpecification], shares: Mapping[str, VolumeShares]
) -> dict[K, MountSpecification]:
    """Return what of the mounts that are asked for may be; `shares` by the ids of their volumes."""
    found = {key: allowed(wish, shares.get(wish.volume_id)) for key, wish in asked.items()}
    return {key: wish for key, wish in found.items() if wish is not None}


def shares_of(store: Store, group: str) -> dict[str, VolumeShares]:
    """The hosts that volumes of a group are kept for, by volume id; a volume that is not in it is for every host.

    A record that cannot be read, or lacks its signature, keeps its volume for nobody. A mirror is for no host from
    which its source is kept. Read it after the mounts: what it says holds, whatever was asked for before it was
    written.
    """
    prefix = keys.volume_shares_of(group)
    found = {}
    for item in store.raw(prefix, range_end=prefix_range_end(prefix.encode())).items:
        volume_id = child(prefix, item.key)
        if volume_id is None:
            continue
        nobody = VolumeShares(group=group, volume_id=volume_id)
        try:
            shares = store.decode(item.key, item.value, VolumeShares)
        except MalformedData as error:
            log.warning("kept for nobody: %s", error)
            shares = nobody
        found[volume_id] = shares if (shares.group, shares.volume_id) == (group, volume_id) else nobody
    return mirror_records.narrowed(group, found, mirror_records.mirrors_of(store, group))


def mount_states_of(store: Store, group: str) -> dict[tuple[str, str], Versioned[MountState]]:
    """How the mounts of a group stand, by host and volume."""
    found = _pairs(store, keys.mount_states_of(group), MountState)
    return agreeing(found, lambda pair, state: (state.host, state.volume) == pair)


def mount_keys_of(store: Store, group: str) -> dict[tuple[str, str], Versioned[SealedKeys]]:
    """The keys that hosts were given for volumes of a group, by host and volume."""
    return _pairs(store, keys.mount_keys_of(group), SealedKeys)


def osd_wishes(store: Store, group: str) -> dict[int, Versioned[OsdWish]]:
    """What should become of single OSDs, by their ids."""
    found = store.children(keys.osd_wishes_of(group), OsdWish)
    agreed = agreeing(found, lambda name, wish: (wish.group, str(wish.osd)) == (group, name))
    return {item.value.osd: item for item in agreed.values()}


def osd_progress(store: Store, group: str) -> dict[int, OsdProgress]:
    """How far that is, by the OSDs' ids."""
    found = store.children(keys.osd_progress_of(group), OsdProgress)
    return {item.value.osd: item.value for item in agreeing(found, lambda name, it: str(it.osd) == name).values()}


def osd_additions(store: Store, group: str, host: str) -> dict[Path, OsdAddition]:
    """The devices that a host was given for OSDs besides those of its join file."""
    found = store.children(keys.osd_devices_on(group, host), OsdAddition)
    agreed = agreeing(
        found,
        lambda name, it: (it.group, it.host) == (group, host) and digest(it.device) == name,
    )
    return {Path(item.value.device): item.value for item in agreed.values()}


def key_rotations(store: Store, group: str) -> list[KeyRotation]:
    """Whose cephx keys should be replaced."""
    found = _pairs(store, keys.key_rotations_of(group), KeyRotation)
    agreed = agreeing(found, lambda pair, wish: (wish.group, wish.scope, wish.name) == (group, *pair))
    return [item.value for _, item in sorted(agreed.items())]


def key_states(store: Store, group: str) -> dict[str, Versioned[KeyState]]:
    """How the keys of a group stand, by the digests of their identities."""
    found = store.children(keys.key_states_of(group), KeyState)
    return agreeing(found, lambda name, state: rotation_model.digest(state.entity) == name)


def connections_of(store: Store, group: str) -> dict[tuple[str, str], Versioned[OutsideConnection]]:
    """The machines outside that should have volumes, by volume and machine."""
    found = _pairs(store, keys.connections_of(group), OutsideConnection)
    return agreeing(found, lambda pair, wish: (wish.volume, wish.machine) == pair)


def connection_keys_of(store: Store, group: str) -> dict[tuple[str, str], Versioned[SealedKeys]]:
    """The keys that were made for machines outside, by volume and machine."""
    return _pairs(store, keys.connection_keys_of(group), SealedKeys)


def tell(store: Store, key: str, value: object) -> None:
    """Write what this host has to say, unless it stands there; what cannot be read is written over."""
    try:
        current = store.get(key, type(value))
    except MalformedData as error:
        log.warning("written anew: %s", error)
        current = None
    if current is None or current.value != value:
        store.put(key, value)


def agreeing(found: Mapping[K, Versioned[T]], agrees: Callable[[K, T], bool]) -> dict[K, Versioned[T]]:
    """Return what agrees with its own key, and warn of the rest."""
    kept = {}
    for name, item in found.items():
        if agrees(name, item.value):
            kept[name] = item
        else:
            log.warning("left out: %s says that it is another's", item.key)
    return kept


def _pairs(store: Store, prefix: str, kind: type[T]) -> dict[tuple[str, str], Versioned[T]]:
    found = {}
    for item in store.list(prefix, kind).items:
        pair = keys.host_and_volume(prefix, item.key)
        if pair is None:
            log.warning("left out: nobody should have written %.200r", item.key)
        else:
            found[pair] = item
    return found
