"""Volumes for machines that do not run the appliance."""

from dataclasses import dataclass

from cbstorage.mounting import mount_point
from cbstorage.wanted import connection_words, connections
from cbstorage.wanted.connection_words import Words
from cbstorage.wanted.connections import ConnectionView
from web.api.routing import Listing, Routes
from web.context import store
from web.roles import Right

routes = Routes("connections", "/cladnets/<cladnet>")

KEY_WAIT_S = 30.0
"""The storage hosts make a key in a moment; whoever asks holds one of the server's threads meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionWish:
    """A machine outside that is to mount a volume."""

    machine: str
    """What to call it, as in a host's name."""
    path: str | None = None
    """Where it mounts the volume; None: /mnt and the volume's name."""
    read_only: bool = False
    renew: bool = False
    """It has a key: make another, whose first use ends the present one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """A machine's key and how it mounts the volume by it; nobody can read the key again."""

    entity: str
    key: str
    words: Words


@routes.get("/connections", listing=Listing(name="connections", order=lambda one: (one.volume, one.machine)))
def list_all(group: str) -> tuple[ConnectionView, ...]:
    """The machines outside that have a key."""
    return connections.list_all(store(), group)


@routes.post("/volumes/<name>/connections", Right.USE, status=201, secret=True)
def connect(group: str, name: str, wish: ConnectionWish) -> Connection:
    """Make a key for a machine outside, and say, this once, how it mounts the volume."""
    place = mount_point.check(wish.path or f"/mnt/{name}")
    if wish.renew:
        ticket = connections.renew(store(), group, name, wish.machine, timeout_s=KEY_WAIT_S)
    else:
        ticket = connections.connect(
            store(), group, name, wish.machine, read_only=wish.read_only, timeout_s=KEY_WAIT_S
        )  # fmt: skip
    return Connection(
        entity=ticket.identity.entity, key=ticket.identity.key, words=connection_words.words(ticket, place)
    )


@routes.delete("/volumes/<name>/connections/<machine>", Right.USE)
def disconnect(group: str, name: str, machine: str) -> None:
    """Take a machine's key for a volume back, and end what it has open with it."""
    connections.disconnect(store(), group, name, machine)
