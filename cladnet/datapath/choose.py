"""Which data path this host uses: the one that the CLADNet asks for, or the first that can work here."""

import logging
import shutil
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

from cladnet import encryption
from cladnet.datapath import link, source_filter, vxlan, wireguard
from cladnet.datapath.protocol import Datapath
from cladnet.datapath.vxlan import Vxlan
from cladnet.datapath.wireguard import KernelWireguard
from cladnet.datapath.wireguard_go import PROGRAM, TUN, WireguardGo
from cladnet.model import DatapathKind, Encryption
from larva.errors import HostUnfit

log = logging.getLogger(__name__)

DRIVERS: Mapping[DatapathKind, Callable[[str], Datapath]] = {
    DatapathKind.WIREGUARD: KernelWireguard,
    DatapathKind.WIREGUARD_GO: WireguardGo,
    DatapathKind.VXLAN: Vxlan,
}

OFFERED: Mapping[DatapathKind, Callable[[], bool]] = {
    DatapathKind.WIREGUARD: lambda: link.supports(wireguard.KIND),
    DatapathKind.WIREGUARD_GO: lambda: shutil.which(PROGRAM) is not None,
    DatapathKind.VXLAN: lambda: link.supports(vxlan.KIND, vxlan_id=1) and source_filter.works(),
}


CARRIED_BY: Mapping[str, DatapathKind] = {
    wireguard.KIND: DatapathKind.WIREGUARD,
    TUN: DatapathKind.WIREGUARD_GO,
    vxlan.KIND: DatapathKind.VXLAN,
}
"""The kind of an interface → whose it is."""

_MISSING: Mapping[DatapathKind, str] = {
    DatapathKind.WIREGUARD: "this kernel has no module wireguard",
    DatapathKind.WIREGUARD_GO: f"the program {PROGRAM} is not installed",
    DatapathKind.VXLAN: "this kernel has no module vxlan, or nftables, which keeps strangers out, does not work",
}
_HINTS: Mapping[Encryption, str] = {
    Encryption.ON: f"install {PROGRAM}, or run a kernel with the module wireguard",
    Encryption.OFF: "run a kernel with the modules vxlan and nf_tables, and install nftables; or turn encryption on",
}


def offered() -> frozenset[DatapathKind]:
    """The data paths that can work here."""
    return frozenset(kind for kind, works in OFFERED.items() if works())


def explain(kind: DatapathKind, here: AbstractSet[DatapathKind], encrypted: Encryption = Encryption.ON) -> str:
    """Why choose() takes what it takes, for people.

    Args:
        kind: what the CLADNet asks for.
        here: what offered() said.
        encrypted: what the CLADNet says of encryption.
    """
    lacking = ["encryption is off"] if encrypted == Encryption.OFF else []
    if kind != DatapathKind.AUTO:
        asked = f"the CLADNet asks for {kind}" + ("" if kind in here else f", but {_MISSING[kind]}")
        return "; ".join((*lacking, asked))
    for each in encryption.kinds(kind, encrypted):
        if each in here:
            return "; ".join((*lacking, f"{each} is the first that works here"))
        lacking.append(_MISSING[each])
    return "; ".join(lacking)


def choose(kind: DatapathKind, interface: str, encrypted: Encryption = Encryption.ON) -> Datapath:
    """Return the driver for an interface.

    Raises:
        HostUnfit: this host offers none that is allowed.
    """
    for each in encryption.kinds(kind, encrypted):
        if OFFERED[each]():
            return DRIVERS[each](interface)
    raise HostUnfit(f"this host offers no data path of kind {kind} with encryption {encrypted}", hint=_HINTS[encrypted])


def take(kind: DatapathKind, interface: str, encrypted: Encryption) -> Datapath:
    """choose(), after what is not allowed was removed: where no other is offered, no data path is better than that."""
    allowed = frozenset(encryption.kinds(kind, encrypted))
    clear(interface, keep=allowed)
    if DatapathKind.VXLAN not in allowed:
        source_filter.remove(interface)  # it would keep strangers out of another data path's port, too
    chosen = choose(kind, interface, encrypted)
    if chosen.kind in encryption.PLAINTEXT:
        log.warning("%s: %s", interface, encryption.WARNING)
    return chosen


def clear(interface: str, *, keep: AbstractSet[DatapathKind] = frozenset()) -> None:
    """Remove an interface, perhaps an earlier process's, unless it is of a data path to keep."""
    found = link.kind_of(interface)
    kind = CARRIED_BY.get(found) if found is not None else None
    if kind == DatapathKind.VXLAN and kind not in keep:
        Vxlan(interface).down()
    elif found is not None and kind not in keep:
        link.delete(interface)  # a program that carries it ends with its interface
