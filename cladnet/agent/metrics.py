"""What the agent tells Prometheus of each CLADNet and each peer: a pure function of what it observed."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cladnet.agent.rule_cache import NetworkView
from cladnet.datapath.peers import by_host
from cladnet.datapath.protocol import PeerStatus
from cladnet.model import HostStatus
from cladnet.quality import Alarm, AlarmKind, Figures
from larva.metrics import Family, Kind, Labels, labels


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One CLADNet of this host at one moment."""

    group: str
    host: str
    view: NetworkView | None
    peers: tuple[PeerStatus, ...]
    status: HostStatus | None
    """The last status test."""
    paths: Mapping[str, Figures] = field(default_factory=dict)
    """Peer → what was measured of the way there within ten minutes."""
    alarms: tuple[Alarm, ...] = ()
    rules_age_s: float | None
    """Seconds since the rules were read from etcd; None before the first time."""


@dataclass(frozen=True, slots=True)
class _PeerSample:
    key: Labels
    status: PeerStatus


def families(observed: Iterable[Observed], now: datetime | None = None) -> Iterator[Family]:
    """Give what is told of these CLADNets, family by family: each has a sample of a thousand peers.

    Args:
        now: aware; the present without it.
    """
    seen, moment = tuple(observed), now or datetime.now(UTC)
    peers = [peer for each in seen for peer in _peers(each)]
    latencies = [latency for each in seen for latency in _latencies(each)]
    ages = [(labels(cladnet=each.group), each.rules_age_s) for each in seen if each.rules_age_s is not None]
    tested = [(labels(cladnet=each.group), each.status) for each in seen if each.status is not None]

    def of_peers(name: str, kind: Kind, text: str, value: Callable[[PeerStatus], float | None]) -> Family:
        found = ((peer.key, value(peer.status)) for peer in peers)
        return Family(name, kind, text, tuple((key, number) for key, number in found if number is not None))

    def of_paths(name: str, text: str, value: Callable[[Figures], float | None]) -> Family:
        found = (
            (labels(cladnet=each.group, peer=peer), value(path)) for each in seen for peer, path in each.paths.items()
        )
        return Family(name, Kind.GAUGE, text, tuple((key, number) for key, number in found if number is not None))

    yield Family("larva_rules_age_seconds", Kind.GAUGE, "Since the rules were read from etcd.", tuple(ages))
    yield Family(
        "larva_peers",
        Kind.GAUGE,
        "Peers that the data path has.",
        tuple((labels(cladnet=each.group), float(len(each.peers))) for each in seen),
    )
    yield of_peers(
        "larva_peer_handshake_age_seconds",
        Kind.GAUGE,
        "Since the last handshake; absent before the first.",
        lambda peer: max(0.0, (moment - peer.last_handshake).total_seconds()) if peer.last_handshake else None,
    )
    yield of_peers(
        "larva_peer_received_bytes_total",
        Kind.COUNTER,
        "Received from the peer.",
        lambda peer: float(peer.received_bytes) if peer.public_key else None,
    )
    yield of_peers(
        "larva_peer_sent_bytes_total",
        Kind.COUNTER,
        "Sent to the peer.",
        lambda peer: float(peer.sent_bytes) if peer.public_key else None,
    )
    yield of_paths(
        "larva_peer_rtt_seconds",
        "Mean round trip within ten minutes; absent when all was lost.",
        lambda path: path.avg_ms / 1000 if path.avg_ms is not None else None,
    )
    yield of_paths(
        "larva_peer_rtt_p95_seconds",
        "95th percentile of the round trip within ten minutes, to 12 %.",
        lambda path: path.p95_ms / 1000 if path.p95_ms is not None else None,
    )
    yield of_paths(
        "larva_peer_jitter_seconds",
        "Mean difference between two round trips in a row within ten minutes.",
        lambda path: path.jitter_ms / 1000 if path.jitter_ms is not None else None,
    )
    yield of_paths("larva_peer_loss_ratio", "Lost part of ten minutes' echoes, 0 to 1.", lambda path: path.loss)
    yield Family(
        "larva_alarms",
        Kind.GAUGE,
        "Paths of this host that are bad now, by what is wrong.",
        tuple(
            (
                labels(cladnet=each.group, kind=kind),
                float(sum(1 for alarm in each.alarms if alarm.kind is kind)),
            )
            for each in seen
            for kind in AlarmKind
        ),
    )
    yield Family(
        "larva_status_test_rtt_seconds",
        Kind.GAUGE,
        "Mean round trip in the last status test; absent when all was lost.",
        tuple((key, rtt) for key, rtt, _ in latencies if rtt is not None),
    )
    yield Family(
        "larva_status_test_loss_ratio",
        Kind.GAUGE,
        "Lost part of the last status test's echoes, 0 to 1.",
        tuple((key, loss) for key, _, loss in latencies if loss is not None),
    )
    yield Family(
        "larva_status_test_timestamp_seconds",
        Kind.GAUGE,
        "When the last status test was made, since the epoch.",
        tuple((key, status.measured_at.timestamp()) for key, status in tested),
    )


def _peers(observed: Observed) -> Iterator[_PeerSample]:
    """Peers that no rule names, as when one was dropped this very moment, are told of by nobody."""
    rules = observed.view.rules if observed.view is not None else ()
    for host, status in by_host(rules, observed.peers).items():
        yield _PeerSample(labels(cladnet=observed.group, peer=host), status)


def _latencies(observed: Observed) -> Iterator[tuple[Labels, float | None, float | None]]:
    """Labels, mean round trip in seconds, lost part."""
    for cell in observed.status.latencies if observed.status is not None else ():
        loss = 1 - cell.received / cell.sent if cell.sent else None
        rtt = cell.avg_ms / 1000 if cell.avg_ms is not None else None
        yield labels(cladnet=observed.group, peer=cell.destination), rtt, loss
