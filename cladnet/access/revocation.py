"""Revocation: removed hosts' certificates, in the list that etcd asks at each connection and that every agent reads.

Without it etcd would refuse them keys, but would still let them compact its history, hold leases and raise its alarms;
and whoever can write etcd could write a removed host's rule back.
"""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from cladnet import keys
from cladnet.enrol import authority
from cladnet.enrol.authority import Authority
from cladnet.etcd.reconciler import Reconciler
from cladnet.etcd.store import Condition, Put, Store
from cladnet.model import RevocationList, RevokedCertificate
from cladnet.trust.revocations import NONE, Memory, merged
from larva import files, settings
from larva.errors import Conflict, MalformedData

log = logging.getLogger(__name__)


def list_file() -> Path:
    """Where this control node's etcd reads the list; it has to be there before etcd starts.

    Not in etcd's own directory: the controller's unit has root's name and none of root's powers, so cannot enter it.
    """
    return settings.state_directory() / "revoked.pem"


class RevocationKeeper:
    """Keeps this control node's list, for its etcd and for all agents; etcd reads its file anew at every connection.

    What was revoked once stays so until the certificate would have ended, whatever becomes of etcd's keys: the list is
    kept in a file beside etcd's.

    Args:
        path: etcd's file.
    """

    def __init__(self, store: Store, ca: Authority, path: Path) -> None:
        self._store = store
        self._ca = ca
        self._path = path

    def reconciler(self) -> Reconciler:
        """The loop that keeps the list right as hosts are removed."""
        return Reconciler(self._store, [keys.REVOKED, keys.REVOCATIONS], self.reconcile, name="revocation")

    def revoked(self) -> frozenset[str]:
        """Serial numbers (hexadecimal) of what was revoked."""
        return self._memory().serials()

    def reconcile(self) -> None:
        """Write the list where it differs, and forget what has expired by itself.

        Raises:
            Conflict: somebody else publishes it right now; look again.
        """
        now = datetime.now(UTC)
        memory = self._memory()
        wanted = merged(memory.known, self._published(), self._asked(), now=now)
        memory.learn(wanted)
        write(self._ca, self._path, frozenset(wanted.serials))
        self._publish(wanted)
        for key, at in self._expired(now):
            self._store.delete(key, revision=at)

    def _memory(self) -> Memory:
        return Memory(self._path.with_suffix(".json"))  # read each time: `larva enrol remove` writes it too

    def _asked(self) -> RevocationList:
        found = self._store.children(keys.REVOKED, RevokedCertificate).items()
        return RevocationList(
            number=0, serials={serial: it.value.revoked_at for serial, it in found if authority.is_serial(serial)}
        )

    def _published(self) -> RevocationList:
        try:
            found = self._store.get(keys.REVOCATIONS, RevocationList)
        except MalformedData as error:  # it is written over
            log.warning("%s", error)
            return NONE
        return found.value if found is not None else NONE

    def _publish(self, wanted: RevocationList) -> None:
        if self._published() == wanted:
            return
        revision = self._store.revisions(keys.REVOCATIONS).get(keys.REVOCATIONS, 0)
        if not self._store.transact([Condition(keys.REVOCATIONS, revision)], [Put(keys.REVOCATIONS, wanted)]):
            raise Conflict("somebody else publishes the revocations right now")
        log.info("published the revocation of %d certificates as number %d", len(wanted.serials), wanted.number)

    def _expired(self, now: datetime) -> Iterable[tuple[str, int]]:
        found = self._store.children(keys.REVOKED, RevokedCertificate).values()
        return [(it.key, it.revision) for it in found if it.value.revoked_at + authority.LEAF_LIFETIME < now]


def write(ca: Authority, path: Path, serials: frozenset[str]) -> None:
    """Write the list unless it is there and says the same.

    Args:
        serials: hexadecimal.
    """
    if not _says(path, serials):
        files.write_whole(path, ca.revocation_list(serials))
        log.info("etcd accepts no new connection with %d certificates", len(serials))


def is_revoked(certificate: x509.Certificate) -> bool:
    """Whether this control node's list names a certificate; False where there is no list."""
    try:
        listed = authority.revoked_serials(list_file().read_bytes(), source=str(list_file()))
    except FileNotFoundError:
        return False
    return f"{certificate.serial_number:x}" in listed


def _says(path: Path, serials: frozenset[str]) -> bool:
    try:
        return authority.revoked_serials(path.read_bytes(), source=str(path)) == serials
    except FileNotFoundError:
        return False
    except MalformedData as error:  # etcd accepts nobody with such a file
        log.warning("%s", error)
        return False
