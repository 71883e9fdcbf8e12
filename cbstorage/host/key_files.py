"""The keys of a storage host on its disk: written when one is replaced, told to the monitors' hosts, used in time.

A daemon uses the next key when it starts. The administrator's next key lies beside the present one until that is
refused: every monitor's host has both by then.
"""

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cbstorage.ceph import cephx
from cbstorage.ceph.answers import AuthEntry
from cbstorage.ceph.cephx import Identity
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local, systemd
from cbstorage.model import DaemonKind, HeldKey
from cbstorage.rotation_model import KeyRotation
from larva.errors import LarvaError, Refused

log = logging.getLogger(__name__)

_KINDS = (DaemonKind.MDS, DaemonKind.MGR, DaemonKind.OSD)
_NEXT_ADMIN = f"{cephx.ADMIN}.next"


class KeyFiles:
    """The keys of this host's daemons and its own.

    Args:
        host: this one.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._restarted: set[tuple[str, str]] = set()
        self._sealed: frozenset[str] = frozenset()

    def write_client(self, present: Mapping[str, Identity], following: Mapping[str, Identity], entity: str) -> None:
        """Write this host's own keyring."""
        if entity != cephx.ADMIN:
            self._write_newer(following.get(entity, present[entity]))
            return
        beside = local.keyring_of(_NEXT_ADMIN)
        if entity not in following:
            beside.unlink(missing_ok=True)
            self._write_newer(present[entity])
            return
        local.write_client_keyring(Identity(entity=_NEXT_ADMIN, key=following[entity].key))
        if _key(local.keyring_of(entity)) != following[entity].key:
            local.write_client_keyring(present[entity])

    def _write_newer(self, identity: Identity) -> None:
        """Write a keyring unless a newer key lies there: what is sealed may come from a backup of etcd.

        Where the newer one is refused, `exchange` writes the other.
        """
        on_disk = _key(local.keyring_of(identity.entity))
        if not on_disk or cephx.made_at(on_disk) < cephx.made_at(identity.key):
            local.write_client_keyring(identity)

    def exchange(self, present: Mapping[str, Identity], following: Mapping[str, Identity], entity: str) -> bool:
        """Put the other key in the place of one that was refused; False if there is no other."""
        refused = _key(local.keyring_of(entity))
        for one in (following.get(entity), present.get(entity)):
            if one is not None and one.key != refused:
                local.write_client_keyring(one)
                return True
        return False

    def connect(self, present: Mapping[str, Identity], following: Mapping[str, Identity], entity: str) -> Monitors:
        """Return a connection to the monitors by this host's own keyring, or by the other key where one is refused.

        Raises:
            Unavailable: no quorum answers.
            Refused: no key is good.
        """
        keyring = local.keyring_of(entity)
        try:
            return Monitors(local.CONFIGURATION, entity=entity, keyring=keyring)
        except Refused:
            if self.exchange(present, following, entity):
                with contextlib.suppress(Refused):
                    return Monitors(local.CONFIGURATION, entity=entity, keyring=keyring)
            if entity != cephx.ADMIN or not self._ask_own_monitor():
                raise
            return Monitors(local.CONFIGURATION, entity=entity, keyring=keyring)

    def _ask_own_monitor(self) -> bool:
        """Write the administrator's key as this host's monitor has it; False if it has none, or the same.

        The net below every replacement that went wrong: no rotation ends the monitors' own key.
        """
        keyring = local.data_directory(DaemonKind.MON, self._host) / "keyring"
        if not keyring.exists():
            return False
        with Monitors(local.CONFIGURATION, entity=cephx.MON, keyring=keyring) as monitors:
            (found,) = monitors.ask("auth get", tuple[AuthEntry, ...], entity=cephx.ADMIN)
        if found.key == _key(local.keyring_of(cephx.ADMIN)):
            return False
        local.write_client_keyring(Identity(entity=cephx.ADMIN, key=found.key))
        log.warning("the key of %s was asked of this host's own monitor: the one on disk was refused", cephx.ADMIN)
        return True

    def write_daemons(self, present: Mapping[str, Identity], following: Mapping[str, Identity]) -> None:
        """Write the daemons' keyrings, for when they start the next time."""
        self._sealed = frozenset({*present, *following})
        for kind, name, entity in _daemons():
            if kind is DaemonKind.OSD and not (local.data_directory(kind, name) / "ready").exists():
                continue  # it is being made, with the key that it was registered with
            on_disk = _key(local.data_directory(kind, name) / "keyring")
            if entity in following:
                new: Identity | None = following[entity]
            else:
                new = present.get(entity)
                # What is sealed may be of an earlier bearer of the name: whoever made the daemon anew knows better.
                if new is not None and on_disk and cephx.made_at(new.key) <= cephx.made_at(on_disk):
                    new = None
            if new is not None and new.key != on_disk:
                local.write_daemon_keyring(kind, name, new)
                log.info("%s has another key, for its next start", entity)

    def restart(
        self, present: Mapping[str, Identity], following: Mapping[str, Identity], wishes: Iterable[KeyRotation]
    ) -> None:
        """Restart what runs by a key that is good no more, where that was asked for at once; once for each key."""
        if not any(wish.now and wish.means(frozenset({self._host}), None) for wish in wishes):
            return
        for kind, name, entity in _daemons():
            key, unit = _key(local.data_directory(kind, name) / "keyring"), local.unit(kind, name)
            committed = entity in present and entity not in following and present[entity].key == key
            once = (entity, cephx.fingerprint(key))
            if committed and once not in self._restarted and systemd.running(unit) and not _is_used(kind, name):
                self._restarted.add(once)
                log.info("%s is restarted: the key it was started with is good no more", entity)
                systemd.restart(unit)

    def held(self) -> tuple[HeldKey, ...]:
        """What lies on the disk of this host."""
        found = [(entity, _key(local.keyring_of(entity))) for entity in (cephx.ADMIN, cephx.storage_host(self._host))]
        found.append((cephx.ADMIN, _key(local.keyring_of(_NEXT_ADMIN))))
        keys = [HeldKey(entity=entity, fingerprint=cephx.fingerprint(key)) for entity, key in found if key]
        for kind, name, entity in _daemons():
            if entity in self._sealed and (key := _key(local.data_directory(kind, name) / "keyring")):
                used = _is_used(kind, name)
                keys.append(HeldKey(entity=entity, fingerprint=cephx.fingerprint(key), used=used))
        return tuple(keys)


def _daemons() -> Iterator[tuple[DaemonKind, str, str]]:
    for kind in _KINDS:
        for name in local.prepared(kind):
            yield kind, name, f"{kind}.{name}"


def _key(path: Path) -> str:
    try:
        return cephx.key_in(path.read_text())
    except FileNotFoundError:
        return ""


def _is_used(kind: DaemonKind, name: str) -> bool:
    """Whether the running daemon was started after its keyring was written."""
    try:
        age_s = systemd.age_s(local.unit(kind, name))
    except LarvaError as error:
        log.warning("%s", error.message)
        return False
    written = (local.data_directory(kind, name) / "keyring").stat().st_mtime
    return age_s is not None and time.time() - age_s > written
