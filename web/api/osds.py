"""The daemons that hold the data, one by one."""

from dataclasses import dataclass

from cbstorage.osd_model import OsdAddition, OsdGoal, OsdWish
from cbstorage.wanted import osd_additions, osds
from cbstorage.wanted.osds import OsdView
from web.api.routing import Listing, Routes
from web.context import store
from web.roles import Right

routes = Routes("osds", "/cladnets/<cladnet>/osds")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceWish:
    """A device for an OSD: a block device, or a file, which is made if it is not there."""

    device: str
    size_bytes: int | None = None
    """Of that file."""
    destroy_data: bool = False
    """What is on it may go; a device that holds anything is refused otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdAdditionWish(DeviceWish):
    """An OSD that a storage host should have."""

    host: str
    encrypt: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdReplacementWish(DeviceWish):
    """The device of its host on which an OSD is to be made anew, under the same number."""

    encrypt: bool | None = None
    """None: as with the one that goes."""
    lost: bool = False
    """Its present device will never come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovalWish:
    """Whether an OSD is removed without being drained, since it will never come back."""

    lost: bool = False


@routes.get("", listing=Listing(name="osds", order=lambda view: (f"{view.id:07}",)))
def list_all(group: str) -> tuple[OsdView, ...]:
    """The OSDs with their addresses, and what is being done with them."""
    return osds.views(store(), group)


@routes.post("", Right.OPERATE, status=202)
def add(group: str, wish: OsdAdditionWish) -> OsdAddition:
    """Ask for an OSD on a device of a storage host; what becomes of it is among the OSDs, or the host's problems."""
    return osd_additions.add(
        store(), wish.host, wish.device, size_bytes=wish.size_bytes, destroy_data=wish.destroy_data,
        encrypt=wish.encrypt, cladnet=group,
    )  # fmt: skip


@routes.get("/<int:osd>")
def show(group: str, osd: int) -> OsdView:
    """One OSD."""
    return osds.find(store(), osd, group)


@routes.post("/<int:osd>/drain", Right.OPERATE, status=202)
def drain(group: str, osd: int) -> OsdWish:
    """Move everything that an OSD holds to others; it stays, and is given nothing."""
    return osds.ask(store(), osd, OsdGoal.DRAINED, cladnet=group)


@routes.post("/<int:osd>/undrain", Right.OPERATE, status=202)
def undrain(group: str, osd: int) -> OsdView:
    """Take back that an OSD is to be drained or removed; it gets its data again."""
    osds.take_back(store(), osd, cladnet=group)
    return osds.find(store(), osd, group)


@routes.post("/<int:osd>/replace", Right.OPERATE, status=202)
def replace(group: str, osd: int, wish: OsdReplacementWish) -> OsdWish:
    """Make an OSD anew on another device of its host, under the same number."""
    return osds.replace(
        store(), osd, wish.device, size_bytes=wish.size_bytes, destroy_data=wish.destroy_data, encrypt=wish.encrypt,
        lost=wish.lost, cladnet=group,
    )  # fmt: skip


@routes.post("/<int:osd>/remove", Right.OPERATE, status=202)
def remove(group: str, osd: int, wish: RemovalWish) -> OsdWish:
    """Drain an OSD, take it out of the cluster, and delete its data on its host."""
    return osds.ask(store(), osd, OsdGoal.REMOVED, lost=wish.lost, cladnet=group)
