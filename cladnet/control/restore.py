"""Restore: the CA and etcd's data of a backup take their place on a host, whole or not at all.

Everything is made and tried in a directory beside its place, where an etcd of our own runs on it once; then it is
renamed into place, and what was there is moved aside. Founding goes on from there, as on any host that has them.
"""

import hashlib
import logging
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

from cladnet.access import revocation
from cladnet.control import aftercare, archive, backup, founding, node_files, private_etcd, vault
from cladnet.control.aftercare import Cared
from cladnet.control.archive import Manifest
from cladnet.control.etcd_config import Ports
from cladnet.enrol.authority import Authority
from cladnet.enrol.join_file import JoinFile
from cladnet.member import Member, member_file, prepare_state
from cladnet.model import Role
from larva import codec, files, process, settings
from larva.errors import Conflict, HostUnfit, MalformedData, ProgramFailed

log = logging.getLogger(__name__)

UNPACKED_WITHIN_S = 1800.0
"""As long as taking the snapshot may take."""
_REPLACED = (archive.REVOKED, "ca", "etcd")
"""What a backup brings, in the order in which it takes its place; etcd's data are the last."""
_MOVED_ASIDE = (*_REPLACED, "revoked.json")
"""With what was remembered of the system before, which the controller finds in etcd too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was done."""

    manifest: Manifest
    cared: Cared | None
    """None when an earlier call had done that already."""
    moved_to: Path | None
    """Where what was there before is now."""


def as_founder(wanted: JoinFile, *, host: str | None, public_address: IPv4Address | None) -> JoinFile:
    """Return the join file of the host that takes the system over: a control node that joins nobody.

    Raises:
        InvalidInput: the parts do not make sense together.
    """
    roles = wanted.roles if Role.CONTROL in wanted.roles else (Role.CONTROL, *wanted.roles)
    control = replace(wanted.control, public_address=public_address or wanted.control.public_address)
    founder = replace(wanted, roles=roles, host=host or wanted.host, join=None, control=control)
    return founder.checked(source="larva control restore")


def install(
    path: Path,
    secret: vault.Secret,
    wanted: JoinFile,
    *,
    replace_old: bool,
    stop_services: Callable[[], None],
    ports: Ports = Ports(),  # noqa: B008 - frozen
) -> Restored:
    """Put a backup's CA and etcd in place on this host; then call `founding.found`, then finish().

    A call that was killed anywhere is completed by the next one with the same backup. Until the last step begins
    nothing has changed, and founding refuses what is there until that step is complete.

    Args:
        wanted: as as_founder() makes it.
        replace_old: move a control node's CA and etcd that are there into a directory beside them.
        stop_services: ends what uses them; called only if there are any.

    Raises:
        Conflict: this host has a CA or etcd's data and `replace_old` is not given, or is a member of some system.
        Refused, MalformedData, NotFound: as `backup.show`.
        HostUnfit: etcd or its tools are missing or too old for the backup.
        OSError: the disk is full or refuses.
    """
    process.require_programs("etcd", "etcdctl")
    state, unfinished = settings.state_directory(), founding.unfinished_restore()
    if _installed().exists() and not replace_old:
        manifest = backup.show(path, secret)
        if _installed().read_bytes() == _identity(manifest):
            return Restored(manifest=manifest, cared=None, moved_to=None)
    if not unfinished.exists():
        _refuse_what_is_there(state, replace_old=replace_old)
    prepare_state()
    making = state / ".restoring"
    if making.exists():
        shutil.rmtree(making)
    making.mkdir(mode=0o700)
    try:
        manifest, cared = _make(making, path, secret, wanted, ports)
        os.sync()
        files.write_whole(unfinished, _identity(manifest), mode=files.SECRET)
        moved_to = _exchange(making, state, stop_services)
        unfinished.rename(_installed())
        files.sync_directory(state)
    finally:
        shutil.rmtree(making)
    log.info("restored %s as of %s", manifest.ca, manifest.taken_at.isoformat(timespec="seconds"))
    return Restored(manifest=manifest, cared=cared, moved_to=moved_to)


def finish() -> None:
    """The host has been founded upon what was restored: the next restore is another one."""
    _installed().unlink(missing_ok=True)


def _installed() -> Path:
    """There from the exchange until founding is through: which backup it was."""
    return settings.state_directory() / "restore-installed"


def _identity(manifest: Manifest) -> bytes:
    return hashlib.sha256(codec.encode(manifest)).hexdigest().encode() + b"\n"


def _refuse_what_is_there(state: Path, *, replace_old: bool) -> None:
    if member_file().exists() and not (state / "ca" / "ca.key").exists():
        raise Conflict(
            f"this host is a member of the system at {Member.load().server}, and no control node of it",
            hint="restore on a fresh machine; members are not lost with the control nodes",
        )
    there = [name for name in ("ca", "etcd/data") if (state / name).exists()]
    if there and not replace_old:
        raise Conflict(
            f"this host has a control plane already: {', '.join(str(state / name) for name in there)}",
            hint="--replace moves it aside; nothing is deleted",
        )


def _make(making: Path, path: Path, secret: vault.Secret, wanted: JoinFile, ports: Ports) -> tuple[Manifest, Cared]:
    """Leave in `making` everything as it has to be in its place, and nothing else."""
    manifest = backup.unpacked(path, secret, making)
    host = Member.load().host if member_file().exists() else wanted.host_name()  # as founding will call it
    peer = node_files.locate(wanted, host, ports).record(ready=True).peer_url
    ca = Authority.load(making / "ca")
    Authority.load(making / "ca" / "members")
    if ca.fingerprint() != manifest.ca or not (making / archive.SNAPSHOT).exists():
        raise MalformedData(f"{path}: its parts do not belong together")
    _refuse_older_etcd(manifest)
    (making / "etcd").mkdir(mode=0o700)
    data = making / "etcd" / "data"
    tool = "etcdutl" if shutil.which("etcdutl") else "etcdctl"  # 3.5 has both, 3.6 restores by the former only
    try:
        process.run(
            [
                tool, "snapshot", "restore", making / archive.SNAPSHOT, "--data-dir", data, "--name", host,
                "--initial-cluster", f"{host}={peer}", "--initial-advertise-peer-urls", peer,
                # Its own token gives the cluster an id of its own, by which clients know that history was cut.
                "--initial-cluster-token", f"larva-{secrets.token_hex(8)}",
            ],
            timeout=UNPACKED_WITHIN_S, env={"ETCDCTL_API": "3"},
        )  # fmt: skip
    except ProgramFailed as error:
        raise MalformedData(f"{path}: etcd does not take its snapshot: {error.message}") from error
    (making / archive.SNAPSHOT).unlink()
    with private_etcd.running(data, making / "ca", making / "tried") as store:
        cared = aftercare.care(store, host)
    shutil.rmtree(making / "tried")
    if not (making / archive.REVOKED).exists():
        revocation.write(ca, making / archive.REVOKED, frozenset())
    (making / archive.REVOKED).chmod(files.PUBLIC)  # etcd's own user reads it
    owner = node_files.etcd_owner()
    if owner is not None:
        for directory, _, names in os.walk(making / "etcd"):
            for each in (Path(directory), *(Path(directory, name) for name in names)):
                os.chown(each, *owner)
    return manifest, cared


def _refuse_older_etcd(manifest: Manifest) -> None:
    """etcd reads what an earlier minor version wrote, not what a later one did."""
    here = _etcd_here()
    if _minor(here) < _minor(manifest.etcd_version):
        raise HostUnfit(
            f"the backup is of etcd {manifest.etcd_version}, this host has {here}",
            hint="restore on an image that is not older than the one that made it",
        )


def _etcd_here() -> str:
    told = process.run(["etcd", "--version"]).split()
    return next((word for word in told if word[0].isdigit()), "")


def _minor(version: str) -> tuple[int, ...]:
    numbers = version.split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit())


def _exchange(making: Path, state: Path, stop_services: Callable[[], None]) -> Path | None:
    """Move what is there aside and what was made into its place."""
    old = [name for name in _MOVED_ASIDE if (state / name).exists()]
    aside = None
    if old:
        stop_services()
        number = 1 + max((int(path.suffix[1:]) for path in state.glob("replaced.*")), default=0)
        aside = state / f"replaced.{number}"
        aside.mkdir(mode=0o700)
        for name in old:
            (state / name).rename(aside / name)
        files.sync_directory(aside)
    for name in _REPLACED:
        (making / name).rename(state / name)
    files.sync_directory(state)
    return aside
