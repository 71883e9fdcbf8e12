"""Volumes and where they are mounted."""

from dataclasses import dataclass

from flask import Blueprint, Response, request, url_for

from cbstorage.wanted import mounting, promises, resizing, trash, volumes
from cbstorage.wanted.volumes import VolumeView
from cladnet import networks
from larva import codec
from web import body
from web.context import store

blueprint = Blueprint("volumes", __name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeWish:
    """What a caller says of a volume to be created."""

    name: str
    size_bytes: int
    survive: str | None = None
    """What its data outlives, a word of placement's policies; None: as much as the OSDs allow."""
    home: str = ""
    kept_for: tuple[str, ...] | None = None
    """The hosts that may have it, and no others; None: every host of the CLADNet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeWish:
    """The quota that a volume is to have; `force`: also when more is in use."""

    size_bytes: int
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MountWish:
    """On which hosts, by name, a volume is to be mounted, and where on them; None: on all that are and will be."""

    hosts: tuple[str, ...] | None
    path: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnmountWish:
    """From which hosts a volume is to be taken; None: from all."""

    hosts: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeleteWish:
    """What a volume from the trash shall be called; None: as before."""

    name: str | None = None


def shown(view: VolumeView) -> dict[str, object]:
    """Return a volume as programs and scripts read it."""
    return {**codec.to_builtins(view), "status": view.status}


@blueprint.get("/volumes")
def list_everywhere() -> Response:
    """The volumes of every CLADNet."""
    return body.answer({"volumes": [shown(view) for view in volumes.list_all(store())]})


@blueprint.get("/cladnets/<cladnet>/volumes")
def list_all(cladnet: str) -> Response:
    """The volumes of one CLADNet."""
    group = networks.find(store(), cladnet).id
    return body.answer({"volumes": [shown(view) for view in volumes.list_all(store(), group)]})


@blueprint.get("/cladnets/<cladnet>/promises")
def list_promises(cladnet: str) -> Response:
    """What a volume can be promised to survive, written from `?home=`, and what a write costs then."""
    group = networks.find(store(), cladnet).id
    return body.answer(promises.preview(store(), group, request.args.get("home", "")))


@blueprint.post("/cladnets/<cladnet>/volumes")
def create(cladnet: str) -> Response:
    """Ask for a new volume."""
    group = networks.find(store(), cladnet).id
    wish = body.read(VolumeWish)
    promise = promises.parse(wish.survive, wish.home)
    volume = volumes.create(store(), group, wish.name, wish.size_bytes, promise, kept_for=wish.kept_for)
    return body.created(volume, url_for(".show", cladnet=group, name=volume.name))


@blueprint.get("/cladnets/<cladnet>/volumes/<name>")
def show(cladnet: str, name: str) -> Response:
    """One volume with its mounts."""
    return body.answer(shown(volumes.find(store(), networks.find(store(), cladnet).id, name)))


@blueprint.delete("/cladnets/<cladnet>/volumes/<name>")
def delete(cladnet: str, name: str) -> Response:
    """Ask for a volume to be moved into the trash; it must be mounted nowhere."""
    volumes.delete(store(), networks.find(store(), cladnet).id, name)
    return body.done()


@blueprint.post("/cladnets/<cladnet>/volumes/<name>/resize")
def resize(cladnet: str, name: str) -> Response:
    """Ask for another quota."""
    group = networks.find(store(), cladnet).id
    wish = body.read(SizeWish)
    resizing.resize(store(), group, name, wish.size_bytes, force=wish.force)
    return body.answer(shown(volumes.find(store(), group, name)), 202)


@blueprint.post("/cladnets/<cladnet>/volumes/<name>/mount")
def mount(cladnet: str, name: str) -> Response:
    """Ask for a volume to be mounted on hosts, and kept mounted."""
    group = networks.find(store(), cladnet).id
    wish = body.read(MountWish)
    mounting.mount(store(), group, name, wish.hosts, wish.path, read_only=wish.read_only)
    return body.answer(shown(volumes.find(store(), group, name)), 202)


@blueprint.post("/cladnets/<cladnet>/volumes/<name>/unmount")
def unmount(cladnet: str, name: str) -> Response:
    """Ask for a volume to be taken away from hosts."""
    group = networks.find(store(), cladnet).id
    mounting.unmount(store(), group, name, body.read(UnmountWish).hosts)
    return body.answer(shown(volumes.find(store(), group, name)), 202)


@blueprint.get("/cladnets/<cladnet>/volume-trash")
def list_trash(cladnet: str) -> Response:
    """The deleted volumes that can be taken back."""
    group = networks.find(store(), cladnet).id
    return body.answer({"volumes": [codec.to_builtins(view) for view in trash.list_all(store(), group)]})


@blueprint.post("/cladnets/<cladnet>/volume-trash/<volume>/undelete")
def undelete(cladnet: str, volume: str) -> Response:
    """Take a volume back from the trash, named by its name or its id."""
    group = networks.find(store(), cladnet).id
    back = trash.undelete(store(), group, volume, name=body.read(UndeleteWish).name)
    return body.answer(shown(volumes.find(store(), group, back.name)), 202)


@blueprint.delete("/cladnets/<cladnet>/volume-trash/<volume>")
def purge(cladnet: str, volume: str) -> Response:
    """Destroy a volume in the trash; there is no way back."""
    trash.purge(store(), networks.find(store(), cladnet).id, volume)
    return body.done()
