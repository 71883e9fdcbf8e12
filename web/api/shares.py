"""Whom volumes are kept for."""

from dataclasses import dataclass

from flask import Blueprint, Response

from cbstorage.share_model import Share
from cbstorage.wanted import sharing
from cladnet import networks
from larva import codec
from web import body
from web.context import store

blueprint = Blueprint("shares", __name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SharesWish:
    """The hosts that a volume is to be kept for, and nobody else."""

    hosts: tuple[Share, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShareWish:
    """What one more host may do."""

    read_only: bool = False


def _answer(group: str, name: str, status: int = 202) -> Response:
    found = sharing.shares(store(), group, name)
    shown = {"everybody": found is None, "hosts": [codec.to_builtins(one) for one in found or ()]}
    return body.answer(shown, status)


@blueprint.get("/cladnets/<cladnet>/volumes/<name>/shares")
def show(cladnet: str, name: str) -> Response:
    """The hosts that a volume is kept for; `everybody`: it is for every host of its CLADNet."""
    return _answer(networks.find(store(), cladnet).id, name, 200)


@blueprint.put("/cladnets/<cladnet>/volumes/<name>/shares")
def keep_for(cladnet: str, name: str) -> Response:
    """Keep a volume for these hosts, and take it from all others."""
    group = networks.find(store(), cladnet).id
    sharing.keep_for(store(), group, name, body.read(SharesWish).hosts)
    return _answer(group, name)


@blueprint.delete("/cladnets/<cladnet>/volumes/<name>/shares")
def open_to_all(cladnet: str, name: str) -> Response:
    """Make a volume one for every host of its CLADNet."""
    sharing.open_to_all(store(), networks.find(store(), cladnet).id, name)
    return body.done()


@blueprint.put("/cladnets/<cladnet>/volumes/<name>/shares/<host>")
def share(cladnet: str, name: str, host: str) -> Response:
    """Share a volume that is kept for some hosts with one more, or in another way."""
    group = networks.find(store(), cladnet).id
    sharing.share(store(), group, name, [host], read_only=body.read(ShareWish).read_only)
    return _answer(group, name)


@blueprint.delete("/cladnets/<cladnet>/volumes/<name>/shares/<host>")
def unshare(cladnet: str, name: str, host: str) -> Response:
    """Take a volume from a host."""
    sharing.unshare(store(), networks.find(store(), cladnet).id, name, [host])
    return body.done()
