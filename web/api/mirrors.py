"""Volumes that follow others from another place."""

from dataclasses import dataclass

from cbstorage.wanted import mirrors
from cbstorage.wanted.mirrors import KEEP, MirrorView
from web.api.routing import Listing, Routes
from web.context import store
from web.roles import Right

routes = Routes("mirrors", "/cladnets/<cladnet>")


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorWish:
    """Where a mirror lies and what it outlives, as of a volume; how often it follows, in seconds."""

    name: str | None = None
    """Its name; None: the volume's with `-mirror`."""
    home: str = ""
    survive: str | None = None
    every_s: int = 900
    keep: int = KEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionWish:
    """Whether a mirror is promoted also while it follows a source that is there."""

    force: bool = False


@routes.get("/mirrors", listing=Listing(name="mirrors", order=lambda view: (view.name, view.id)))
def list_all(group: str) -> tuple[MirrorView, ...]:
    """The volumes that follow others, and how far behind they are."""
    return mirrors.list_all(store(), group)


@routes.post("/volumes/<name>/mirrors", Right.USE, status=202)
def create(group: str, name: str, wish: MirrorWish) -> MirrorView:
    """Ask for a volume that follows this one; asking again changes how often."""
    promise = mirrors.placed(store(), group, name, survive=wish.survive, home=wish.home)
    made = mirrors.create(store(), group, name, promise, new=wish.name, every_s=wish.every_s, keep=wish.keep)
    return mirrors.find(store(), group, made.name)


@routes.post("/mirrors/<name>/now", Right.USE, status=202)
def now(group: str, name: str) -> MirrorView:
    """Ask for a mirror to be brought what its source holds now."""
    mirrors.now(store(), group, name)
    return mirrors.find(store(), group, name)


@routes.post("/mirrors/<name>/promote", Right.USE, status=202)
def promote(group: str, name: str, wish: PromotionWish) -> MirrorView:
    """Make a mirror an ordinary volume; the answer is how it stood."""
    return mirrors.promote(store(), group, name, force=wish.force)


@routes.delete("/mirrors/<name>", Right.USE)
def stop(group: str, name: str) -> None:
    """Ask for a mirror to follow no longer; it stays as it was whole last."""
    mirrors.stop(store(), group, name)
