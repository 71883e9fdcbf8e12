"""The reconciler of an SMB gateway: who may reach which volume is what etcd says, and nobody else a moment longer.

A share stands only on a volume that is mounted, so that nothing is written into the bare directory under it. The order
is: what is no longer allowed goes from the configuration, its sessions are cut, then its account is removed.
"""

import base64
import binascii
import hashlib
import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from cbstorage import keys, records
from cbstorage.mounting import clients
from cbstorage.smb import accounts, configuration, plan
from cbstorage.smb import records as smb_records
from cbstorage.smb.model import SmbState, SmbUser
from cbstorage.smb.plan import Kept
from cbstorage.smb.server import Server, SystemdServer
from cladnet import seal
from cladnet.etcd.store import Store, Versioned
from cladnet.member import Identity
from larva import codec, files, settings
from larva.errors import LarvaError, MalformedData, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

CHECK_S = 10.0
"""Between two looks whether what is shared is still mounted."""

_one_server = threading.Lock()
"""The CLADNets of a host share one server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a gateway keeps its files, and the port it serves."""

    state: Path
    runtime: Path = Path("/run/larva-smb")
    port: int = configuration.PORT

    @classmethod
    def of_this_host(cls) -> "Place":
        """Below the state directory."""
        return cls(state=settings.state_directory() / "smb")

    @property
    def file(self) -> Path:
        """Samba's configuration."""
        return self.state / "smb.conf"


class SmbGateway:
    """The shares of one CLADNet on one host."""

    def __init__(
        self, store: Store, group: str, host: str, *, place: Place | None = None, server: Server | None = None
    ) -> None:
        self._store = store
        self._group = group
        self._host = host
        self._place = place or Place.of_this_host()
        self._server: Server = server or SystemdServer(self._place.file)

    def prefixes(self) -> list[str]:
        """What wakes the reconciler."""
        return [
            keys.smb_shares_on(self._group, self._host),
            keys.smb_users_on(self._group, self._host),
            keys.mount_states_on(self._group, self._host),
        ]

    def reconcile(self) -> float:
        """Bring the server nearer to what is wanted and report; return when to look again."""
        with _one_server:
            kept = self._recall()
            try:
                wanted = _values(smb_records.shares_on(self._store, self._group, self._host))
                users = _values(smb_records.users_on(self._store, self._group, self._host))
                mounts = records.wanted_on(self._store, self._group, self._host)
            except Unavailable:
                self._serve_what_was(kept)
                raise
            if not wanted and not users and self._group not in kept:
                return CHECK_S
            accounts.require_samba()
            mounted = {path for mount in mounts.values() if _volume_is_at(path := mount.path)}
            passwords, unreadable = self._passwords(users)
            marks = {name: _mark(users[name]) for name in passwords}
            todo = plan.plan(self._group, kept, shares=wanted, mounts=mounts, mounted=mounted, users=marks)
            problems = [*todo.problems, *unreadable]
            self._apply(kept, todo.kept, passwords, problems)
            serving = tuple(share.name for share in todo.kept[self._group].shares) if self._group in todo.kept else ()
            state = SmbState(host=self._host, serving=serving, problems=tuple(problems))
            records.tell(self._store, keys.smb_state(self._group, self._host), state)
        return CHECK_S

    def _apply(
        self, old: Mapping[str, Kept], new: Mapping[str, Kept], passwords: Mapping[str, str], problems: list[str]
    ) -> None:
        offered = plan.merged(new)
        self._place.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = configuration.render(
            offered, state=self._place.state, runtime=self._place.runtime, port=self._place.port
        )
        files.write_if_changed(self._place.file, text)
        before = plan.merged(old)
        if offered and not self._server.start() and before != offered:
            self._server.reread()
            for name in plan.narrowed(before, offered):
                self._server.cut(name)
        allowed = {user for kept in new.values() for user, _ in kept.users}
        accounts.keep_only(allowed, configuration=self._place.file)
        done = new.get(self._group, Kept())
        known = dict(old.get(self._group, Kept()).users)
        samba = accounts.known_to_samba(self._place.file)
        for user, mark in done.users:
            if known.get(user) == mark and user in samba:
                continue
            try:
                accounts.ensure(user, passwords[user], configuration=self._place.file)
            except LarvaError as error:
                problems.append(f"{user}: {error.message}")
                done = replace(done, users=tuple(one for one in done.users if one[0] != user))
        # Written last: what a crash before this left undone is done again.
        self._remember(done)
        if offered:
            self._server.start()
        else:
            self._server.stop()

    def _passwords(self, users: Mapping[str, SmbUser]) -> tuple[dict[str, str], list[str]]:
        """The passwords sealed to this host, and why others cannot be read."""
        private = Identity.load().seal_private
        found, problems = {}, []
        for name, user in users.items():
            try:
                found[name] = seal.open_sealed(private, base64.b64decode(user.box, validate=True)).decode()
                if "\n" in found[name] or not found[name]:
                    raise MalformedData("a password is one line")
            except (LarvaError, ValueError, binascii.Error) as error:
                words = error.message if isinstance(error, LarvaError) else "it is no sealed password"
                problems.append(f"{name}: {words}; set the password again with `larva smb password {name}`")
                found.pop(name, None)
        return found, problems

    def _serve_what_was(self, kept: Mapping[str, Kept]) -> None:
        if plan.merged(kept) and self._place.file.exists():
            try:
                self._server.start()
            except LarvaError as error:
                log.warning("%s", error.message)

    def _recall(self) -> dict[str, Kept]:
        found = {}
        for path in sorted((self._place.state / "groups").glob("*.json")):
            try:
                found[path.stem] = codec.decode(path.read_bytes(), Kept, source=str(path))
            except MalformedData as error:  # as good as lost: it is made anew from etcd
                log.warning("left out: %s", error)
        return found

    def _remember(self, kept: Kept) -> None:
        directory = self._place.state / "groups"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = directory / f"{self._group}.json"
        if kept == Kept():
            path.unlink(missing_ok=True)
        else:
            files.write_if_changed(path, codec.encode(kept), mode=files.SECRET)


def _values(found: Mapping[str, Versioned[T]]) -> dict[str, T]:
    return {name: item.value for name, item in found.items()}


def _mark(user: SmbUser) -> str:
    """What tells one password from the next without saying anything of it."""
    return hashlib.sha256(user.box.encode()).hexdigest()


def _volume_is_at(path: str) -> bool:
    there = clients.mounted_at(Path(path))
    return there is not None and there.is_volume
