"""One CLADNet's interface on this host: brought to what is wanted peer by peer, and compared whole now and then."""

import threading
from collections.abc import Callable, Collection

from cladnet import encryption
from cladnet.agent.kept_peering import Delta
from cladnet.datapath.choose import clear, take
from cladnet.datapath.protocol import Datapath, Peer, Selective, Tunnel
from cladnet.model import DatapathKind, Encryption

WHOLE_S = 30.0
"""So often the data path is compared peer by peer, in case somebody else changed it."""


class DatapathKeeper:
    """Keeps the data path of one interface; for one thread, but for ask_whole().

    Args:
        interface: its name.
        choose: the driver for an interface; what this host offers without it.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        interface: str,
        *,
        choose: Callable[[DatapathKind, str, Encryption], Datapath] | None,
        clock: Callable[[], float],
    ) -> None:
        self._interface = interface
        self._choose = choose or take
        self._clock = clock
        self.datapath: Datapath | None = None
        self._chosen: tuple[DatapathKind, Encryption] | None = None
        self._tunnel: Tunnel | None = None
        """What the data path has."""
        self._whole_at: float | None = None
        """When all of it was compared last; None: it has to be now."""
        self._asked = threading.Event()

    @property
    def is_whole_due(self) -> bool:
        """Whether all of it is to be compared now."""
        return self._whole_at is None or self._asked.is_set() or self._clock() - self._whole_at >= WHOLE_S

    def ask_whole(self) -> None:
        """Have all of it compared the next time; from any thread."""
        self._asked.set()

    def keep(
        self,
        tunnel: Tunnel,
        peers: Collection[Peer],
        delta: Delta,
        asked: tuple[DatapathKind, Encryption],
        *,
        besides: tuple[Peer, ...] = (),
    ) -> None:
        """Bring the data path to this: what changed only, or all of it where that is due.

        Args:
            tunnel: what the interface is to be.
            peers: all that it is to have.
            delta: what of them changed since the last time.
            asked: the kind of data path and the encryption that the CLADNet asks for.
            besides: peers that are none by the rules; with any, all of it is compared.

        Raises:
            LarvaError: the host refuses; all of it is due again then.
        """
        if besides:
            self._whole_at = None
        selective = self.datapath if isinstance(self.datapath, Selective) else None
        if selective is not None and self._chosen == asked and self._tunnel == tunnel and not self.is_whole_due:
            if delta.changed or delta.removed:
                whole_at, self._whole_at = self._whole_at, None  # should it fail, nobody knows what was done
                selective.change(delta.changed, delta.removed)
                self._whole_at = whole_at
            return
        self._whole_at = None
        self._asked.clear()
        began = self._clock()
        self._up(tunnel, (*peers, *besides), asked)
        self._whole_at = began

    def down(self) -> None:
        """Take down whatever data path the interface has, also one that an earlier agent left."""
        if self.datapath is not None:
            self.datapath.down()
        else:
            clear(self._interface)
        self.datapath = self._chosen = self._tunnel = self._whole_at = None

    def _up(self, tunnel: Tunnel, peers: tuple[Peer, ...], asked: tuple[DatapathKind, Encryption]) -> None:
        if self.datapath is None or self._chosen != asked:
            if self.datapath is not None and self.datapath.kind not in encryption.kinds(*asked):
                self.down()
            kind, encrypted = asked
            chosen = self._choose(kind, self._interface, encrypted)
            if self.datapath is not None and self.datapath.kind != chosen.kind:
                self.datapath.down()
            self.datapath, self._chosen = chosen, asked
        self._tunnel = None
        self.datapath.up(tunnel)
        self.datapath.sync(peers)
        self._tunnel = tunnel
