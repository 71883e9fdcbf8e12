"""The agent: attaches this host to every CLADNet that its enrolment record names, and keeps it attached."""

import logging
import threading

from cladnet import discovery, keys
from cladnet.attachment import Attachment
from cladnet.member import Identity, Member
from cladnet.model import EnrolledHost
from cladnet.publisher import HostFacts
from cladnet.reconciler import Reconciler
from cladnet.store import Store
from larva import codec, files, settings
from larva.errors import LarvaError, MalformedData, Unavailable

log = logging.getLogger(__name__)

RETRY_S = 5.0


class Agent:
    """Run the agent of this host until `stop` is set; the interfaces outlive it."""

    def __init__(self, store: Store, member: Member, identity: Identity) -> None:
        self._store = store
        self._host = member.host
        self._facts = HostFacts(member, identity)
        self._known = GroupIndexes(member.groups)
        self._attached: dict[str, Attachment] = {}
        self._lock = threading.Lock()

    def run(self, stop: threading.Event) -> None:
        """Come up from what is on disk, then follow etcd and the kernel."""
        self._attach(self._known.load())
        changes = threading.Thread(target=self._follow_kernel, args=(stop,), name="netlink", daemon=True)
        changes.start()
        Reconciler(self._store, [keys.enrolled_host(self._host)], self._reconcile, name="agent").run(stop)
        with self._lock:
            attached = list(self._attached.values())
        enders = [threading.Thread(target=each.stop) for each in attached]
        for ender in enders:
            ender.start()
        for thread in (*enders, changes):
            thread.join(timeout=20)

    def _reconcile(self) -> float | None:
        try:
            record = self._store.get(keys.enrolled_host(self._host), EnrolledHost)
        except Unavailable as error:
            log.info("going on with the CLADNets known: %s", error.message)
            return RETRY_S
        self._attach(self._known.assign(record.value.groups if record is not None else ()))
        return None

    def _attach(self, groups: dict[str, int]) -> None:
        with self._lock:
            gone = [self._attached.pop(group) for group in list(self._attached) if group not in groups]
            new = {group: index for group, index in groups.items() if group not in self._attached}
        for attachment in gone:
            log.info("leaving %s", attachment.group)
            attachment.leave()
        for group, index in new.items():
            attachment = Attachment(self._store, self._facts, group, index)
            log.info("attaching to %s on %s", group, attachment.interface)
            attachment.start()
            with self._lock:
                self._attached[group] = attachment

    def _follow_kernel(self, stop: threading.Event) -> None:
        changes = discovery.Changes()
        while not stop.is_set():
            if changes.wait(0.5):
                with self._lock:
                    attached = list(self._attached.values())
                for attachment in attached:
                    attachment.poke()
        changes.close()


class GroupIndexes:
    """Which CLADNets this host is in and which interface each has: `/var/lib/larva/groups.json`.

    An index is kept as long as the host is in the CLADNet, so that its interface and port never change.
    """

    def __init__(self, at_enrolment: tuple[str, ...]) -> None:
        self._path = settings.state_directory() / "groups.json"
        self._at_enrolment = at_enrolment

    def load(self) -> dict[str, int]:
        """What was assigned last; what enrolment said when nothing was."""
        try:
            return codec.decode(self._path.read_bytes(), dict[str, int], source=str(self._path))
        except FileNotFoundError:
            return assigned({}, self._at_enrolment)
        except (OSError, MalformedData) as error:
            log.warning("the list of CLADNets on disk is of no use: %s", error)
            return assigned({}, self._at_enrolment)

    def assign(self, groups: tuple[str, ...]) -> dict[str, int]:
        """Keep the indexes of CLADNets that stay, give new ones the lowest free, and remember."""
        indexes = assigned(self.load(), groups)
        try:
            files.write_if_changed(self._path, codec.encode(indexes), mode=files.SECRET)
        except OSError as error:
            raise LarvaError(f"cannot write {self._path}: {error.strerror}") from error
        return indexes


def assigned(before: dict[str, int], groups: tuple[str, ...]) -> dict[str, int]:
    """The index of each CLADNet of `groups`: the one it had, or the lowest that no other has."""
    kept = {group: before[group] for group in groups if group in before}
    for group in groups:
        if group not in kept:
            kept[group] = min(set(range(len(groups) + len(kept) + 1)) - set(kept.values()))
    return kept
