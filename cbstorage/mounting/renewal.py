"""A mount whose key is being replaced: the next key lies on disk for the next mount, and an idle volume is let go.

A ceph-fuse that runs keeps the key it began with: cut off from it, it would go on for a while, and stall once its
connections to monitors and OSDs were made anew. So it is ended only where nobody would notice.
"""

import errno
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from cbstorage.ceph import cephx
from cbstorage.host import systemd
from cbstorage.rotation_model import KeyRotation
from larva import files, process

log = logging.getLogger(__name__)

UMOUNT_S = 60
ENDED_S = 60.0
"""How long a client may take to write out what it has, after nobody can reach it any more."""
_POLL_S = 0.2
_USED = "used"
_CAP_SYS_PTRACE = 19
"""Its bit in a set (linux/capability.h)."""


def held(directory: Path) -> str:
    """The fingerprint of the key in a mount's directory; empty without one."""
    try:
        key = cephx.key_in((directory / "keyring").read_text())
    except FileNotFoundError:
        return ""
    return cephx.fingerprint(key) if key else ""


def note_use(directory: Path) -> None:
    """Write down, right before a volume is mounted, by which key."""
    files.write_if_changed(directory / _USED, held(directory))


def used(directory: Path) -> str:
    """The fingerprint of the key by which a volume was mounted; empty where nobody knows."""
    noted = directory / _USED
    return noted.read_text() if noted.exists() else ""


def is_stale(directory: Path) -> bool:
    """Whether what is mounted was mounted by another key than the one on disk."""
    noted = directory / _USED
    return not noted.exists() or noted.read_text() != held(directory)


def wanted(wishes: Iterable[KeyRotation], host: str, volume: str) -> bool:
    """Whether a volume of this host should be mounted anew for its key."""
    return any(wish.remount and wish.means(frozenset({host}), volume) for wish in wishes)


def at_once(wishes: Iterable[KeyRotation], host: str, volume: str) -> bool:
    """Whether an earlier key of this mount was to end at once."""
    return any(wish.now and wish.means(frozenset({host}), volume) for wish in wishes)


def let_go(unit: str, path: Path) -> bool:
    """Unmount a volume that nobody uses; False, and nothing is changed, where somebody may.

    Returns when its client has ended, so that all of it is written; one that takes longer than a minute for that is
    left alone, and the volume stays away until it has.
    """
    try:
        others = others_mounts()
    except PermissionError as error:
        log.warning("%s is left mounted: whether others have it cannot be seen (%s)", path, error)
        return False
    if is_elsewhere(str(path), Path("/proc/self/mountinfo").read_text(), others):
        return False
    # Not lazily: the kernel itself refuses while a file or a directory of it is open in any namespace that follows us.
    answer = process.run(["sh", "-c", 'umount "$0" 2>&1 && echo gone || :', path], timeout=UMOUNT_S)
    if "gone" not in answer.split():
        log.debug("%s is in use: %s", path, answer.strip())
        return False
    deadline = time.monotonic() + ENDED_S
    while systemd.state(unit) in ("active", "activating", "deactivating"):
        if time.monotonic() > deadline:
            log.warning("%s is unmounted, and its client still writes out", path)
            return True
        time.sleep(_POLL_S)
    log.info("%s was not in use and is mounted anew, by its new key", path)
    return True


def is_elsewhere(path: str, own: str, others: Mapping[str, str]) -> bool:
    """Whether what is mounted at a path can be reached by another way that does not end with this one.

    Args:
        own: /proc/self/mountinfo (proc(5)).
        others: that of one process of each other mount namespace, by the namespace.
    """
    mounts = list(_mounts(own))
    here = [one for one in mounts if one[1] == path]
    if not here:
        return False
    device, _, groups = here[-1]
    if sum(one[0] == device for one in mounts) > 1:
        return True
    follows = {group.replace("shared:", "master:") for group in groups if group.startswith("shared:")}
    follows |= {group for group in groups if group.startswith("shared:")}
    return any(one[0] == device and not one[2] & follows for text in others.values() for one in _mounts(text))


def _mounts(text: str) -> Iterator[tuple[str, str, frozenset[str]]]:
    """Device, place and peer groups of each mount."""
    for line in text.splitlines():
        fields = line.split(" ")
        if "-" in fields[6:]:
            place = fields[4].encode().decode("unicode_escape") if "\\" in fields[4] else fields[4]
            yield fields[2], place, frozenset(fields[6 : fields.index("-", 6)])


def others_mounts() -> dict[str, str]:
    """The mounts of each mount namespace but our own, as one of its processes has them.

    Processes of a user namespace around ours are left out: nobody in here may look at them.

    Raises:
        PermissionError: we lack CAP_SYS_PTRACE, without which others' processes cannot be looked at (proc(5)).
    """
    status = Path("/proc/self/status").read_text()
    if not int(status.partition("CapEff:")[2].split()[0], 16) >> _CAP_SYS_PTRACE & 1:
        raise PermissionError(errno.EPERM, "CAP_SYS_PTRACE is missing")
    own, found = Path("/proc/self/ns/mnt").readlink(), dict[str, str]()
    for process_id in Path("/proc").glob("[0-9]*"):
        try:
            space = (process_id / "ns/mnt").readlink()
            if space != own and str(space) not in found:
                found[str(space)] = (process_id / "mountinfo").read_text()
        except OSError:  # it has ended, or is outside
            continue
    return found
