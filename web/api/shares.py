"""Whom volumes are kept for."""

from dataclasses import dataclass

from cbstorage import keys
from cbstorage.share_model import Share
from cbstorage.wanted import sharing
from web.api.routing import Routes
from web.context import store
from web.roles import Right

routes = Routes("shares", "/cladnets/<cladnet>/volumes/<name>/shares")


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesWish:
    """The hosts that a volume is to be kept for, and nobody else."""

    hosts: tuple[Share, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareWish:
    """What one more host may do."""

    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Whom a volume is for: every host of its CLADNet, or these."""

    everybody: bool
    hosts: tuple[Share, ...]


def _shares(group: str, name: str) -> Shares:
    found = sharing.shares(store(), group, name)
    return Shares(everybody=found is None, hosts=found or ())


@routes.get("", resource=keys.volume)
def show(group: str, name: str) -> Shares:
    """The hosts that a volume is kept for; `everybody`: it is for every host of its CLADNet."""
    return _shares(group, name)


@routes.put("", Right.USE, status=202, resource=keys.volume)
def keep_for(group: str, name: str, wish: SharesWish) -> Shares:
    """Keep a volume for these hosts, and take it from all others."""
    sharing.keep_for(store(), group, name, wish.hosts)
    return _shares(group, name)


@routes.delete("", Right.USE, resource=keys.volume)
def open_to_all(group: str, name: str) -> None:
    """Make a volume one for every host of its CLADNet."""
    sharing.open_to_all(store(), group, name)


@routes.put("/<host>", Right.USE, status=202, resource=keys.volume)
def share(group: str, name: str, host: str, wish: ShareWish) -> Shares:
    """Share a volume that is kept for some hosts with one more, or in another way."""
    sharing.share(store(), group, name, [host], read_only=wish.read_only)
    return _shares(group, name)


@routes.delete("/<host>", Right.USE, resource=keys.volume)
def unshare(group: str, name: str, host: str) -> None:
    """Take a volume from a host."""
    sharing.unshare(store(), group, name, [host])
