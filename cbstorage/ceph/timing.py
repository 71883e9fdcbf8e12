"""How long Ceph waits before it gives somebody up, derived from the round trips between storage hosts: pure.

A message is late by one round trip R, and by more when it was lost: TCP sends it again after a timeout of R + 200 ms
(RFC 6298; 200 ms is Linux's TCP_RTO_MIN, include/net/tcp.h), and each further time after twice as long. Three losses in
a row cost 1 + 2 + 4 of them. So whoever waits for a sign of life waits for a few that were missed, and besides for

    slack(R) = 7 · (R + 0.2 s)

How often signs are sent does not depend on R and stands in ceph.conf (`cbstorage.ceph.conf`). R is rounded up to one of
a few steps, which are left slowly (`step`), so that a path that wavers changes no setting.
"""

import math
from collections.abc import Mapping

STEPS_MS = (50, 100, 200, 350, 500, 800)
"""Round trips for which settings are made. Beyond the last, storage is given up sooner than it answers: it is told of
as a slow path."""

HEARTBEAT_S = 1
"""Between two heartbeats of an OSD."""
BEACON_S = 1
"""Between two beacons of a metadata server."""
TICK_S = 1
"""Between two looks of a monitor, a metadata server or a client: a wait that is over is noticed so much later."""
PING_S = 1
"""Between two pings of a client to its monitor."""
LEASE_ACK_FACTOR = 1.5
"""Of its lease, after which a monitor that did not acknowledge it is missed (`mon_lease_ack_timeout_factor`)."""

_RTO_MIN_S = 0.2
_DOWN = 0.8
"""A step is left only for one of which this part would do."""


def step(current_ms: int, *, lately_ms: float | None, long_ms: float | None) -> int:
    """Return the step for the worst path: up at once, down only when an hour of it would have been well below.

    Args:
        current_ms: the step in force.
        lately_ms: the worst path's 95th percentile over the last minutes; None when nobody tells.
        long_ms: the same over an hour.
    """
    up = _fitting(lately_ms) if lately_ms is not None else STEPS_MS[0]
    if up > current_ms:
        return up
    if lately_ms is None or long_ms is None:
        return max(current_ms, STEPS_MS[0])
    return min(max(current_ms, STEPS_MS[0]), _fitting(max(lately_ms, long_ms) / _DOWN))


def settings(round_trip_ms: int) -> Mapping[str, str]:
    """Return Ceph's settings, whole seconds, for round trips up to so many milliseconds.

    - `objecter_timeout`: after so long without an answer a client asks the monitors for the newest map. Nobody else
      tells it that another OSD serves its data now when the request lies with one that was lost, or with one that let
      it fall as it gave the data back to one that returned (Objecter::tick). To ask costs a message: a write's two
      round trips and a second.
    - `objecter_tick_interval`: how often it looks whether that is so.
    - `osd_heartbeat_grace`: three heartbeats and the slack.
    - `mds_beacon_grace`: four beacons and the slack. It has to exceed the interval by more than a monitor's tick, or
      the monitor takes every tick for a delay of its own, resets all beacon timers, and never replaces a lost metadata
      server (MDSMonitor::tick). `mds_beacon_mon_down_grace`, which counts while a monitor is lost too, is two more.
    - `mds_reconnect_timeout`: how long a new metadata server waits for the old one's clients. They hear of it from a
      monitor and log in: about eight round trips, of which ten are given, 2 s for busy machines, and the slack. Who
      answers last is followed by half of it once more (Server::reconnect_tick).
    - `mon_client_ping_timeout`: two pings and the slack.
    - `mon_client_hunt_interval`: how long a client gives one monitor before it tries another. From TCP's first packet
      to a ticket there are about eight round trips; ten are given.
    - `mon_lease`: it is renewed after 0.6 of itself (`mon_lease_renew_interval_factor`), so 0.4 of it have to bear two
      losses in a row, 3 · (R + 0.2 s). After 1.5 of it monitors elect anew, so 0.9 of it bear three, the slack.
    - `mon_election_timeout`: a proposal and its answer, each lost twice, and the way.
    """
    round_trip_s = round_trip_ms / 1000
    retry_s = round_trip_s + _RTO_MIN_S
    slack_s = 7 * retry_s
    beacon_grace = math.ceil(4 * BEACON_S + slack_s)
    return {
        "mds_beacon_grace": str(beacon_grace),
        "mds_beacon_mon_down_grace": str(beacon_grace + 2),
        "mds_reconnect_timeout": str(math.ceil(10 * round_trip_s + 2 + slack_s)),
        "mon_client_hunt_interval": str(max(1, math.ceil(10 * round_trip_s))),
        "mon_client_ping_timeout": str(math.ceil(2 * PING_S + slack_s)),
        "mon_election_timeout": str(max(2, math.ceil(6 * retry_s + round_trip_s))),
        "mon_lease": str(max(3, math.ceil(round(3 * retry_s / 0.4, 6)))),
        "objecter_tick_interval": str(TICK_S),
        "objecter_timeout": str(math.ceil(2 * round_trip_s + 1)),
        "osd_heartbeat_grace": str(math.ceil(3 * HEARTBEAT_S + slack_s)),
    }


def _fitting(round_trip_ms: float) -> int:
    return next((one for one in STEPS_MS if round_trip_ms <= one), STEPS_MS[-1])
