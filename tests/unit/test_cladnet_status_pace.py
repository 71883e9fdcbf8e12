"""However many hosts begin a status test together, the CLADNet as a whole sends and writes at a bounded rate."""

from datetime import UTC, datetime
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from cladnet.model import HostStatus, PairLatency
from cladnet.status_pace import CELL_BYTES, ECHOES_S, MOST_TRIALS, ROW_BYTES_S, longest_s, spread_s
from larva import codec

ETCD_VALUE_BYTES = 1_500_000
hosts, trials = st.integers(0, 4000), st.integers(1, MOST_TRIALS)


@given(hosts, trials)
def test_the_rate_of_the_whole_network_is_bounded(hosts: int, trials: int) -> None:
    """On average over the spread, which is how the pauses are drawn."""
    spread = spread_s(hosts, trials)
    assert hosts * max(0, hosts - 1) * (trials + 1) <= spread * ECHOES_S * 1.0001
    assert hosts * hosts * CELL_BYTES <= spread * ROW_BYTES_S * 1.0001
    assert spread <= longest_s(hosts, trials)


@given(hosts, trials)
def test_more_hosts_and_more_trials_take_no_less_time(hosts: int, trials: int) -> None:
    assert spread_s(hosts, trials) <= spread_s(hosts + 1, trials) <= spread_s(hosts + 1, trials + 1)
    assert longest_s(hosts, trials) <= longest_s(hosts + 1, trials) <= longest_s(hosts + 1, trials + 1)


def test_ten_hosts_do_not_wait() -> None:
    assert spread_s(10, 3) < 0.1


def test_the_row_of_a_thousand_peers_is_well_within_what_etcd_takes() -> None:
    cells = tuple(
        PairLatency(
            destination=f"{number:04}-a-rather-long-name", destination_address=IPv4Address("100.100.100.100"),
            sent=100, received=100, min_ms=1234.567, avg_ms=1234.567, max_ms=1234.567,
        )
        for number in range(1000)
    )  # fmt: skip
    row = HostStatus(
        host="a", test_id="f" * 16, measured_at=datetime.now(UTC), interface="cbnet0", datapath="wireguard",
        latencies=cells,
    )  # fmt: skip
    size = len(codec.encode(row))
    assert size <= 1000 * CELL_BYTES
    assert size < ETCD_VALUE_BYTES / 5
