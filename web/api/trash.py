"""Deleted volumes that can still be taken back."""

from dataclasses import dataclass

from cbstorage.wanted import trash, volumes
from cbstorage.wanted.trash import TrashView
from web.api.routing import Listing, Routes
from web.api.volumes import Volume, shown
from web.context import store
from web.roles import Right

routes = Routes("trash", "/cladnets/<cladnet>/volume-trash")


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeleteWish:
    """What a volume from the trash shall be called; None: as before."""

    name: str | None = None


@routes.get("", listing=Listing(name="volumes", order=lambda view: (view.name, view.id)))
def list_all(group: str) -> tuple[TrashView, ...]:
    """The deleted volumes that can be taken back."""
    return trash.list_all(store(), group)


@routes.post("/<volume>/undelete", Right.USE, status=202)
def undelete(group: str, volume: str, wish: UndeleteWish) -> Volume:
    """Take a volume back from the trash, named by its name or its id."""
    back = trash.undelete(store(), group, volume, name=wish.name)
    return shown(volumes.find(store(), group, back.name))


@routes.delete("/<volume>", Right.USE)
def purge(group: str, volume: str) -> None:
    """Destroy a volume in the trash; there is no way back."""
    trash.purge(store(), group, volume)
