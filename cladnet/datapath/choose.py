"""Which data path this host uses: the one that the CLADNet asks for, or the first that can work here."""

import shutil
from collections.abc import Callable, Mapping

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
