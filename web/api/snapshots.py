"""Snapshots of volumes and their schedules."""

from dataclasses import dataclass

from flask import Blueprint, Response

from cbstorage.wanted import copies, snapshots, volumes
from cladnet import networks
from larva import codec
from web import body
from web.api.volumes import shown
from web.context import store

blueprint = Blueprint("snapshots", __name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotWish:
    """What a snapshot shall be called; None: by the time."""

    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneWish:
    """The new volume's name, the snapshot that it is made from (None: now), and its quota (None: as the other's)."""

    name: str
    snapshot: str | None = None
    size_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleWish:
    """How often snapshots are made, in seconds, and how many of them stay."""

    every_s: int
    keep: int = 24


@blueprint.get("/cladnets/<cladnet>/volumes/<name>/snapshots")
def list_all(cladnet: str, name: str) -> Response:
    """A volume's snapshots, the oldest first, and its schedule."""
    return body.answer(codec.to_builtins(snapshots.list_all(store(), networks.find(store(), cladnet).id, name)))


@blueprint.post("/cladnets/<cladnet>/volumes/<name>/snapshots")
def create(cladnet: str, name: str) -> Response:
    """Ask for a snapshot."""
    group = networks.find(store(), cladnet).id
    wish = snapshots.create(store(), group, name, body.read(SnapshotWish).name)
    return body.answer(codec.to_builtins(wish), 202)


@blueprint.post("/cladnets/<cladnet>/volumes/<name>/clone")
def clone(cladnet: str, name: str) -> Response:
    """Ask for a new volume with what this one holds, or held."""
    group = networks.find(store(), cladnet).id
    wish = body.read(CloneWish)
    copies.clone(store(), group, name, wish.name, snapshot=wish.snapshot, size_bytes=wish.size_bytes)
    return body.answer(shown(volumes.find(store(), group, wish.name)), 202)


@blueprint.post("/cladnets/<cladnet>/volumes/<name>/snapshots/<snapshot>/restore")
def restore(cladnet: str, name: str, snapshot: str) -> Response:
    """Ask for a volume to be again what it was; it must be mounted nowhere. The answer names what it is now."""
    before = copies.restore(store(), networks.find(store(), cladnet).id, name, snapshot)
    return body.answer({"before": before}, 202)


@blueprint.delete("/cladnets/<cladnet>/volumes/<name>/snapshots/<snapshot>")
def delete(cladnet: str, name: str, snapshot: str) -> Response:
    """Ask for a snapshot to be removed."""
    snapshots.delete(store(), networks.find(store(), cladnet).id, name, snapshot)
    return body.done()


@blueprint.put("/cladnets/<cladnet>/volumes/<name>/snapshot-schedule")
def schedule(cladnet: str, name: str) -> Response:
    """Ask for snapshots from time to time."""
    wish = body.read(ScheduleWish)
    group = networks.find(store(), cladnet).id
    return body.answer(
        codec.to_builtins(snapshots.schedule(store(), group, name, every_s=wish.every_s, keep=wish.keep)), 202
    )


@blueprint.delete("/cladnets/<cladnet>/volumes/<name>/snapshot-schedule")
def unschedule(cladnet: str, name: str) -> Response:
    """Ask for no more scheduled snapshots."""
    snapshots.unschedule(store(), networks.find(store(), cladnet).id, name)
    return body.done()
