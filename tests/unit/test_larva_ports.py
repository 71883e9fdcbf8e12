"""Ports for programs about to be started."""

import socket
from pathlib import Path

import pytest

from larva import ports
from larva.errors import Unavailable


def test_they_are_free_distinct_and_none_that_the_kernel_gives_away() -> None:
    found = ports.free(20) + ports.free(20)
    assert len(set(found)) == 40
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert max(found) < first
    for port in found:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))


def test_a_port_in_use_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = taken.getsockname()[1]
        monkeypatch.setattr(ports._chance, "randrange", lambda low, high: busy)
        with pytest.raises(Unavailable, match="no free port"):
            ports.free(1)
