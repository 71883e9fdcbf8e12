"""`larva storage agent`: daemons on storage hosts, volumes beside monitors, mounts everywhere; one thread each."""

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from cbstorage.host import departure
from cbstorage.host.daemons import StorageHost
from cbstorage.leading.key_keeper import KeyKeeper
from cbstorage.leading.takeover import Takeover
from cbstorage.leading.volume_keeper import VolumeKeeper
from cbstorage.mounting.mounts import MountKeeper, remembered_groups
from cbstorage.smb.gateway import SmbGateway
from cladnet.etcd.reconciler import Reconciler
from cladnet.etcd.store import Store
from cladnet.keys import enrolled_host
from cladnet.member import Member
from cladnet.model import EnrolledHost, Role
from larva.errors import LarvaError

log = logging.getLogger(__name__)

STOP_S = 20.0


class GroupWork:
    """The reconcilers of one CLADNet on this host, each in its thread."""

    def __init__(self, reconcilers: Sequence[Reconciler]) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=one.run, args=(self._stop,), name=f"storage-{number}", daemon=True)
            for number, one in enumerate(reconcilers)
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Stop them; what they made stays."""
        self._stop.set()
        for thread in self._threads:
            thread.join(STOP_S)


class StorageAgent:
    """Serves every CLADNet this host is in."""

    def __init__(self, store: Store, member: Member) -> None:
        self._store = store
        self._member = member
        self._working: dict[str, GroupWork] = {}

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set."""
        prefixes = [enrolled_host(self._member.host)]
        with contextlib.ExitStack() as undo:
            undo.callback(self._end_all)
            Reconciler(self._store, prefixes, self._reconcile, name="storage groups").run(stop)

    def _reconcile(self) -> None:
        told = self._told()
        wanted = told if told is not None else set(self._working) | set(self._member.groups)
        for group in self._working.keys() - wanted:
            log.info("no longer in CLADNet %s", group)
            self._working.pop(group).end()
        for group in wanted - self._working.keys():
            log.info("serving storage of CLADNet %s", group)
            self._working[group] = GroupWork(list(self._reconcilers(group)))
        if told is not None:
            for group in remembered_groups() - told:
                MountKeeper(self._store, group, self._member.host).release()
            if Role.STORAGE in self._member.roles:
                departure.depart(told)

    def _told(self) -> set[str] | None:
        """This host's CLADNets as etcd has them; None while nobody tells: then those of its enrolment count."""
        try:
            enrolled = self._store.get(enrolled_host(self._member.host), EnrolledHost)
        except LarvaError as error:
            log.warning("the CLADNets of this host are taken from its enrolment: %s", error.message)
            return None
        return set(enrolled.value.groups) if enrolled else None

    def _reconcilers(self, group: str) -> Iterator[Reconciler]:
        host = self._member.host
        mounts = MountKeeper(self._store, group, host)
        yield Reconciler(self._store, mounts.prefixes(), mounts.reconcile, name=f"mounts of {group}")
        if Role.GATEWAY in self._member.roles:
            gateway = SmbGateway(self._store, group, host)
            yield Reconciler(self._store, gateway.prefixes(), gateway.reconcile, name=f"shares of {group}")
        if Role.STORAGE in self._member.roles:
            daemons = StorageHost(
                self._store, group, host, tuple(map(Path, self._member.storage_devices)),
                encrypt=self._member.storage_encrypt,
            )  # fmt: skip
            yield Reconciler(self._store, daemons.prefixes(), daemons.reconcile, name=f"daemons of {group}")
            volumes = VolumeKeeper(self._store, group, host)
            yield Reconciler(self._store, volumes.prefixes(), volumes.reconcile, name=f"volumes of {group}")
            held = KeyKeeper(self._store, group, host)
            yield Reconciler(self._store, held.prefixes(), held.reconcile, name=f"keys of {group}")
            yield Reconciler(self._store, (), Takeover(group, host).look, name=f"takeovers of {group}")

    def _end_all(self) -> None:
        for work in self._working.values():
            work.end()
