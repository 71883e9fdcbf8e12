"""A volume's quota, made larger or smaller while the volume is mounted."""

from dataclasses import replace

from cbstorage import records
from cbstorage.model import VolumePhase, VolumeSpecification
from cbstorage.wanted import mirror_guards, sizes, until, volumes
from cbstorage.wanted.volumes import VolumeView
from cladnet.etcd.store import Store
from larva.errors import Conflict


def resize(store: Store, group: str, name: str, size_bytes: int, *, force: bool = False) -> VolumeSpecification:
    """Ask for another quota; asking for the present one changes nothing.

    Args:
        size_bytes: the quota wanted.
        force: also when more than that is in use: nothing is lost, and nobody can write until some of it is removed.

    Raises:
        NotFound: no such volume.
        InvalidInput: the size cannot be used.
        Conflict: more is in use, as counted last, or the volume is being deleted, or it is a mirror.
    """
    sizes.check_volume(size_bytes)
    volume = records.volume(store, group, name)
    if volume is None:
        raise volumes.unknown(group, name)
    if volume.value.phase is VolumePhase.DELETING:
        raise Conflict(f"volume {name} is being deleted")
    mirror_guards.refuse(store, volume.value, "it is as large as its source", hint="resize that; or promote it first")
    used = volumes.find(store, group, name).used_bytes
    if size_bytes < used and not force:
        raise Conflict(
            f"volume {name} holds {sizes.show(used)}, more than {sizes.show(size_bytes)}",
            hint="remove some of it first; --force sets the size all the same, and nothing can be written until then",
        )
    wanted = replace(volume.value, size_bytes=size_bytes)
    if wanted != volume.value:
        store.replace(volume, wanted)
    return wanted


def wait_resized(store: Store, group: str, name: str, *, timeout_s: float) -> VolumeView:
    """Wait until the quota in force is the one wanted."""
    what = f"volume {name} is not resized"
    return volumes.wait(lambda: until.resized(volumes.find(store, group, name)), what, timeout_s)
