"""What clients are told of the paths' patience: real ceph-fuse, which has it from the monitors' database alone."""

import json

import pytest
from small_ceph import Mount, SmallCeph

from cbstorage.ceph import timing

pytestmark = [pytest.mark.root, pytest.mark.image]

TUNE = """
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.leading import tuning
with Monitors(local.CONFIGURATION, entity="client.admin", keyring=local.keyring_of("client.admin")) as monitors:
    tuning.ensure(monitors, step)
"""
OF_CLIENTS = ("objecter_tick_interval", "objecter_timeout", "mon_client_ping_timeout", "mon_client_hunt_interval")
ASK = 'ceph daemon /run/ceph/client-*."$(cat "/run/ceph/$0.pid")".*.asok config get "$1"'


def of_client(small_ceph: SmallCeph, mount: Mount) -> dict[str, float]:
    found: dict[str, str] = {}
    for name in OF_CLIENTS:
        found.update(json.loads(small_ceph.run(["sh", "-c", ASK, mount.name, name])))
    return {name: float(value) for name, value in found.items()}


def test_a_client_waits_for_an_osd_as_the_paths_ask_for_and_hears_of_other_paths(small_ceph: SmallCeph) -> None:
    """By Ceph's own measure it would ask whether others serve its data now after 10 to 15 s only."""
    with small_ceph.mount() as mount:
        for step in (timing.STEPS_MS[-1], timing.STEPS_MS[0]):  # the other tests go on with the last
            small_ceph.python(TUNE, step=step)
            wanted = {name: float(value) for name, value in timing.settings(step).items() if name in OF_CLIENTS}
            small_ceph.wait("it has them", lambda wanted=wanted: of_client(small_ceph, mount) == wanted)
