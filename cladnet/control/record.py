"""The record of the control nodes, key `larva/control-plane`: where hosts find etcd and the consoles."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from cladnet import keys
from cladnet.etcd.store import Store
from cladnet.model import ControlNode, ControlPlane
from larva.errors import Conflict, NotFound, Unavailable

_ATTEMPTS = 20
"""Writes that lost a race are tried again: control nodes may come up together."""


def with_node(plane: ControlPlane, node: ControlNode) -> ControlPlane:
    """Return the record with a control node in its place, or at the end if it is new."""
    known = any(each.host == node.host for each in plane.nodes)
    return _of(plane, [node if each.host == node.host else each for each in plane.nodes] + ([] if known else [node]))


def without_node(plane: ControlPlane, host: str) -> ControlPlane:
    """Return the record without a control node; the others' first console stands for the system from then on."""
    return _of(plane, [each for each in plane.nodes if each.host != host])


def _of(plane: ControlPlane, nodes: Iterable[ControlNode]) -> ControlPlane:
    kept = tuple(nodes)
    ready = [each for each in kept if each.ready]
    servers = [each.server for each in ready]
    return replace(
        plane,
        nodes=kept,
        server=plane.server if plane.server in servers or not servers else servers[0],
        etcd_endpoints=tuple(dict.fromkeys(each.etcd_endpoint for each in ready)) or plane.etcd_endpoints,
    )


def keep(store: Store, node: ControlNode, *, ca: str) -> ControlPlane:
    """Record a control node, as the first one if there is none yet, and return the record.

    Args:
        ca: the fingerprint of the system's CA.
    """

    def change(plane: ControlPlane | None) -> ControlPlane:
        first = ControlPlane(server=node.server, ca=ca, etcd_endpoints=(node.etcd_endpoint,))
        return with_node(plane or first, node)

    return _change(store, change)


def drop(store: Store, host: str) -> ControlPlane:
    """Take a control node out of the record and return it; NotFound if there is no record."""

    def change(plane: ControlPlane | None) -> ControlPlane:
        if plane is None:
            raise NotFound("the control plane has not been founded yet")
        return without_node(plane, host)

    return _change(store, change)


def _change(store: Store, change: Callable[[ControlPlane | None], ControlPlane]) -> ControlPlane:
    for _ in range(_ATTEMPTS):
        found = store.get(keys.CONTROL_PLANE, ControlPlane)
        wanted = change(found.value if found is not None else None)
        if found is not None and found.value == wanted:
            return wanted
        try:
            if found is None:
                store.create(keys.CONTROL_PLANE, wanted)
            else:
                store.replace(found, wanted)
        except Conflict:
            continue
        return wanted
    raise Unavailable("somebody else keeps changing the record of the control nodes", hint="try again in a moment")
