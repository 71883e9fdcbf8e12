"""What a page is told over its WebSocket, and which change of etcd means what."""

import logging
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

from cbstorage import keys as storage_keys
from cladnet import keys
from cladnet.etcd.store import Event
from cladnet.model import HostStatus, TestSpecification
from cladnet.quality import Alarm, HostQuality
from larva import codec
from larva.errors import MalformedData

log = logging.getLogger(__name__)

VOLUMES = (
    storage_keys.VOLUME, storage_keys.VOLUME_STATE, storage_keys.MOUNT, storage_keys.MOUNT_EVERYWHERE,
    storage_keys.MOUNT_STATE, storage_keys.VOLUME_SHARES, storage_keys.MIRROR, storage_keys.MIRROR_STATE,
    storage_keys.SNAPSHOT, storage_keys.SNAPSHOT_SCHEDULE, storage_keys.COPY, storage_keys.TRASH,
    storage_keys.CONNECTION,
)  # fmt: skip
STORAGE = (storage_keys.CLUSTER, storage_keys.CLUSTER_STATE, storage_keys.DAEMONS)
WATCHED = (
    keys.CONFIGURATION, keys.HOST_INFORMATION, keys.RULE, keys.PRESENCE, keys.TEST_SPECIFICATION, keys.STATUS,
    keys.QUALITY, *VOLUMES, *STORAGE,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Resync:
    """Anything may have changed: read everything anew."""

    type: Literal["resync"] = "resync"

    @property
    def subject(self) -> Hashable:
        """Messages on one subject replace each other while they wait."""
        return (self.type,)


@dataclass(frozen=True, slots=True, kw_only=True)
class CladnetsChanged:
    """A CLADNet was created, changed or deleted."""

    cladnet: str
    type: Literal["cladnets"] = "cladnets"

    @property
    def subject(self) -> Hashable:
        """One for all CLADNets: the page reads the list."""
        return (self.type, self.cladnet)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostsChanged:
    """A host of the CLADNet joined, left, or has another address or state."""

    cladnet: str
    type: Literal["hosts"] = "hosts"

    @property
    def subject(self) -> Hashable:
        """One per CLADNet: the page reads its hosts."""
        return (self.type, self.cladnet)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestAsked:
    """Somebody asked for a status test."""

    __test__ = False  # not a pytest class

    cladnet: str
    test: TestSpecification
    type: Literal["status-test"] = "status-test"

    @property
    def subject(self) -> Hashable:
        """One per CLADNet: only the last test counts."""
        return (self.type, self.cladnet)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusArrived:
    """A host has measured; its row of the matrix travels along."""

    cladnet: str
    row: HostStatus
    type: Literal["status"] = "status"

    @property
    def subject(self) -> Hashable:
        """One per host."""
        return (self.type, self.cladnet, self.row.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusCleared:
    """Rows of the matrix are gone: read it anew."""

    cladnet: str
    type: Literal["status-cleared"] = "status-cleared"

    @property
    def subject(self) -> Hashable:
        """One per CLADNet."""
        return (self.type, self.cladnet)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmsTold:
    """A host has told of its paths: its alarms travel along, so that a page knows whether they are news to it."""

    cladnet: str
    host: str
    alarms: tuple[Alarm, ...]
    type: Literal["alarms"] = "alarms"

    @property
    def subject(self) -> Hashable:
        """One per host."""
        return (self.type, self.cladnet, self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumesChanged:
    """Volumes of the CLADNet, their mounts, snapshots or mirrors, or its trash changed."""

    cladnet: str
    type: Literal["volumes"] = "volumes"

    @property
    def subject(self) -> Hashable:
        """One per CLADNet: the page reads what it shows."""
        return (self.type, self.cladnet)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageChanged:
    """The storage cluster of the CLADNet, or what a host runs of it, is otherwise than before."""

    cladnet: str
    type: Literal["storage"] = "storage"

    @property
    def subject(self) -> Hashable:
        """One per CLADNet: the page reads what it shows."""
        return (self.type, self.cladnet)


Message = (
    Resync
    | CladnetsChanged
    | HostsChanged
    | TestAsked
    | StatusArrived
    | StatusCleared
    | AlarmsTold
    | VolumesChanged
    | StorageChanged
)


def message_of(event: Event) -> Message | None:
    """Say what one change of etcd means to a page; None when it means nothing."""
    prefix = next((prefix for prefix in WATCHED if event.key.startswith(prefix)), None)
    if prefix is None:
        return None
    group = event.key.removeprefix(prefix).partition("/")[0]
    if not keys.is_segment(group):  # no key of ours, and perhaps not even text
        return None
    if prefix == keys.CONFIGURATION:
        return CladnetsChanged(cladnet=group)
    if prefix in VOLUMES:
        return VolumesChanged(cladnet=group)
    if prefix in STORAGE:
        return StorageChanged(cladnet=group)
    if prefix == keys.QUALITY:
        return _alarms(event, group)
    if prefix not in (keys.STATUS, keys.TEST_SPECIFICATION):
        return HostsChanged(cladnet=group)
    if event.value is not None:
        try:
            if prefix == keys.STATUS:
                return StatusArrived(cladnet=group, row=codec.decode(event.value, HostStatus, source=event.key))
            return TestAsked(cladnet=group, test=codec.decode(event.value, TestSpecification, source=event.key))
        except MalformedData as error:  # a host wrote it: that must not stop the news for the others
            log.warning("left out: %s", error)
    return StatusCleared(cladnet=group)


def _alarms(event: Event, group: str) -> AlarmsTold | None:
    """A host that is gone, or writes what cannot be read, has none."""
    host = keys.child(keys.qualities_of(group), event.key)
    if host is None:
        return None
    if event.value is not None:
        try:
            row = codec.decode(event.value, HostQuality, source=event.key)
        except MalformedData as error:
            log.warning("left out: %s", error)
        else:
            return AlarmsTold(cladnet=group, host=host, alarms=row.alarms)
    return AlarmsTold(cladnet=group, host=host, alarms=())
