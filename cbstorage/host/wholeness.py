"""Whether a cluster is whole, so that one daemon of it may be stopped: asked of the monitors, judged purely."""

from dataclasses import dataclass

from cbstorage.ceph import cephx
from cbstorage.ceph.answers import FileSystems, ManagerStatus, OsdMap, PgMap, QuorumStatus, Status
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.model import FILE_SYSTEM
from larva.errors import Unavailable

ACTIVE = "up:active"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What monitors say of their cluster."""

    quorum: QuorumStatus
    osd_map: OsdMap
    manager: ManagerStatus
    groups: PgMap
    file_systems: FileSystems


def look(host: str) -> Seen:
    """Ask the monitors by this host's own identity.

    Raises:
        Unavailable: no quorum answers, or this host was given no key yet.
        Refused: its key is good no more.
    """
    entity = next((one for one in (cephx.ADMIN, cephx.storage_host(host)) if local.keyring_of(one).exists()), None)
    if entity is None:
        raise Unavailable("this host has no key of its storage cluster yet")
    with Monitors(local.CONFIGURATION, entity=entity, keyring=local.keyring_of(entity)) as monitors:
        return Seen(
            quorum=monitors.ask("quorum_status", QuorumStatus),
            osd_map=monitors.ask("osd dump", OsdMap),
            manager=monitors.ask("mgr stat", ManagerStatus),
            groups=monitors.ask("status", Status).pgmap,
            file_systems=monitors.ask("fs dump", FileSystems),
        )


def lacks(seen: Seen) -> str:
    """Return the first thing that is amiss, in words; empty when the cluster is whole."""
    if missing := {one.name for one in seen.quorum.monmap.mons} - set(seen.quorum.quorum_names):
        return f"monitors are not in quorum: {', '.join(sorted(missing))}"
    if down := [one.osd for one in seen.osd_map.osds if one.weight > 0 and not one.up]:
        return f"OSDs are in and down: {', '.join(f'osd.{number}' for number in sorted(down))}"
    if not seen.manager.available:
        return "no manager is active, so nobody counts placement groups"
    unclean = [one for one in seen.groups.pgs_by_state if one.state_name.split("+")[:2] != ["active", "clean"]]
    if unclean:
        return f"placement groups are not clean: {', '.join(f'{one.count} {one.state_name}' for one in unclean)}"
    ours = [one.mdsmap for one in seen.file_systems.filesystems if one.mdsmap.fs_name == FILE_SYSTEM]
    if any(not any(entry.state == ACTIVE for entry in one.info.values()) for one in ours):
        return "no metadata server is active"
    return ""
