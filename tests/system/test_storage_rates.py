"""Capacity and rates from the counters of real OSDs."""

import pytest
from small_ceph import PLACES, SmallCeph

from cbstorage.leading import pools

pytestmark = [pytest.mark.root, pytest.mark.image]

BYTES = 8 << 20
LOOK = """
import os, subprocess
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.leading.rates import EVERY_S, RateKeeper
from larva import codec
moments = iter((0.0, EVERY_S, EVERY_S))
with Monitors(local.CONFIGURATION, entity="client.admin", keyring=local.keyring_of("client.admin")) as monitors:
    keeper = RateKeeper(clock=lambda: next(moments))
    first = keeper.look(monitors, osds)
    rados = ["rados", "--pool", pool]
    subprocess.run([*rados, "put", "object", "-"], input=os.urandom(size), check=True)
    subprocess.run([*rados, "get", "object", "-"], stdout=subprocess.DEVNULL, check=True)
    second = keeper.look(monitors, osds)
result = codec.to_builtins([first, second])
"""


def test_what_clients_write_and_read_is_counted_without_a_manager(small_ceph: SmallCeph) -> None:
    numbers = list(range(len(PLACES)))
    first, second = small_ceph.python(LOOK, osds=[*numbers, 99], pool=pools.DATA_POOL, size=BYTES, timeout=120)
    assert first["rates"] is None
    assert 0 < first["used_bytes"] < first["total_bytes"]
    rates = second["rates"]
    # Ten seconds by the test's own clock; what each copy takes is not a client's.
    assert BYTES <= 10 * rates["written_bytes_s"] + 10 < 2 * BYTES
    assert BYTES <= 10 * rates["read_bytes_s"] + 10 < 2 * BYTES
    assert rates["writes_s"] >= 0
