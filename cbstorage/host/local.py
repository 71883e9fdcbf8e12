"""The files of Ceph on this host: where they are, whose they are, and how they are written."""

import os
import pwd
from pathlib import Path

from cbstorage.ceph import cephx, conf
from cbstorage.model import DaemonKind
from larva import files, settings
from larva.errors import HostUnfit

CONFIGURATION = conf.DIRECTORY / "ceph.conf"


def ceph_owner() -> tuple[int, int]:
    """User and group id of Ceph's daemons; HostUnfit where Ceph is not installed."""
    try:
        entry = pwd.getpwnam("ceph")
    except KeyError as error:
        raise HostUnfit("Ceph is not installed here", hint="storage hosts need the image's profile `full`") from error
    return entry.pw_uid, entry.pw_gid


def keyring_of(entity: str) -> Path:
    """Where a client's keyring is looked for."""
    return conf.DIRECTORY / f"ceph.{entity}.keyring"


def data_directory(kind: DaemonKind, daemon_id: str) -> Path:
    """A daemon's data directory, as its unit expects it."""
    return conf.DATA / kind / f"ceph-{daemon_id}"


def unit(kind: DaemonKind, daemon_id: str) -> str:
    """Debian's unit of a daemon."""
    return f"ceph-{kind}@{daemon_id}.service"


def mds_name(host: str) -> str:
    """A metadata server's name; unlike a host's it may not begin with a digit."""
    return f"mds-{host}"


def write_configuration(text: str) -> bool:
    """Write ceph.conf whole if it changed and return whether it did."""
    CONFIGURATION.parent.mkdir(parents=True, exist_ok=True)
    return files.write_if_changed(CONFIGURATION, text)


def write_client_keyring(identity: cephx.Identity) -> Path:
    """Write a client's keyring, for root only."""
    path = keyring_of(identity.entity)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_if_changed(path, cephx.keyring(identity), mode=files.SECRET)
    return path


def write_daemon_keyring(kind: DaemonKind, daemon_id: str, identity: cephx.Identity) -> None:
    """Write a daemon's keyring into its data directory, for the user ceph only."""
    owner = ceph_owner()
    directory = data_directory(kind, daemon_id)
    if not directory.is_dir():
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
        os.chown(directory, *owner)
    files.write_if_changed(directory / "keyring", cephx.keyring(identity), mode=files.SECRET, owner=owner)


def give_to_ceph(directory: Path) -> None:
    """Make the user ceph the owner of a directory and of all in it; what symbolic links lead to stays."""
    owner = ceph_owner()
    os.chown(directory, *owner)
    for root, directories, names in os.walk(directory):
        for name in (*directories, *names):
            os.chown(Path(root) / name, *owner, follow_symlinks=False)


def prepared(kind: DaemonKind) -> list[str]:
    """Ids of the daemons of a kind whose data directories are on this host."""
    directory = conf.DATA / kind
    if not directory.is_dir():
        return []
    return sorted(path.name.removeprefix("ceph-") for path in directory.iterdir() if path.name.startswith("ceph-"))


def private_directory(*parts: str) -> Path:
    """A directory of ours for secrets and caches, 0700, below the state directory."""
    path = settings.state_directory() / "storage"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for part in parts:
        path /= part
        path.mkdir(mode=0o700, exist_ok=True)
    return path
