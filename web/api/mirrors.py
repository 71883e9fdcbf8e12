"""Volumes that follow others from another place."""

from dataclasses import dataclass

from flask import Blueprint, Response

from cbstorage.wanted import mirrors
from cbstorage.wanted.mirrors import KEEP
from cladnet import networks
from larva import codec
from web import body
from web.context import store

blueprint = Blueprint("mirrors", __name__)


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


@blueprint.get("/cladnets/<cladnet>/mirrors")
def list_all(cladnet: str) -> Response:
    """The volumes that follow others, and how far behind they are."""
    group = networks.find(store(), cladnet).id
    return body.answer({"mirrors": [codec.to_builtins(view) for view in mirrors.list_all(store(), group)]})


@blueprint.post("/cladnets/<cladnet>/volumes/<name>/mirrors")
def create(cladnet: str, name: str) -> Response:
    """Ask for a volume that follows this one; asking again changes how often."""
    group = networks.find(store(), cladnet).id
    wish = body.read(MirrorWish)
    promise = mirrors.placed(store(), group, name, survive=wish.survive, home=wish.home)
    made = mirrors.create(store(), group, name, promise, new=wish.name, every_s=wish.every_s, keep=wish.keep)
    return body.answer(codec.to_builtins(mirrors.find(store(), group, made.name)), 202)


@blueprint.post("/cladnets/<cladnet>/mirrors/<name>/now")
def now(cladnet: str, name: str) -> Response:
    """Ask for a mirror to be brought what its source holds now."""
    group = networks.find(store(), cladnet).id
    mirrors.now(store(), group, name)
    return body.answer(codec.to_builtins(mirrors.find(store(), group, name)), 202)


@blueprint.post("/cladnets/<cladnet>/mirrors/<name>/promote")
def promote(cladnet: str, name: str) -> Response:
    """Make a mirror an ordinary volume; the answer is how it stood."""
    group = networks.find(store(), cladnet).id
    return body.answer(
        codec.to_builtins(mirrors.promote(store(), group, name, force=body.read(PromotionWish).force)), 202
    )


@blueprint.delete("/cladnets/<cladnet>/mirrors/<name>")
def stop(cladnet: str, name: str) -> Response:
    """Ask for a mirror to follow no longer; it stays as it was whole last."""
    mirrors.stop(store(), networks.find(store(), cladnet).id, name)
    return body.done()
