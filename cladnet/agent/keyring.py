"""This host's WireGuard keys while one is replaced by the next: both are on disk until every CLADNet goes by the new.

Which private key an interface has follows from the public key in this host's own rule: whoever is killed at any line
comes up with the key that its peers know.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cladnet import seal
from cladnet.model import NetworkingRule
from larva import files, settings
from larva.errors import Conflict

log = logging.getLogger(__name__)

SETTLE_S = 60.0
"""How long a next key has to stand in this host's rules before it is used: peers learn of it within a second, and those
that are cut off from the control plane afterwards know it then."""
PATIENCE_S = 86_400.0
"""How long a host that is not there may delay it. One that comes back later is told by the control plane."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A private key and its public key: 32 bytes, base64."""

    private: str = field(repr=False)
    public: str

    @classmethod
    def read(cls, path: Path) -> "Pair":
        """Return the pair whose private key is in a file."""
        private = path.read_text().strip()
        return cls(private, seal.public_of(private))


class KeyRing:
    """The keys of this host, for all its CLADNets; safe to share between threads, and with `larva agent rotate-key`.

    Args:
        directory: `identity/`, with `wireguard.key` and, while it is replaced, `wireguard.next`.
        every_s: age in seconds at which a key is replaced; None: only when somebody asks.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        settle_s: float = SETTLE_S,
        every_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        directory = directory or settings.state_directory() / "identity"
        self._current, self._next = directory / "wireguard.key", directory / "wireguard.next"
        self._settle_s = settle_s
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._seen = (False, False)
        self._groups: set[str] = set()
        self._shown: dict[str, float] = {}
        """CLADNet → since when every peer there may know the next key."""
        self._waiting: dict[str, float] = {}
        self._through: set[str] = set()
        """CLADNets whose rules have the next key as this host's own."""
        self._without: set[str] = set()
        """CLADNets that have no rule of this host, as one whose range the host's own network overlaps: nobody there
        goes by any key of it, and nobody there is waited for."""

    def keys(self) -> tuple[Pair, Pair | None]:
        """The key in use and the next one, if there is one."""
        try:
            following = Pair.read(self._next)
        except FileNotFoundError:
            following = None
        current = Pair.read(self._current)  # after it: the next one may take its place in between, and then is this one
        return current, following if following != current else None

    def has_news(self) -> bool:
        """Whether a next key was made or is in place, or can be waited for to the end, since this was asked last.

        Every CLADNet has to look then: none of them knows how far the others are.
        """
        before, self._seen = self._seen, (self._next.exists(), self.remaining_s() is not None)
        return self._seen != before

    @property
    def is_replacing(self) -> bool:
        """Whether there is a next key."""
        return self._next.exists()

    def begin(self) -> str:
        """Make a next key, 0600 from its first byte, and return its public half; Conflict while there is one."""
        if not files.write_once(self._next, seal.new_pair()[0] + "\n", mode=files.SECRET):
            raise Conflict("this host's key is being replaced already", hint="`larva agent status` shows the peers")
        log.info("made the next WireGuard key")
        return Pair.read(self._next).public

    def private(self, own: NetworkingRule | None, *, ahead: bool) -> str:
        """The private key that an interface should have.

        Args:
            own: this host's rule there.
            ahead: use the next key though the rule does not have it yet.
        """
        current, following = self.keys()
        if following is not None and (ahead or (own is not None and own.public_key == following.public)):
            return following.private
        return current.private

    def expect(self, group: str) -> None:
        """This host is in a CLADNet: nothing is finished without it."""
        with self._lock:
            self._groups.add(group)

    def note(self, group: str, own: NetworkingRule | None, *, absent: bool, certain: bool = True) -> None:
        """Take in this host's rule in a CLADNet, and finish when all have the next key.

        Args:
            certain: the control plane says so now; otherwise there may be a rule that this host does not know.
            absent: a peer is not there right now, and may not have heard of the next key. Who was there for half of the
                time that it settles has.
        """
        with self._lock:
            self._groups.add(group)
            if own is not None:
                self._without.discard(group)
            elif certain:
                self._without.add(group)
            _, following = self.keys()
            if following is None:
                self._shown, self._waiting, self._through = {}, {}, set()
                if self._every_s is not None and time.time() - self._current.stat().st_mtime > self._every_s:
                    self._begin_in_time()
            elif own is not None and own.public_key == following.public:
                self._through.add(group)
            elif own is None or own.next_public_key != following.public:
                self._take_back(group)
            else:
                self._through.discard(group)
                now = self._clock()
                since, shown = self._waiting.setdefault(group, now), self._shown.setdefault(group, now)
                if absent and now - since < PATIENCE_S and now - shown < self._settle_s / 2:
                    del self._shown[group]
            self._finish()

    def _begin_in_time(self) -> None:
        """begin(), unless the disk is full or read-only, which must hold nothing else up."""
        try:
            self.begin()
        except OSError as error:
            log.warning("the WireGuard key is due to be replaced and cannot be: %s", error.strerror)

    def _finish(self) -> None:
        """Put the next key in the other's place if all go by it that go by any."""
        if not self._through or self._groups - self._without - self._through or not self._next.exists():
            return
        self._next.replace(self._current)
        files.sync_directory(self._current.parent)
        self._shown, self._waiting, self._through = {}, {}, set()
        log.info("the WireGuard key was replaced")

    def _take_back(self, group: str) -> None:
        self._shown.pop(group, None)
        self._waiting.pop(group, None)
        self._through.discard(group)

    def forget(self, group: str) -> None:
        """This host left a CLADNet."""
        with self._lock:
            self._groups.discard(group)
            self._without.discard(group)
            self._take_back(group)
            self._finish()

    def remaining_s(self) -> float | None:
        """Seconds until the next key should be used, 0 when it should be now; None while nobody can tell."""
        with self._lock:
            needed = self._groups - self._without
            if not self._next.exists() or not needed or needed - self._through - self._shown.keys():
                return None
            left = [
                at + self._settle_s - self._clock() for group, at in self._shown.items() if group not in self._through
            ]
            return max([0.0, *left])


def said(published: str, current: Pair, following: Pair | None, *, ahead: bool) -> tuple[str, str]:
    """The public key and the next public key that this host should say it has.

    Args:
        published: the public key that it says now: it does not go back.
        ahead: the next key is in use.
    """
    if following is None:
        return current.public, ""
    if ahead or published == following.public:
        return following.public, ""
    return current.public, following.public
