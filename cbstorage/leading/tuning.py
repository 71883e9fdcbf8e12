"""Ceph's patience fitted to the paths there are, by the leading host: settings in the monitors' database, elections.

What stands there reaches every daemon and client before it starts and, when it changes, while it runs; monitors keep it
themselves.
"""

import logging
from collections.abc import Mapping, Sequence

from cbstorage.ceph import timing
from cbstorage.ceph.answers import MonitorDump, StoredSetting
from cbstorage.ceph.monitor import Monitors

log = logging.getLogger(__name__)

SECTION = "global"
"""A setting of somebody's own in a narrower section (`ceph config set osd …`) has precedence and stays."""
_CONNECTIVITY = 3
_LEAST_MONITORS = 3
"""With fewer the loss of any one stops them all, however they vote."""


def ensure(monitors: Monitors, round_trip_ms: int) -> None:
    """Bring the settings to what this step wants, and let monitors elect whom the most of them reach."""
    stored = monitors.ask("config dump", tuple[StoredSetting, ...])
    for name, value in missing(stored, timing.settings(round_trip_ms)).items():
        monitors.run("config set", who=SECTION, name=name, value=value)
        log.info("%s becomes %s, for round trips up to %d ms", name, value, round_trip_ms)
    dump = monitors.ask("mon dump", MonitorDump)
    if wants_connectivity(dump):
        monitors.run("mon set election_strategy", strategy="connectivity")
        log.info("monitors elect by connectivity")


def missing(stored: Sequence[StoredSetting], wanted: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that are not there or are something else."""
    there = {one.name: one.value for one in stored if one.section == SECTION and not one.mask}
    return {name: value for name, value in wanted.items() if not _equal(there.get(name), value)}


def wants_connectivity(dump: MonitorDump) -> bool:
    """Whether monitors should change how they vote: the classic way may choose one that others do not reach."""
    return dump.election_strategy != _CONNECTIVITY and len(dump.mons) >= _LEAST_MONITORS


def _equal(there: str | None, wanted: str) -> bool:
    """Ceph may write 8 as 8.000000."""
    try:
        return there is not None and float(there) == float(wanted)
    except ValueError:
        return False
