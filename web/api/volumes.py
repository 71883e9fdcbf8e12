"""Volumes and where they are mounted."""

from dataclasses import dataclass, field, fields

from flask import g, url_for

from cbstorage import keys
from cbstorage.model import VolumeSpecification
from cbstorage.wanted import mounting, promises, resizing, volumes
from cbstorage.wanted.promises import Preview
from cbstorage.wanted.volumes import KEEP_S, MountView, VolumeView
from web.api.routing import Created, Listing, Routes
from web.context import store
from web.roles import Right

routes = Routes("volumes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(VolumeView):
    """A volume as programs and scripts read it."""

    status: str = field()
    """One word: pending, ready, resizing, copying, failed, deleting."""


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
class HomeQuery:
    """Where a volume would be written from: a CSP, or `csp/region`."""

    home: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionQuery:
    """How a volume is deleted."""

    force: bool = False
    """Take it away from the hosts that have it mounted first."""
    keep_s: int = KEEP_S
    """For how long it can be taken back from the trash; 0 destroys it at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A volume on a host."""

    volume: str
    mount: MountView


def shown(view: VolumeView) -> Volume:
    """Return a volume with its status."""
    return Volume(**{one.name: getattr(view, one.name) for one in fields(view)}, status=view.status)


def _place(view: VolumeView) -> tuple[str, ...]:
    return view.group, view.name


ALL = Listing(name="volumes", order=_place)


@routes.get("/volumes", Right.OWN, listing=ALL)
def list_everywhere() -> tuple[Volume, ...]:
    """The volumes of every CLADNet; for a tenant, of its own."""
    return tuple(shown(view) for view in volumes.list_all(store()) if g.caller.sees(view.group))


@routes.get("/cladnets/<cladnet>/volumes", listing=ALL)
def list_all(group: str) -> tuple[Volume, ...]:
    """The volumes of one CLADNet."""
    return tuple(shown(view) for view in volumes.list_all(store(), group))


@routes.get("/cladnets/<cladnet>/promises")
def list_promises(group: str, query: HomeQuery) -> Preview:
    """What a volume can be promised to survive, written from `?home=`, and what a write costs then."""
    return promises.preview(store(), group, query.home)


@routes.post("/cladnets/<cladnet>/volumes", Right.USE, status=201)
def create(group: str, wish: VolumeWish) -> Created[VolumeSpecification]:
    """Ask for a new volume."""
    promise = promises.parse(wish.survive, wish.home)
    volume = volumes.create(store(), group, wish.name, wish.size_bytes, promise, kept_for=wish.kept_for)
    return Created(volume, url_for(".show", cladnet=group, name=volume.name))


@routes.get("/cladnets/<cladnet>/volumes/<name>", resource=keys.volume)
def show(group: str, name: str) -> Volume:
    """One volume with its mounts."""
    return shown(volumes.find(store(), group, name))


@routes.delete("/cladnets/<cladnet>/volumes/<name>", Right.USE, resource=keys.volume)
def delete(group: str, name: str, query: DeletionQuery) -> None:
    """Ask for a volume to be moved into the trash; it must be mounted nowhere, or taken away by force."""
    volumes.delete(store(), group, name, force=query.force, keep_s=query.keep_s)


@routes.post("/cladnets/<cladnet>/volumes/<name>/resize", Right.USE, status=202, resource=keys.volume)
def resize(group: str, name: str, wish: SizeWish) -> Volume:
    """Ask for another quota."""
    resizing.resize(store(), group, name, wish.size_bytes, force=wish.force)
    return shown(volumes.find(store(), group, name))


@routes.post("/cladnets/<cladnet>/volumes/<name>/mount", Right.USE, status=202, resource=keys.volume)
def mount(group: str, name: str, wish: MountWish) -> Volume:
    """Ask for a volume to be mounted on hosts, and kept mounted."""
    mounting.mount(store(), group, name, wish.hosts, wish.path, read_only=wish.read_only)
    return shown(volumes.find(store(), group, name))


@routes.post("/cladnets/<cladnet>/volumes/<name>/unmount", Right.USE, status=202, resource=keys.volume)
def unmount(group: str, name: str, wish: UnmountWish) -> Volume:
    """Ask for a volume to be taken away from hosts."""
    mounting.unmount(store(), group, name, wish.hosts)
    return shown(volumes.find(store(), group, name))


@routes.get(
    "/cladnets/<cladnet>/mounts", listing=Listing(name="mounts", order=lambda one: (one.volume, one.mount.host))
)
def mounts(group: str) -> tuple[Mount, ...]:
    """Every mount of a CLADNet's volumes, wanted and as its host reports it."""
    return tuple(
        Mount(volume=view.name, mount=each) for view in volumes.list_all(store(), group) for each in view.mounts
    )
