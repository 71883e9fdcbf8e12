"""Whether a volume is as somebody asked for it, and why not yet: the verdicts on which waiting stands. Pure."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from cbstorage.model import MountPhase

if TYPE_CHECKING:
    from cbstorage.wanted.volumes import VolumeView

    Verdict = tuple[VolumeView, bool, str]
    """What was seen, whether it is so, and words for when it is not."""


def ready(view: "VolumeView") -> "Verdict":
    """Whether it can be mounted."""
    return view, view.ready, view.problem or "no storage host has taken it up yet"


def resized(view: "VolumeView") -> "Verdict":
    """Whether the quota in force is the one wanted."""
    return view, view.ready and view.quota_bytes == view.size_bytes, view.problem or "no storage host has set it yet"


def mounted(view: "VolumeView", hosts: Sequence[str]) -> "Verdict":
    """Whether every one of these hosts has it mounted."""
    mounts = {mount.host: mount for mount in view.mounts if not mount.leaving}
    behind = [host for host in hosts if host not in mounts or mounts[host].phase is not MountPhase.MOUNTED]
    words = [
        f"{host}: {mounts[host].problem or 'has not answered yet' if host in mounts else 'not wanted there'}"
        for host in behind
    ]
    return view, not behind, "\n".join([*words, *([view.problem] if view.problem else [])])


def unmounted(view: "VolumeView", hosts: Collection[str]) -> "Verdict":
    """Whether none of these hosts has it mounted any more."""
    behind = [mount for mount in view.mounts if mount.host in hosts]
    return view, not behind, "\n".join(f"{mount.host}: {mount.problem or 'still mounted'}" for mount in behind)
