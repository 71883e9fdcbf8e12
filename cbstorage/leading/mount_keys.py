"""The cephx identities by which hosts mount volumes: made and handed out, and taken back with all that they opened."""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from cbstorage import keys
from cbstorage.ceph import cephx, sealed_keys
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import services
from cbstorage.leading import identities
from cbstorage.leading.volume_plan import Desired
from cbstorage.model import FILE_SYSTEM, MountPhase, MountSpecification, SealedKeys, VolumeSpecification
from cbstorage.view import View
from cladnet.etcd.store import Store, Versioned
from larva.errors import NotFound

log = logging.getLogger(__name__)


class MountKeys:
    """The keys of one CLADNet's mounts.

    Args:
        evict: ends the sessions of identities at these metadata servers.
    """

    def __init__(self, store: Store, group: str, evict: Callable[[Sequence[str], tuple[str, ...]], None]) -> None:
        self._store = store
        self._group = group
        self._evict = evict

    def hand_out(
        self,
        monitors: Monitors,
        seen: View,
        volume: VolumeSpecification,
        mount: MountSpecification,
        given: Versioned[SealedKeys] | None,
    ) -> None:
        """Give a host its key for a volume, in place of what it was `given` before."""
        caps = cephx.volume_caps(
            file_system=FILE_SYSTEM,
            path=volume.path,
            data_pool=volume.data_pool,
            namespace=volume.namespace,
            read_only=mount.read_only,
        )
        identity = services.get_or_create(monitors, volume.entity(mount.host, read_only=mount.read_only), caps)
        sealed = sealed_keys.seal_keys(seen.hosts[mount.host].seal_key, [identity])
        key = keys.mount_key(self._group, mount.host, volume.name)
        if given is None:
            self._store.create(key, sealed)
        else:
            self._store.replace(given, sealed)
        log.info("gave %s its key for volume %s", mount.host, volume.name)

    def take_back(
        self, monitors: Monitors, active: tuple[str, ...], back: Mapping[tuple[str, str], Versioned[SealedKeys]]
    ) -> None:
        """Remove identities and end what they still have open: a key that is gone leaves its sessions alive.

        Args:
            active: the metadata servers that are in charge.
            back: what was handed out, by host and volume.
        """
        ended: list[str] = []
        for (host, name), given in back.items():
            ended += identities.remove(monitors, given, partial(_is_mount_entity, host=host, name=name))
        self._evict(ended, active)
        for (host, name), given in back.items():
            self._store.delete(given.key, revision=given.revision)
            log.info("took the key for volume %s back from %s", name, host)


def dead(monitors: Monitors, desired: Desired) -> frozenset[tuple[str, str]]:
    """Host and volume of the keys that the monitors know no more, of mounts that are wanted and do not stand.

    A key is taken back in steps, and a host may come back between the first of them and the last: from then on its key
    would stay in etcd and open nothing.
    """
    return frozenset(
        pair
        for pair, given in desired.handed_out.items()
        if pair in desired.mounts
        and ((report := desired.reports.get(pair)) is None or report.phase is not MountPhase.MOUNTED)
        and not all(_is_known(monitors, one.entity) for one in given.value.keys)
    )


def _is_known(monitors: Monitors, entity: str) -> bool:
    try:
        monitors.run("auth get", entity=entity)
    except NotFound:
        return False
    return True


def _is_mount_entity(entity: str, host: str, name: str) -> bool:
    """Whether an identity is one by which this host mounts a volume of this name: what stands in etcd may say more."""
    return re.fullmatch(rf"client\.{re.escape(name)}\.[0-9a-f]{{8}}\.{re.escape(host)}(\.ro)?", entity) is not None
