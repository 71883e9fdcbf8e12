"""The metadata servers in charge."""

from cbstorage.ceph.answers import FileSystems
from cbstorage.ceph.monitor import Monitors
from larva.errors import Unavailable


def active_metadata_servers(monitors: Monitors) -> tuple[str, ...]:
    """Their names; Unavailable without one."""
    maps = monitors.ask("fs dump", FileSystems).filesystems
    active = tuple(entry.name for one in maps for entry in one.mdsmap.info.values() if entry.state == "up:active")
    if not active:
        raise Unavailable(
            "no metadata server is active yet" if maps else "the file system is not made yet",
            hint="`larva storage status` shows what is missing",
        )
    return active
