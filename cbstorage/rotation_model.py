"""The replacement of cephx keys as it travels through etcd: what is wanted, and how each key stands."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from cbstorage.model import Fingerprint, Fsid, Name
from cladnet.trust.kinds import signed_by_ca

Entity = Annotated[str, Meta(pattern=r"\A[a-z]+\.[A-Za-z0-9._-]{0,250}\Z")]
"""A cephx identity, as `client.data.0a1b2c3d.aws-1`, `osd.3`."""


def digest(entity: str) -> str:
    """What stands for an identity in a key, since its name has full stops."""
    return hashlib.sha256(entity.encode(errors="replace")).hexdigest()[:32]


class RotationScope(StrEnum):
    """Whose keys."""

    ALL = "all"
    HOST = "host"
    """Every key that one host has."""
    VOLUME = "volume"
    """The keys by which hosts mount one volume."""


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRotation:
    """Cephx keys should be replaced: `cb-storage/key-rotation/{group}/{scope}/{name}`; asking again writes over it."""

    group: Name
    scope: RotationScope
    name: Name
    """Of the host or volume; `all`."""
    asked: Fsid
    """A UUID that names this wish: a key is replaced once for it."""
    now: bool = False
    """The old keys end at once, whether their hosts have new ones or not, and so does what was opened with them."""
    remount: bool = False
    """A volume that nobody uses is mounted anew, so that its old key ends soon."""
    asked_at: datetime

    def means(self, hosts: frozenset[str], volume: str | None) -> bool:
        """Whether it is about a key that these hosts have, and that opens this volume."""
        if self.scope is RotationScope.HOST:
            return self.name in hosts
        return self.scope is RotationScope.ALL or self.name == volume


class KeyPhase(StrEnum):
    """How the replacement of a key stands."""

    CURRENT = "current"
    """One key, and nothing is to be done with it."""
    MADE = "made"
    """The next one is made, and a host does not have it yet."""
    HELD = "held"
    """Its host has the next one and uses it when it mounts or starts the next time; both are good until then."""
    ENDING = "ending"
    """The old one is good no more; what was opened with it is being ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyState:
    """How the key of one identity stands: `cb-storage/key-state/{group}/{digest}`.

    Written by the leading monitor's host, for people and for whoever leads after it.
    """

    entity: Entity
    hosts: tuple[Name, ...]
    """Who has it."""
    volume: Name | None = None
    """What it opens, where that is one volume."""
    number: Annotated[int, Meta(ge=0, le=1 << 40)] = 0
    """How often it was replaced."""
    made_at: datetime
    """When the present key was made."""
    phase: KeyPhase = KeyPhase.CURRENT
    old: Fingerprint = ""
    """Of the key that is being replaced, written before another is made; empty when none is."""
    replacing: tuple[Fsid, ...] = ()
    """The wishes that this replacement fulfils."""
    done: tuple[Fsid, ...] = ()
    """The wishes that are fulfilled."""
