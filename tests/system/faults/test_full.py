"""A cluster that fills up: it says so, keeps what it acknowledged, and goes on once somebody removed something."""

import json
from collections.abc import Iterator

import pytest
from small_ceph import Image, SmallCeph, running

from cbstorage.model import FILE_SYSTEM
from larva.errors import LarvaError

pytestmark = [pytest.mark.root, pytest.mark.image]

OSD_BYTES = 4 << 30
RATIOS = {"nearfull": 0.08, "backfillfull": 0.09, "full": 0.1}
"""Far from the end: not much has to be written, and what is still written until everybody knows has room."""
ENSURE = """
from cbstorage.ceph import capacity
from cbstorage.ceph.crush import replication
from cbstorage.ceph.answers import (CrushTree, OsdMap)
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.leading import pools, room
with Monitors(local.CONFIGURATION, entity="client.admin", keyring=local.keyring_of("client.admin")) as monitors:
    room.ensure(monitors)
    found = monitors.ask("osd dump", OsdMap)
    tree = monitors.ask("osd tree", CrushTree)
    result = {
        "ratios": [round(ratio, 3) for ratio in (found.nearfull_ratio, found.backfillfull_ratio, found.full_ratio)],
        "room": capacity.room_bytes(tree, replication(pools.places(tree)), found.full_ratio),
    }
"""

# A file counts once it is synced. One that fails is removed, as a careful program would.
FILL = """
import errno, hashlib, json, os, sys
start, most = int(sys.argv[1]), int(sys.argv[2])
block, kept, said = bytes(range(256)) * 4096, {}, ""
for number in range(start, start + most):
    name, content = f"f{number}", b"%08d" % number + block * 4
    try:
        with open(name, "wb", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())
    except OSError as error:
        said = errno.errorcode[error.errno]
        if os.path.exists(name):
            os.unlink(name)
        break
    kept[name] = hashlib.sha256(content).hexdigest()
print(json.dumps([kept, said]))
"""
READ = """
import hashlib, json, sys
print(json.dumps({name: hashlib.sha256(open(name, "rb").read()).hexdigest() for name in json.loads(sys.argv[1])}))
"""
# Writes without ever syncing, so that much of it is in the client's memory when the cluster becomes full.
HOARD = """
try:
    with open("hoard", "wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
except OSError:
    pass
"""


@pytest.fixture(scope="module")
def narrow(ceph_image: Image) -> Iterator[SmallCeph]:
    """A small Ceph of which little may be used."""
    with running(ceph_image, osd_bytes=OSD_BYTES) as small:
        yield small


def test_small_osds_keep_room_and_who_changes_the_ratios_gets_them_back(narrow: SmallCeph) -> None:
    found = narrow.python(ENSURE)
    assert found["ratios"] == [0.65, 0.7, 0.75]
    assert found["room"] == pytest.approx(0.75 * OSD_BYTES, rel=0.02)  # weights have four decimals of a TiB
    narrow.ceph("osd", "set-full-ratio", "0.97")  # as half done, or by somebody
    assert narrow.python(ENSURE) == found


def test_a_full_cluster_loses_nothing_and_goes_on(narrow: SmallCeph) -> None:
    for name, ratio in RATIOS.items():
        narrow.ceph("osd", f"set-{name}-ratio", str(ratio))
    key = narrow.ceph("fs", "authorize", FILE_SYSTEM, "client.user", "/", "rw")[0]["key"]
    user = {"entity": "client.user", "key": key}  # may no more than a host may; Ceph lets an administrator do more
    with narrow.mount(**user) as one, narrow.mount(**user) as other:
        kept, said = json.loads(one.run(["python3", "-c", FILL, "0", "10"], timeout=240))
        assert said == ""
        hoard = one.start(["python3", "-c", HOARD])
        more, said = json.loads(one.run(["python3", "-c", FILL, "10", "200"], timeout=240))
        assert said in ("ENOSPC", "EACCES")
        kept.update(more)
        hoard.communicate(timeout=120)
        assert {"OSD_FULL", "POOL_FULL"} <= set(narrow.ceph("health")["checks"])
        assert narrow.ceph("osd", "stat")["num_up_osds"] == len(narrow.places)
        expected = json.dumps(list(kept))
        assert json.loads(other.run(["python3", "-c", READ, expected], timeout=120)) == kept
        with narrow.mount(**user) as fresh:
            assert json.loads(fresh.run(["python3", "-c", READ, expected], timeout=120)) == kept
        with pytest.raises(LarvaError, match=r"Permission denied|No space left"):
            other.run(["touch", "made"])
        removed = list(kept)[::2]
        other.run(["rm", "hoard", *removed])

        def goes_on() -> bool:
            more, _ = json.loads(one.run(["python3", "-c", FILL, "1000", "1"], timeout=120))
            return bool(more)

        narrow.wait("there is room again", goes_on, seconds=240)
        left = {name: digest for name, digest in kept.items() if name not in removed}
        assert json.loads(one.run(["python3", "-c", READ, json.dumps(list(left))], timeout=120)) == left
        assert narrow.ceph("osd", "stat")["num_up_osds"] == len(narrow.places)
