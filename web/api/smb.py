"""Volumes for Windows and others, shared by the hosts of the role gateway."""

from dataclasses import dataclass

from cbstorage.smb import shares
from cbstorage.smb.model import SmbShare
from cbstorage.smb.shares import ShareView
from web.api.routing import Listing, Routes
from web.context import store
from web.roles import Right

routes = Routes("smb", "/cladnets/<cladnet>/smb")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmbShareWish:
    """Who may reach a volume by a gateway."""

    writers: tuple[str, ...] = ()
    readers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SmbPasswordWish:
    """A user's password, and on which gateways it holds."""

    password: str
    hosts: tuple[str, ...] = ()
    """None named: on every one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateways:
    """The gateways that something was sent to."""

    hosts: tuple[str, ...]


@routes.get("/shares", listing=Listing(name="shares", order=lambda view: (view.host, view.volume)))
def list_all(group: str) -> tuple[ShareView, ...]:
    """What is shared, with whom and how it stands."""
    return shares.list_all(store(), group)


@routes.put("/shares/<host>/<name>", Right.USE, status=202)
def share(group: str, host: str, name: str, wish: SmbShareWish) -> SmbShare:
    """Share a volume from a gateway with users, instead of those that it is shared with."""
    return shares.share(store(), group, name, host, writers=wish.writers, readers=wish.readers)


@routes.delete("/shares/<host>/<name>", Right.USE)
def unshare(group: str, host: str, name: str) -> None:
    """Share a volume from a gateway no more; who is connected is cut off."""
    shares.unshare(store(), group, name, host)


@routes.put("/users/<user>/password", Right.USE, status=202)
def set_password(group: str, user: str, wish: SmbPasswordWish) -> Gateways:
    """Set a user's password; it is sealed to the gateways."""
    return Gateways(hosts=shares.set_password(store(), group, user, wish.password, wish.hosts))


@routes.delete("/users/<user>", Right.USE)
def remove_user(group: str, user: str) -> None:
    """Let a user in no more, on any gateway."""
    shares.remove_user(store(), group, user)
