"""A cluster that fills up: it says so, keeps what it acknowledged, and goes on once somebody removed something."""

import json
from collections.abc import Iterator

import pytest
from small_ceph import Image, SmallCeph, running

pytestmark = [pytest.mark.root, pytest.mark.image]

OSD_BYTES = 512 << 20
RATIOS = {"mon_osd_nearfull_ratio": 0.35, "mon_osd_backfillfull_ratio": 0.4, "mon_osd_full_ratio": 0.45}
"""Far from the end, so that not much has to be written."""

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
        os.unlink(name)
        break
    kept[name] = hashlib.sha256(content).hexdigest()
print(json.dumps([kept, said]))
"""
READ = """
import hashlib, json, sys
print(json.dumps({name: hashlib.sha256(open(name, "rb").read()).hexdigest() for name in json.loads(sys.argv[1])}))
"""


@pytest.fixture
def narrow(ceph_image: Image) -> Iterator[SmallCeph]:
    """A small Ceph with little room."""
    with running(ceph_image, osd_bytes=OSD_BYTES, settings=RATIOS) as small:
        yield small


def test_a_full_cluster_loses_nothing_and_goes_on(narrow: SmallCeph) -> None:
    with narrow.mount() as one, narrow.mount() as other:
        kept, said = json.loads(one.run(["python3", "-c", FILL, "0", "200"], timeout=240))
        assert kept
        assert said == "ENOSPC"
        checks = narrow.ceph("health")["checks"]
        assert {"OSD_FULL", "POOL_FULL"} & set(checks)
        assert json.loads(other.run(["python3", "-c", READ, json.dumps(list(kept))], timeout=120)) == kept
        removed = list(kept)[::2]
        other.run(["rm", *removed])

        def goes_on() -> bool:
            more, _ = json.loads(one.run(["python3", "-c", FILL, "1000", "1"], timeout=120))
            return bool(more)

        narrow.wait("there is room again", goes_on, seconds=240)
        left = {name: digest for name, digest in kept.items() if name not in removed}
        assert json.loads(one.run(["python3", "-c", READ, json.dumps(list(left))], timeout=120)) == left
