"""Mirrors as etcd has them, and what they leave of mounts and shares."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from etcd3.utils import prefix_range_end

from cbstorage import keys
from cbstorage.mirror_model import MirrorState, VolumeMirror
from cbstorage.model import MountSpecification
from cbstorage.share_model import VolumeShares, common
from cladnet.etcd.store import Store, Versioned
from cladnet.keys import child
from larva.errors import MalformedData

log = logging.getLogger(__name__)

K = TypeVar("K")

Mirrors = Mapping[str, Versioned[VolumeMirror | None]]
"""By the id of the volume that follows; None for a record that cannot be read, or lacks its signature."""


def mirrors_of(store: Store, group: str) -> dict[str, Versioned[VolumeMirror | None]]:
    """The volumes of a group that follow others. One whose record cannot be read follows nothing, and nobody writes."""
    prefix = keys.mirrors_of(group)
    found: dict[str, Versioned[VolumeMirror | None]] = {}
    for item in store.raw(prefix, range_end=prefix_range_end(prefix.encode())).items:
        volume_id = child(prefix, item.key)
        if volume_id is None:
            continue
        try:
            mirror: VolumeMirror | None = store.decode(item.key, item.value, VolumeMirror)
        except MalformedData as error:
            log.warning("follows nothing: %s", error)
            mirror = None
        agrees = mirror is not None and (mirror.group, mirror.volume_id) == (group, volume_id)
        found[volume_id] = Versioned(item.key, mirror if agrees else None, item.revision)
    return found


def mirror_states_of(store: Store, group: str) -> dict[str, Versioned[MirrorState]]:
    """How far mirrors are, by the id of the volume that follows."""
    found = store.children(keys.mirror_states_of(group), MirrorState)
    return {name: item for name, item in found.items() if item.value.volume_id == name}


def read_only(wishes: Mapping[K, MountSpecification], mirrors: Mapping[str, object]) -> dict[K, MountSpecification]:
    """Return mounts as they may be: of a mirror for reading only."""
    return {
        key: replace(wish, read_only=True) if wish.volume_id in mirrors else wish for key, wish in wishes.items()
    }  # fmt: skip


def narrowed(group: str, shares: Mapping[str, VolumeShares], mirrors: Mirrors) -> dict[str, VolumeShares]:
    """Return for whom volumes are kept, by id: a mirror for nobody from whom its source is kept."""
    found = dict(shares)
    for volume_id, item in mirrors.items():
        mirror = item.value
        if mirror is None:
            found[volume_id] = VolumeShares(group=group, volume_id=volume_id)
            continue
        kept = shares.get(mirror.source_id)
        if kept is not None:
            own = shares.get(volume_id)
            mine = VolumeShares(group=group, volume_id=volume_id, shares=kept.shares)
            found[volume_id] = mine if own is None else common(own, kept)
    return found
