"""The values of a single OSD's life that travel through etcd: what is wanted of it, and how far that is."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from cbstorage.model import Fsid, Name, Size
from cladnet.trust.kinds import signed_by_ca

OsdId = Annotated[int, Meta(ge=0, le=1 << 20)]
Uuid = Fsid
DevicePath = Annotated[str, Meta(pattern=r"\A(/[A-Za-z0-9_:@+-][A-Za-z0-9._:@+-]{0,99}){1,12}\Z", max_length=400)]
"""Absolute and plain: it becomes an argument and a file of ours; no part is `..` or hidden."""


def digest(device: str) -> str:
    """What stands for a device in a key, since a path has slashes."""
    return hashlib.sha256(device.encode(errors="replace")).hexdigest()[:32]


class OsdGoal(StrEnum):
    """What somebody wants of an OSD that is there."""

    DRAINED = "drained"
    """It holds nothing, and stays."""
    REMOVED = "removed"
    """It is gone from the cluster, and its data from its host."""
    REPLACED = "replaced"
    """It lies on another device of its host, under the same number."""

    @property
    def ends(self) -> bool:
        """Whether what lies on its present device goes."""
        return self is not OsdGoal.DRAINED


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
    device: DevicePath | None = None
    """What it lies on, where its host told."""
    lost: bool = False
    """Its data will never come back: it is removed without being drained."""
    asked: Uuid
    """Names this wish, so that no answer to an earlier one is taken for an answer to it."""
    asked_at: datetime


@signed_by_ca
@dataclass(frozen=True, slots=True, kw_only=True)
class OsdAddition:
    """This host should have an OSD on this device: `cb-storage/osd-device/{group}/{host}/{digest}`.

    So it should with each device of its join file; this is for those that came later.
    """

    group: Name
    host: Name
    device: DevicePath
    """A block device, or a file, which is made if it is not there."""
    size_bytes: Size | None = None
    """Of a file that is not there yet; the cluster's default without it."""
    osd: OsdId | None = None
    """The number that the OSD is to have, where it replaces another one."""
    destroy_data: bool = False
    """What is on it may go. Once: an OSD made for this addition is never destroyed by it."""
    encrypt: bool = False
    """What the OSD writes is encrypted on the device."""
    asked: Uuid
    """Names this addition: a device whose OSD was removed gets another one only if somebody asks again."""
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
