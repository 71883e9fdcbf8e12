"""Snapshots of volumes and their schedules."""

from dataclasses import dataclass

from flask import Blueprint, Response

from cbstorage.wanted import snapshots
from cladnet import networks
from larva import codec
from web import body
from web.context import store

blueprint = Blueprint("snapshots", __name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotWish:
    """What a snapshot shall be called; None: by the time."""

    name: str | None = None


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
