"""What was acknowledged is there, whatever went wrong: a schedule of failures under a checked workload.

    LARVA_FAULTS_SEED=7 LARVA_FAULTS_MINUTES=120 pytest -s tests/system/faults/test_faults.py

Without minutes each event of `schedule.BRIEF` happens once. With `-s` it tells each event and the longest time without
an acknowledgement, which is reported and not asserted.
"""

import itertools
import os
import secrets
import time
from collections.abc import Iterator

import pytest
from faults import schedule, workload
from faults.actions import Drill
from faults.workload import Workload

from images.clouds.lab import topology_toml
from images.clouds.lab.lab import Lab
from images.demo import up
from images.demo.up import Demo

SEED = int(os.environ.get("LARVA_FAULTS_SEED") or 1)
MINUTES = float(os.environ.get("LARVA_FAULTS_MINUTES") or 0)

pytestmark = [pytest.mark.root, pytest.mark.lab, pytest.mark.slow, pytest.mark.timeout(3600 + MINUTES * 60)]


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    """Three clouds with a storage host and a control node each, and a volume mounted on every host."""
    run_id = f"ft{secrets.token_hex(3)}"
    try:
        yield up.bring_up(topology_toml.default(), run_id=run_id)
    finally:
        Lab(run_id).destroy()


def events(ground: schedule.Ground) -> Iterator[schedule.Event]:
    """Those of a brief run, or without end until the minutes are over."""
    if not MINUTES:
        return iter(schedule.brief(SEED, ground))
    end_s = time.monotonic() + MINUTES * 60
    return itertools.takewhile(lambda _: time.monotonic() < end_s, schedule.endless(SEED, ground))


def test_nothing_acknowledged_is_lost(demo: Demo) -> None:
    hosts = tuple(host.name for host in demo.storage)
    ground = schedule.Ground(clouds=tuple(cloud.name for cloud in demo.topology.clouds), hosts=hosts)
    load = Workload(demo, hosts)
    drill = Drill(demo, load)
    load.start()
    drill.wait_whole()
    for event in events(ground):
        print(f"\nseed {SEED}: {event}", flush=True)
        start_s = time.monotonic()
        drill.carry_out(event)
        end_s = time.monotonic()
        longest = {host: round(workload.gaps(load.notes(host), start_s, end_s), 1) for host in hosts}
        print(f"    whole again after {end_s - start_s:.0f} s; longest gap by writer, s: {longest}", flush=True)
    load.stop()
    for host in hosts:
        numbers = [note.number for note in load.notes(host)]
        assert sorted(set(numbers)) == list(range(load.count(host))), f"{host}: its own notes have holes"
        assert load.wrong(host) == [], f"seed {SEED}: as {host} reads it"
