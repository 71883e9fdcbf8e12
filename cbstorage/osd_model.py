"""The values of a single OSD's life that travel through etcd: what is wanted of it, and how far that is."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from cbstorage.model import Fsid, Name
from cladnet.trust.kinds import signed_by_ca

OsdId = Annotated[int, Meta(ge=0, le=1 << 20)]
Uuid = Fsid


class OsdGoal(StrEnum):
    """What somebody wants of an OSD that is there."""

    DRAINED = "drained"
    """It holds nothing, and stays."""
    REMOVED = "removed"
    """It is gone from the cluster, and its data from its host."""


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class OsdWish:
    """What should become of one OSD: `cb-storage/osd-wish/{group}/{id}`. Deleting it takes the wish back."""

    group: Name
    osd: OsdId
    uuid: Uuid
    """Of the OSD that is meant: ids are given anew, and no later bearer of this one is touched."""
    host: Name
    """Where it lies."""
    goal: OsdGoal
    lost: bool = False
    """Its data will never come back: it is removed without being drained."""
    asked: Uuid
    """Names this wish, so that no answer to an earlier one is taken for an answer to it."""
    asked_at: datetime


class OsdPhase(StrEnum):
    """How far a wish is."""

    REFUSED = "refused"
    """Nothing was done: the words say why."""
    DRAINING = "draining"
    DRAINED = "drained"
    STOPPING = "stopping"
    """It was found empty; its host stops it and starts it no more."""
    GONE = "gone"
    """The cluster knows it no more; its host has its data still."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OsdProgress:
    """How far a wish is: `cb-storage/osd-progress/{group}/{id}`, written by the leading monitor's host."""

    osd: OsdId
    uuid: Uuid
    asked: Uuid
    """The wish that this answers."""
    phase: OsdPhase
    groups_left: int | None = None
    """Placement groups that it holds; None when it does not tell."""
    words: str = ""
    """Why it was refused, or what it waits for."""
