"""Whether volumes may hold more than the OSDs have room for."""

from cbstorage import keys, records
from cbstorage.model import ClusterState
from cbstorage.wanted import sizes
from cladnet.etcd.store import Store


def warning(store: Store, group: str) -> str:
    """Say that all volumes together may hold more than there is room for; empty when not, or when nobody knows.

    That is allowed: what is not used costs nothing. But whoever fills one may then leave no room to another.
    """
    state = store.get(keys.cluster_state(group), ClusterState)
    if state is None or not state.value.room_bytes:
        return ""
    promised = sum(item.value.size_bytes for item in records.volumes(store, group).values())
    return words(promised, state.value.room_bytes)


def words(promised: int, room: int) -> str:
    """What to say where so many bytes are promised and there is room for so many; empty where that is enough."""
    if promised <= room:
        return ""
    return (
        f"the volumes of this CLADNet may hold {sizes.show(promised)} together, and its OSDs have room for "
        f"{sizes.show(room)}: when they are full nobody can write (larva storage osd add)"
    )
