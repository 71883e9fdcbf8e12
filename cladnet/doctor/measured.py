"""What the agent measured, by the file that it keeps, so that it can be told without the agent and without etcd."""

import time
from dataclasses import replace

from cladnet.agent.history_file import HistoryFile
from cladnet.agent.record import Record
from cladnet.agent.watchman import save_pause_s
from cladnet.doctor.condition import CladnetCondition
from cladnet.quality import NOTHING, Window


def with_measurements(condition: CladnetCondition) -> CladnetCondition:
    """Return the condition with round trips, loss and alarms; as it is when nothing was saved lately."""
    file = HistoryFile(condition.group)
    age_s = file.age_s()
    if age_s is None or age_s > 2 * save_pause_s(len(condition.peers)):
        return condition
    record = Record(condition.group, file.load())
    paths = record.figures(Window.TEN_MINUTES, time.time())
    peers = []
    for peer in condition.peers:
        path = paths.get(peer.host, NOTHING)
        peers.append(replace(peer, rtt_ms=path.avg_ms, loss=path.loss))
    return replace(condition, peers=tuple(peers), alarms=record.alarms())
