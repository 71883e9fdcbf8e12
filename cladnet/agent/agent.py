"""The agent: attaches this host to every CLADNet that its enrolment record names, and keeps it attached."""

import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import replace

from cladnet import keys
from cladnet.agent import discovery
from cladnet.agent.attachment import Attachment
from cladnet.agent.keyring import KeyRing
from cladnet.agent.metrics import Observed
from cladnet.agent.publisher import HostFacts
from cladnet.agent.quality_row import PAUSE_S
from cladnet.agent.reporter import Reporter
from cladnet.agent.watchman import Watched, Watchman
from cladnet.etcd.reconciler import Reconciler
from cladnet.etcd.store import Event, Relist, Store
from cladnet.member import Identity, Member
from cladnet.model import EnrolledHost, RevocationList
from cladnet.quality import Window
from cladnet.trust.revocations import Memory, revocations_file
from larva import codec, files, settings
from larva.errors import LarvaError, MalformedData, Refused, Unavailable

log = logging.getLogger(__name__)

RETRY_S = 5.0
MOST = 10_000
"""CLADNets of one host: each has a port above 51820, and a name that an interface can have."""


class Agent:
    """Run the agent of this host until `stop` is set; the interfaces outlive it."""

    def __init__(self, store: Store, member: Member, identity: Identity, *, ring: KeyRing | None = None) -> None:
        self._store = store
        self._host = member.host
        self._facts = HostFacts(member, identity)
        self._known = GroupIndexes(member.groups)
        self._attached: dict[str, Attachment] = {}
        self._removed = False
        self._ring = ring
        self._revocations = Memory(revocations_file())
        self._lock = threading.Lock()
        self._watchman = Watchman(self._watched)
        reporter = Reporter(store, member.host, self._watchman.records)
        self._reports = Reconciler(store, [], reporter.reconcile, name="quality", resync_s=PAUSE_S)

    def run(self, stop: threading.Event) -> None:
        """Come up from what is on disk, then follow etcd and the kernel."""
        self._attach(self._known.indexes)
        revocations = Reconciler(self._store, [keys.REVOCATIONS], self._learn_revocations, name="revocations")
        helpers = [
            threading.Thread(target=self._follow_kernel, args=(stop,), name="netlink", daemon=True),
            threading.Thread(target=self._watchman.run, args=(stop, self._reports.poke), name="watchman", daemon=True),
            threading.Thread(target=self._reports.run, args=(stop,), name="quality", daemon=True),
            threading.Thread(target=revocations.run, args=(stop,), name="revocations", daemon=True),
        ]
        for helper in helpers:
            helper.start()
        record = keys.enrolled_host(self._host)
        Reconciler(self._store, [record], self._reconcile, name="agent", on_item=self._note).run(stop)
        with self._lock:
            attached = list(self._attached.values())
        enders = [threading.Thread(target=each.stop) for each in attached]
        for ender in enders:
            ender.start()
        for thread in (*enders, *helpers):
            thread.join(timeout=20)

    def observed(self) -> tuple[Observed, ...]:
        """Every CLADNet of this host whose data path tells of itself now, for whoever measures."""
        with self._lock:
            attached = list(self._attached.values())
        found = []
        for attachment in attached:
            try:
                found.append(self._with_paths(attachment.observed()))
            except LarvaError as error:
                log.info("%s cannot be observed: %s", attachment.group, error.message)
        return tuple(found)

    def _with_paths(self, observed: Observed) -> Observed:
        record = self._watchman.records().get(observed.group)
        if record is None:
            return observed
        paths = record.figures(Window.TEN_MINUTES, time.time())
        return replace(observed, paths=paths, alarms=record.alarms())

    def _watched(self) -> tuple[Watched, ...]:
        with self._lock:
            return tuple(attachment.watched() for attachment in self._attached.values())

    def _reconcile(self) -> float | None:
        try:
            record = self._store.get(keys.enrolled_host(self._host), EnrolledHost)
        except Unavailable as error:
            log.info("going on with the CLADNets known: %s", error.message)
            return RETRY_S
        except Refused as error:
            if not self._removed:  # nobody said so, hence no reason to cut the traffic off
                log.warning("going on with the CLADNets known: %s", error.message)
                return RETRY_S
            log.warning("this host was removed from the system")
            record = None
        groups = record.value.groups if record is not None else ()
        wanted = assigned(self._known.indexes, tuple(group for group in groups if keys.is_segment(group)))
        # What is left is forgotten afterwards, what is joined is noted before: whoever is killed in between finds it.
        self._leave_all_but(wanted)
        self._known.keep(wanted)
        self._attach(wanted)
        return None

    def _learn_revocations(self) -> None:
        published = self._store.get(keys.REVOCATIONS, RevocationList)
        if published is not None and self._revocations.hear(published.value):
            self._poke()

    def _note(self, item: Event | Relist) -> None:
        """A host that is removed may not read that it is: its watch is the last to tell it."""
        if isinstance(item, Event):
            self._removed = item.value is None

    def _leave_all_but(self, groups: Mapping[str, int]) -> None:
        failed: LarvaError | None = None
        for attachment in [each for group, each in self._attached.items() if group not in groups]:
            log.info("leaving %s", attachment.group)
            try:
                attachment.leave()
            except LarvaError as error:
                failed = error
                continue
            with self._lock:
                del self._attached[attachment.group]
        if failed is not None:
            raise failed  # nobody else may have its interface meanwhile

    def _attach(self, groups: Mapping[str, int]) -> None:
        for group in groups:
            if self._ring is not None:
                self._ring.expect(group)
        for group, index in groups.items():
            if group in self._attached:
                continue
            attachment = Attachment(
                self._store, self._facts, group, index, revoked=self._revocations.serials, ring=self._ring
            )
            log.info("attaching to %s on %s", group, attachment.interface)
            attachment.start()
            with self._lock:
                self._attached[group] = attachment

    def _follow_kernel(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                with contextlib.closing(discovery.Changes()) as changes:
                    self._poke_at(changes, stop)
            except OSError as error:
                log.warning("cannot follow the kernel's changes: %s", error)
                stop.wait(RETRY_S)

    def _poke_at(self, changes: discovery.Changes, stop: threading.Event) -> None:
        while not stop.is_set():
            if changes.wait(0.5) or (self._ring is not None and self._ring.has_news()):
                self._poke()

    def _poke(self) -> None:
        with self._lock:
            attached = list(self._attached.values())
        for attachment in attached:
            attachment.poke()


class GroupIndexes:
    """Which CLADNets this host is in and which interface each has: `/var/lib/larva/groups.json`.

    An index is kept as long as the host is in the CLADNet, so that its interface and port never change.
    """

    def __init__(self, at_enrolment: tuple[str, ...]) -> None:
        self._path = settings.state_directory() / "groups.json"
        self.indexes: Mapping[str, int] = self._load(at_enrolment)

    def _load(self, at_enrolment: tuple[str, ...]) -> dict[str, int]:
        """What was assigned last; what enrolment said when nothing was."""
        try:
            return _checked(codec.decode(self._path.read_bytes(), dict[str, int], source=str(self._path)))
        except FileNotFoundError:
            return assigned({}, at_enrolment)
        except (OSError, MalformedData) as error:
            log.warning("the list of CLADNets on disk is of no use: %s", error)
            return assigned({}, at_enrolment)

    def keep(self, indexes: Mapping[str, int]) -> None:
        """Remember them; on disk too, unless it is full or read-only, which must not keep the host out."""
        self.indexes = indexes
        try:
            files.write_if_changed(self._path, codec.encode(indexes), mode=files.SECRET)
        except OSError as error:
            log.warning("cannot write %s, the next start may not know its CLADNets: %s", self._path, error.strerror)


def _checked(indexes: Mapping[str, int]) -> dict[str, int]:
    """What names CLADNets and interfaces; two on one interface would take it from each other."""
    if len(set(indexes.values())) < len(indexes) or not all(0 <= index < MOST for index in indexes.values()):
        raise MalformedData("an interface is named twice, or none can have that number")
    return {group: index for group, index in indexes.items() if keys.is_segment(group)}


def assigned(before: Mapping[str, int], groups: tuple[str, ...]) -> dict[str, int]:
    """The index of each CLADNet of `groups`: the one it had, or the lowest that no other has."""
    kept = {group: before[group] for group in groups if group in before}
    for group in groups:
        if group not in kept:
            kept[group] = min(set(range(len(groups) + len(kept) + 1)) - set(kept.values()))
    return kept
