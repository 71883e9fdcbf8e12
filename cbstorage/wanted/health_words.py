"""Ceph's health codes in plain words: what is the matter, and what to do. A table; a code that is not in it is shown as
Ceph says it.

Source: https://docs.ceph.com/en/reef/rados/operations/health-checks/ and …/cephfs/health-messages/; the codes without
a word of Ceph's are of our own checks (`cbstorage.leading.observe`, `cbstorage.leading.storage_paths`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from cbstorage.model import Health, HealthCheck


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a complaint means."""

    cause: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A complaint with what it means."""

    code: str
    health: Health
    summary: str
    """In Ceph's words."""
    cause: str = ""
    remedy: str = ""


_WAIT = "Nothing, when it is new: copies are being made. If it stays, bring back the hosts that are missing."
_SPACE = "Add an OSD (`larva storage osd add`), or delete what is not needed; volumes in the trash count too."
_PATH = "`larva net alarms` and `larva net quality` show the paths; `larva doctor` on the host says more."

TABLE: Mapping[str, Words] = {
    "AUTH_INSECURE_GLOBAL_ID_RECLAIM_ALLOWED": Words(
        cause="Old clients may log in in a way that can be forged.",
        remedy="ceph config set mon auth_allow_insecure_global_id_reclaim false",
    ),
    "BLUEFS_SPILLOVER": Words(cause="An OSD's fast device is too small for its metadata.", remedy="It works, slower."),
    "BLUESTORE_SLOW_OP_ALERT": Words(
        cause="A disk answers slowly.", remedy="Look at that host's disk; replace it if it goes on."
    ),
    "CACHE_POOL_NEAR_FULL": Words(cause="A cache is nearly full.", remedy=_SPACE),
    "DAEMON_OLD_VERSION": Words(
        cause="Hosts run different versions of Ceph.", remedy="Bring all hosts to the same image."
    ),
    "FS_DEGRADED": Words(
        cause="A metadata server is being replaced; files wait meanwhile.",
        remedy="Nothing, for half a minute. If it stays: does a host of the role storage run a metadata server?",
    ),
    "FS_WITH_FAILED_MDS": Words(
        cause="A metadata server is lost and none stands by; files wait.",
        remedy="Start a host that runs a metadata server.",
    ),
    "MANY_OBJECTS_PER_PG": Words(cause="A pool has few placement groups.", remedy="It works; larger pools get more."),
    "MDS_ALL_DOWN": Words(
        cause="No metadata server runs; files wait.", remedy="Start a host that runs a metadata server."
    ),
    "MDS_CLIENT_LATE_RELEASE": Words(
        cause="A client keeps what others wait for; it may be cut off.",
        remedy="`larva volume show` names the hosts; a client that is gone is shut out by itself within minutes.",
    ),
    "MDS_CLIENT_RECALL": Words(
        cause="A client keeps many files in mind.", remedy="Nothing, unless the metadata server runs out of memory."
    ),
    "MDS_INSUFFICIENT_STANDBY": Words(
        cause="No metadata server stands by: the loss of the active one would stop files.",
        remedy="Bring back the host that ran the other one.",
    ),
    "MDS_SLOW_METADATA_IO": Words(
        cause="The metadata server waits long for the OSDs.", remedy=f"A disk or a path is slow. {_PATH}"
    ),
    "MDS_SLOW_REQUEST": Words(
        cause="Requests to the metadata server take long.", remedy=f"A path is slow, or OSDs are lost. {_PATH}"
    ),
    "MDS_TRIM": Words(cause="The metadata server's journal grows.", remedy="It catches up by itself; OSDs are slow."),
    "MGR_DOWN": Words(
        cause="No manager runs: usage is not counted. Volumes work without.",
        remedy="It is restarted by itself; journalctl -u 'ceph-mgr@*' on its host says why it ended.",
    ),
    "MIRROR_LATE": Words(
        cause="Mirrors are further behind their sources than they should be.",
        remedy="`larva volume mirrors` says why. A source that is lost: `larva volume promote`.",
    ),
    "MON_CLOCK_SKEW": Words(
        cause="Clocks of monitors differ.", remedy="Set the time on that host (`timedatectl`, `larva doctor`)."
    ),
    "MON_DISK_BIG": Words(cause="A monitor's data grows.", remedy="It shrinks once all placement groups are clean."),
    "MON_DISK_CRIT": Words(
        cause="A monitor's disk is nearly full; it will stop.", remedy="Free space in /var/lib/ceph on that host, now."
    ),
    "MON_DISK_LOW": Words(cause="A monitor's disk gets full.", remedy="Free space in /var/lib/ceph on that host."),
    "MON_DOWN": Words(
        cause="A monitor is missing; the others go on while they are a majority.",
        remedy=f"Bring its host back, or see what cuts it off. {_PATH}",
    ),
    "MON_NETSPLIT": Words(cause="Monitors do not reach each other.", remedy=_PATH),
    "NO_MANAGER": Words(
        cause="No manager runs: usage is not counted. Volumes work without.",
        remedy="It is restarted by itself; journalctl -u 'ceph-mgr@*' on its host says why it ended.",
    ),
    "OBJECT_UNFOUND": Words(
        cause="The last copy of some data is on an OSD that is missing.",
        remedy="Bring that OSD's host back. Only if it is lost for good: ceph pg PG mark_unfound_lost revert",
    ),
    "OSDMAP_FLAGS": Words(
        cause="Somebody set a flag that holds the cluster back, as noout.",
        remedy="ceph osd unset FLAG, when it is done.",
    ),
    "OSD_BACKFILLFULL": Words(cause="An OSD is too full to take copies.", remedy=_SPACE),
    "OSD_DATACENTER_DOWN": Words(
        cause="Every OSD of a zone is missing.", remedy=f"Nothing here, if the zone has trouble. {_PATH}"
    ),
    "OSD_DOWN": Words(
        cause="OSDs are missing; their data is served from the other copies.",
        remedy=f"Bring their hosts back. {_PATH}",
    ),
    "OSD_FULL": Words(cause="An OSD is full: nobody can write; reading and removing go on.", remedy=_SPACE),
    "OSD_HOST_DOWN": Words(cause="Every OSD of a host is missing.", remedy="Bring that host back."),
    "OSD_NEARFULL": Words(cause="An OSD is nearly full: a tenth of it more, and nobody can write.", remedy=_SPACE),
    "OSD_OFF_CLADNET": Words(
        cause="An OSD advertises an address that other clouds cannot reach.",
        remedy="Restart that host's larva-storage; `larva doctor` there says why its address is wrong.",
    ),
    "OSD_REGION_DOWN": Words(
        cause="Every OSD of a provider is missing.", remedy=f"Nothing here, if the provider has trouble. {_PATH}"
    ),
    "OSD_ZONE_DOWN": Words(
        cause="Every OSD of a region is missing.", remedy=f"Nothing here, if the region has trouble. {_PATH}"
    ),
    "OSD_SLOW_PING_TIME_BACK": Words(cause="OSDs answer each other slowly.", remedy=_PATH),
    "OSD_SLOW_PING_TIME_FRONT": Words(cause="OSDs answer each other slowly.", remedy=_PATH),
    "PG_AVAILABILITY": Words(
        cause="Some data cannot be reached: too few of its copies are there.",
        remedy="Bring the missing OSDs' hosts back: it waits for them, nothing is lost.",
    ),
    "PG_BACKFILL_FULL": Words(cause="OSDs are too full to make copies.", remedy=_SPACE),
    "PG_DAMAGED": Words(
        cause="Copies of some data differ, or a disk returned rubbish.",
        remedy="ceph health detail names the placement group; ceph pg repair PG takes the good copy.",
    ),
    "PG_DEGRADED": Words(cause="Some data has fewer copies than it should.", remedy=_WAIT),
    "PG_NOT_DEEP_SCRUBBED": Words(cause="Copies were not compared for long.", remedy="It is caught up by itself."),
    "PG_NOT_SCRUBBED": Words(cause="Copies were not compared for long.", remedy="It is caught up by itself."),
    "PG_RECOVERY_FULL": Words(cause="OSDs are too full to make copies.", remedy=_SPACE),
    "POOL_APP_NOT_ENABLED": Words(
        cause="Somebody made a pool by hand.", remedy="ceph osd pool application enable POOL APPLICATION"
    ),
    "POOL_FULL": Words(cause="An OSD is full, so every pool on it is: nobody can write.", remedy=_SPACE),
    "POOL_NEAR_FULL": Words(cause="A pool is nearly full.", remedy=_SPACE),
    "POOL_NO_REDUNDANCY": Words(
        cause="A pool keeps one copy: the loss of one disk loses data.",
        remedy="Add storage hosts; copies are made by themselves once there are two.",
    ),
    "PROMISE_NOT_KEPT": Words(
        cause="Copies do not lie as this volume was promised: too few places are there now.",
        remedy="Bring the missing hosts back, or add storage hosts where they are missing; copies move by themselves.",
    ),
    "QUORUM_BARELY": Words(
        cause="Just a majority of the monitors is there: one more lost stops everything.",
        remedy="Bring the missing monitors' hosts back.",
    ),
    "RECENT_CRASH": Words(
        cause="A daemon crashed and was started again.",
        remedy="ceph crash ls shows it; ceph crash archive-all ends this.",
    ),
    "SLOW_OPS": Words(
        cause="Requests wait for long: a disk is slow, a path is slow, or an OSD is lost and not yet given up.",
        remedy=f"Nothing, for half a minute after a loss. {_PATH}",
    ),
    "SLOW_PATHS": Words(
        cause="Writes wait for their farthest copy, over these paths.",
        remedy=f"Keep copies nearer to each other, or mend the path. {_PATH}",
    ),
    "TOO_FEW_OSDS": Words(
        cause="There are fewer OSDs than copies are wanted.", remedy="Add storage hosts or OSDs."
    ),
    "TOO_FEW_PGS": Words(cause="Data is spread unevenly.", remedy="It works; larger pools get more placement groups."),
    "TOO_MANY_PGS": Words(cause="OSDs carry many placement groups.", remedy="Add an OSD, or delete unused pools."),
}  # fmt: skip


def explain(check: HealthCheck) -> Explained:
    """Return a complaint with what it means; empty words for one that the table does not know."""
    words = TABLE.get(check.code, Words(cause="", remedy=""))
    return Explained(
        code=check.code, health=check.health, summary=check.summary, cause=words.cause, remedy=words.remedy
    )
