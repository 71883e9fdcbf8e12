"""Where on a host a volume may be mounted: asked when somebody wishes it, and again by the host that would do it."""

import re
from pathlib import Path, PurePosixPath

from cbstorage.mounting import clients
from larva.errors import Conflict, HostUnfit, InvalidInput

PROTECTED = frozenset(["/", "/home", "/opt", "/srv", "/mnt", "/media", "/tmp"])  # noqa: S108 - refused, not used
"""Directories of the system that no volume may cover."""

SYSTEM = (
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr",
    "/var",
)  # fmt: skip
"""Directories in which no volume may lie either: what is found there is run, trusted or needed by the host itself."""

_PART = re.compile(r"\w[\w.+@ -]*")
"""No hidden part, as `.ssh`, whose content is trusted; nothing that systemd would expand in a unit's command line."""


def check(path: str) -> str:
    """Return the path without needless parts; InvalidInput if no volume may be mounted there."""
    if not path.startswith("/"):
        raise InvalidInput(
            f"mount path {path!r} is not absolute", hint=f"write it from the root, as /srv/{path or 'data'}"
        )
    parts = PurePosixPath(path).parts[1:]
    if not all(_PART.fullmatch(part) for part in parts):
        raise InvalidInput(
            f"mount path {path!r} is not plain",
            hint="use letters, digits, hyphens, full stops and spaces; begin each part with a letter or digit",
        )
    text = "/" + "/".join(parts)
    if text in PROTECTED or any(is_within(text, system) for system in SYSTEM):
        raise InvalidInput(f"{text} belongs to the system", hint="choose a directory of its own, as /srv/data")
    return text


def is_within(path: str, outer: str) -> bool:
    """Whether a path is `outer` or lies below it."""
    return path == outer or path.startswith(f"{outer}/")


def collide(one: str, other: str) -> bool:
    """Whether one path is the other or lies in it: the inner mount would be hidden by the outer, or hang with it."""
    return is_within(one, other) or is_within(other, one)


def prepare(path: Path) -> None:
    """Make the mount point on this host, or refuse one that would hide something.

    It follows no symbolic link and enters no mounted volume, which might not answer.
    """
    for place in (*reversed(path.parents), path):
        mounted = clients.mounted_at(place)
        if mounted is not None and mounted.is_volume:
            raise Conflict(f"a volume is mounted at {place}", hint="choose a path outside of it")
        if place.is_symlink():
            raise HostUnfit(f"{place} is a symbolic link", hint="mount at the directory itself")
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise Conflict(f"{path} is not empty", hint="choose another path, or empty it")
