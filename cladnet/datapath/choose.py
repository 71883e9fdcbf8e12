"""Which data path this host uses: the one that the CLADNet asks for, or the first that can work here."""

import shutil
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet

from cladnet.datapath import link
from cladnet.datapath.protocol import Datapath
from cladnet.datapath.wireguard import KIND, KernelWireguard
from cladnet.datapath.wireguard_go import PROGRAM, WireguardGo
from cladnet.model import DatapathKind
from larva.errors import HostUnfit

DRIVERS: Mapping[DatapathKind, Callable[[str], Datapath]] = {
    DatapathKind.WIREGUARD: KernelWireguard,
    DatapathKind.WIREGUARD_GO: WireguardGo,
}
"""In the order in which `auto` tries them."""

OFFERED: Mapping[DatapathKind, Callable[[], bool]] = {
    DatapathKind.WIREGUARD: lambda: link.supports(KIND),
    DatapathKind.WIREGUARD_GO: lambda: shutil.which(PROGRAM) is not None,
}


CARRIED_BY: Mapping[str, DatapathKind] = {KIND: DatapathKind.WIREGUARD, "tun": DatapathKind.WIREGUARD_GO}
"""The kind of an interface → whose it is."""

_MISSING: Mapping[DatapathKind, str] = {
    DatapathKind.WIREGUARD: "this kernel has no module wireguard",
    DatapathKind.WIREGUARD_GO: f"the program {PROGRAM} is not installed",
}


def offered() -> frozenset[DatapathKind]:
    """The data paths that can work here."""
    return frozenset(kind for kind, works in OFFERED.items() if works())


def explain(kind: DatapathKind, here: AbstractSet[DatapathKind]) -> str:
    """Why choose() takes what it takes, for people.

    Args:
        kind: what the CLADNet asks for.
        here: what offered() said.
    """
    if kind != DatapathKind.AUTO:
        return f"the CLADNet asks for {kind}" + ("" if kind in here else f", but {_MISSING[kind]}")
    lacking: list[str] = []
    for each in DRIVERS:
        if each in here:
            return "; ".join((*lacking, f"{each} is the first that works here"))
        lacking.append(_MISSING[each])
    return "; ".join(lacking)


def choose(kind: DatapathKind, interface: str) -> Datapath:
    """Return the driver for an interface.

    Raises:
        HostUnfit: this host offers none that is allowed.
    """
    wanted = tuple(DRIVERS) if kind == DatapathKind.AUTO else (kind,)
    for each in wanted:
        if OFFERED[each]():
            return DRIVERS[each](interface)
    raise HostUnfit(
        f"this host offers no data path of kind {kind}",
        hint=f"install {PROGRAM}, or run a kernel with the module wireguard",
    )
