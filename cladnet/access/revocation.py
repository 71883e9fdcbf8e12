"""Revocation: removed hosts' certificates, in the list that etcd asks at each new connection.

Without it etcd would refuse them keys, but would still let them compact its history, hold leases and raise its alarms.
"""

import logging
from datetime import UTC, datetime
from pathlib import Path

from cladnet import keys
from cladnet.enrol import authority
from cladnet.enrol.authority import Authority
from cladnet.etcd.reconciler import Reconciler
from cladnet.etcd.store import Store
from cladnet.model import RevokedCertificate
from larva import files, settings
from larva.errors import MalformedData

log = logging.getLogger(__name__)


def list_file() -> Path:
    """Where this control node's etcd reads the list; it has to be there before etcd starts.

    Not in etcd's own directory: the controller's unit has root's name and none of root's powers, so cannot enter it.
    """
    return settings.state_directory() / "revoked.pem"


class RevocationKeeper:
    """Keeps this control node's list as etcd's keys say; etcd reads the file anew at every connection."""

    def __init__(self, store: Store, ca: Authority, path: Path) -> None:
        self._store = store
        self._ca = ca
        self._path = path

    def reconciler(self) -> Reconciler:
        """The loop that keeps the list right as hosts are removed."""
        return Reconciler(self._store, [keys.REVOKED], self.reconcile, name="revocation")

    def reconcile(self) -> None:
        """Write the list if it differs, and forget what has expired by itself."""
        now = datetime.now(UTC)
        serials = set()
        for serial, item in self._store.children(keys.REVOKED, RevokedCertificate).items():
            if item.value.revoked_at + authority.LEAF_LIFETIME < now:
                self._store.delete(item.key, revision=item.revision)
            elif authority.is_serial(serial):
                serials.add(serial)
        write(self._ca, self._path, frozenset(serials))


def write(ca: Authority, path: Path, serials: frozenset[str]) -> None:
    """Write the list unless it is there and says the same.

    Args:
        serials: hexadecimal.
    """
    if not _says(path, serials):
        files.write_whole(path, ca.revocation_list(serials))
        log.info("etcd accepts no new connection with %d certificates", len(serials))


def _says(path: Path, serials: frozenset[str]) -> bool:
    try:
        return authority.revoked_serials(path.read_bytes(), source=str(path)) == serials
    except FileNotFoundError:
        return False
    except MalformedData as error:  # etcd accepts nobody with such a file
        log.warning("%s", error)
        return False
