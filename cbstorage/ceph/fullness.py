"""When an OSD counts as full: early enough that what is still under way then has room.

An OSD tells the monitors that it is full within about four seconds (its statistics are made every
`osd_heartbeat_interval` or so, told at its next tick, published within `paxos_propose_interval`); until then clients
write on. An OSD that runs out of bytes meanwhile aborts (`BlueStore::_do_write`: "ENOSPC from bluestore"), and when too
few are left every call waits. Metadata servers write beyond the ratio, so that files can be removed: what is kept free
is theirs too.
"""

from dataclasses import dataclass

KEPT_BYTES = 1 << 30
"""Of every OSD. Eight seconds of a full 1 Gbit/s: twice the time that passes until clients stop."""
LEAST_KEPT, MOST_KEPT = 0.05, 0.25
"""Shares of an OSD: Ceph's default (`mon_osd_full_ratio` 0.95), and what small ones can spare."""
_STEP = 0.05
"""Between the ratios, as in Ceph's defaults 0.85, 0.90, 0.95."""
_SAME = 0.001
"""Ceph keeps ratios as 32-bit floats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """Shares of the fullest OSD."""

    nearfull: float
    """Health warns."""
    backfillfull: float
    """It takes no copies of others."""
    full: float
    """Nobody writes any more."""

    def same(self, other: "Ratios") -> bool:
        """Whether they are equal, as far as Ceph keeps them."""
        pairs = zip(self._all(), other._all(), strict=True)
        return all(abs(one - another) < _SAME for one, another in pairs)

    def _all(self) -> tuple[float, float, float]:
        return self.nearfull, self.backfillfull, self.full


def ratios(smallest_bytes: int) -> Ratios:
    """Return the ratios of a cluster whose smallest OSD has so many bytes; Ceph has one set of them for all OSDs."""
    kept = min(MOST_KEPT, max(LEAST_KEPT, KEPT_BYTES / max(1, smallest_bytes)))
    full = round(1 - kept, 2)
    return Ratios(nearfull=round(full - 2 * _STEP, 2), backfillfull=round(full - _STEP, 2), full=full)
