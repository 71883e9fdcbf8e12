"""A copier's identity: one for each copy, removed with everything it has open."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cbstorage.ceph import cephx
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local, services
from cbstorage.model import FILE_SYSTEM
from larva import files
from larva.errors import NotFound


@dataclass(frozen=True, slots=True)
class CopyAccess:
    """Gives and takes the identities of copies."""

    monitors: Monitors
    evict: Callable[[Sequence[str], tuple[str, ...]], None]
    """Ends the sessions of identities on metadata servers."""
    servers: tuple[str, ...]
    """The active ones."""

    def give(self, entity: str) -> Path:
        """Return an identity's keyring, for root only; it is made if it is not there."""
        identity = services.get_or_create(self.monitors, entity, cephx.copy_caps(file_system=FILE_SYSTEM))
        path = local.private_directory("copies") / f"{entity}.keyring"
        files.write_if_changed(path, cephx.keyring(identity), mode=files.SECRET)
        return path

    def take(self, entity: str) -> None:
        """Remove an identity and end its sessions, so that nobody writes by it any more."""
        with contextlib.suppress(NotFound):
            self.monitors.run("auth rm", entity=entity)
        self.evict([entity], self.servers)
        (local.private_directory("copies") / f"{entity}.keyring").unlink(missing_ok=True)
