"""What the page of one volume tells: how it stands, whom it is for, what it was, and what follows it."""

from dataclasses import dataclass

from cbstorage.share_model import Share
from cbstorage.wanted import connections, mirrors, sharing, snapshots, volumes
from cbstorage.wanted.connections import ConnectionView
from cbstorage.wanted.mirrors import MirrorView
from cbstorage.wanted.snapshots import SnapshotList
from cladnet.etcd.store import Store
from web.api.volumes import Volume, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All of it, as a browser gets it."""

    volume: Volume
    shares: tuple[Share, ...] | None
    """The hosts that it is kept for; None: it is for every host."""
    past: SnapshotList
    mirrors: tuple[MirrorView, ...]
    """Those that follow it."""
    mirror: MirrorView | None
    """How far it is itself, where it follows another."""
    machines: tuple[ConnectionView, ...]
    """Those outside of the CLADNet that have a key for it."""


def read(store: Store, group: str, name: str) -> Facts:
    """Return what is known of a volume; NotFound without it."""
    view = volumes.find(store, group, name)
    every = mirrors.list_all(store, group)
    return Facts(
        volume=shown(view),
        shares=sharing.shares(store, group, name),
        past=snapshots.list_all(store, group, name),
        mirrors=tuple(one for one in every if one.source_id == view.id and one.status != "trashed"),
        mirror=next((one for one in every if one.id == view.id), None),
        machines=tuple(one for one in connections.list_all(store, group) if one.volume == name),
    )
