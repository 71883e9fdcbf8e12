"""What the agent tells of its peers."""

import base64
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network

from cladnet.agent.metrics import Observed, families
from cladnet.agent.rule_cache import NetworkView
from cladnet.datapath.protocol import PeerStatus
from cladnet.model import CladnetSpecification, CloudFacts, HostStatus, NetworkingRule, PairLatency
from cladnet.quality import Alarm, AlarmKind, Figures
from larva.metrics import render

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def key(host: str) -> str:
    return base64.b64encode(host.encode().ljust(32)).decode()


def peer(host: str, handshake: datetime | None) -> PeerStatus:
    return PeerStatus(
        public_key=key(host), endpoint=None, allowed=(), keepalive_s=0, last_handshake=handshake, received_bytes=7,
        sent_bytes=9,
    )  # fmt: skip


def cell(host: str, received: int, average: float | None) -> PairLatency:
    return PairLatency(
        destination=host, destination_address=IPv4Address("10.77.0.2"), sent=4, received=received, avg_ms=average
    )


def test_peers_are_told_of_by_name_and_strangers_are_not() -> None:
    rules = tuple(
        NetworkingRule(
            host=host, address=IPv4Address("10.77.0.2"), public_key=key(host), endpoints=(), cloud=CloudFacts()
        )
        for host in ("a", "b", "c")
    )
    observed = Observed(
        group="mesh-1",
        host="a",
        view=NetworkView(
            specification=CladnetSpecification(
                id="mesh-1", name="mesh", cidr=IPv4Network("10.77.0.0/24"), created_at=NOW
            ),
            rules=rules,
        ),
        peers=(peer("b", NOW - timedelta(seconds=61.5)), peer("c", None), peer("stranger", NOW)),
        status=HostStatus(
            host="a", test_id="1", measured_at=NOW, interface="cbnet0", datapath="wireguard",
            latencies=(cell("b", 3, 150.5), cell("c", 0, None)),
        ),
        rules_age_s=12.0,
        paths={
            "b": Figures(sent=10, received=9, avg_ms=2.5, p95_ms=3.0, jitter_ms=0.5),
            "c": Figures(sent=3, received=0),
        },
        alarms=(Alarm(kind=AlarmKind.UNREACHABLE, destination="c", since=NOW, evidence="3 echoes"),),
    )  # fmt: skip
    told = render(families([observed], NOW)).splitlines()
    assert {line for line in told if not line.startswith("#")} == {
        'larva_rules_age_seconds{cladnet="mesh-1"} 12',
        'larva_peers{cladnet="mesh-1"} 3',
        'larva_peer_handshake_age_seconds{cladnet="mesh-1",peer="b"} 61.5',
        *(f'larva_peer_received_bytes_total{{cladnet="mesh-1",peer="{host}"}} 7' for host in "bc"),
        *(f'larva_peer_sent_bytes_total{{cladnet="mesh-1",peer="{host}"}} 9' for host in "bc"),
        'larva_peer_rtt_seconds{cladnet="mesh-1",peer="b"} 0.0025',
        'larva_peer_rtt_p95_seconds{cladnet="mesh-1",peer="b"} 0.003',
        'larva_peer_jitter_seconds{cladnet="mesh-1",peer="b"} 0.0005',
        f'larva_peer_loss_ratio{{cladnet="mesh-1",peer="b"}} {1 - 9 / 10!r}',
        'larva_peer_loss_ratio{cladnet="mesh-1",peer="c"} 1',
        'larva_alarms{cladnet="mesh-1",kind="unreachable"} 1',
        'larva_alarms{cladnet="mesh-1",kind="loss"} 0',
        'larva_alarms{cladnet="mesh-1",kind="slow"} 0',
        'larva_status_test_rtt_seconds{cladnet="mesh-1",peer="b"} 0.1505',
        'larva_status_test_loss_ratio{cladnet="mesh-1",peer="b"} 0.25',
        'larva_status_test_loss_ratio{cladnet="mesh-1",peer="c"} 1',
        f'larva_status_test_timestamp_seconds{{cladnet="mesh-1"}} {int(NOW.timestamp())}',
    }


def test_a_network_that_is_not_up_yet_tells_that_it_has_no_peer() -> None:
    observed = Observed(group="mesh-1", host="a", view=None, peers=(), status=None, rules_age_s=None)
    told = render(families([observed], NOW)).splitlines()
    assert [line for line in told if not line.startswith("#")] == [
        'larva_peers{cladnet="mesh-1"} 0',
        *(f'larva_alarms{{cladnet="mesh-1",kind="{kind}"}} 0' for kind in AlarmKind),
    ]
