"""Which storage cluster this host gives its disks to: the first one, for good. Ceph's files have room for one."""

from dataclasses import dataclass
from pathlib import Path

from cbstorage.host import local
from larva import codec, files
from larva.errors import Conflict


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """`storage/cluster.json` in the state directory; it is never written again."""

    group: str
    fsid: str


def stake(group: str, fsid: str) -> None:
    """Give this host to a cluster, if it has none yet.

    Raises:
        Conflict: it serves another one.
    """
    mine = Claim(group=group, fsid=fsid)
    if current() is None:
        files.write_once(_file(), codec.encode(mine), mode=files.SECRET)
    found = current()
    if found != mine:
        raise Conflict(
            f"this host serves storage cluster {found.fsid if found else ''} of CLADNet {found.group if found else ''}",
            hint="a host serves one storage cluster for good; in other CLADNets it mounts volumes",
        )


def current() -> Claim | None:
    """Return the cluster that this host serves; None before the first one."""
    path = _file()
    return codec.decode(path.read_bytes(), Claim, source=str(path)) if path.exists() else None


def _file() -> Path:
    return local.private_directory() / "cluster.json"
