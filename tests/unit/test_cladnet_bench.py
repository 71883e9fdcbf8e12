"""What the bench of the control plane tells, and the picture of it."""

import os
import threading
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import pytest

from cladnet.bench import cost
from cladnet.bench.figures import Alone, Measured, Original, results
from cladnet.bench.plot import growth

ALONE = Alone(resident_mb=50, read_mb=52, cpu_percent=1)


def measured(hosts: int, stored: float) -> Measured:
    return Measured(hosts, join_s=[0.1, 0.2], change_s=[0.1, 0.3], transactions=2, stored=stored, reads=12)


def test_the_figures_say_whether_the_bars_are_met() -> None:
    theirs = [Original(10, 0.5, 33, 30_000), Original(30, 0.9, 93, 230_000)]
    told = {each.metric: each for each in results([measured(10, 1000), measured(20, 1200)], theirs, ALONE)}
    assert told["10 hosts: bytes stored a join"].ratio == 1000 / 30_000
    assert told["20 hosts: bytes stored a join"].ratio is None
    assert told["cb-larva, 30 hosts: transactions a join"].value == 93
    assert told["bytes stored a join, from 10 to 20 hosts"].meets is False
    assert told["transactions a join, from 10 to 20 hosts"].meets is True
    assert told["10 hosts: one change, until every peer has it, p99"].bar is None
    assert told["20 hosts: one change, until every peer has it, p99"].meets is True
    assert told["agent with 20 peers, resident"].meets is True


def test_a_bench_that_fails_leaves_no_console_behind() -> None:
    def failing() -> None:
        with cost.console_at_loopback() as url, urllib.request.urlopen(url, timeout=20) as answer:
            assert b"203.0.113.9" in answer.read()
            raise KeyError

    with pytest.raises(KeyError):
        failing()
    assert not [thread for thread in threading.enumerate() if thread.name == "console"]


def test_the_growth_is_drawn(tmp_path: Path) -> None:
    if find_spec("matplotlib") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("matplotlib is not installed: run `make setup`")
    growth(results([measured(10, 1000)], [Original(10, 0.5, 33, 30_000)], ALONE), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
