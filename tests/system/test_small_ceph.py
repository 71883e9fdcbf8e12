"""The small Ceph that other tests stand on."""

import pytest
from small_ceph import PLACES, SmallCeph

from cbstorage.ceph import cephx
from larva.errors import ProgramFailed

pytestmark = [pytest.mark.root, pytest.mark.image]

TREE = """
from pathlib import Path
from cbstorage.leading import tree
made = tree.run(tree.Order(
    keyring=Path("/etc/ceph/ceph.client.admin.keyring"), entity="client.admin",
    make=(tree.Make(path=path, namespace="n", size_bytes=1 << 20),), count=(path,),
))
result = made.used_bytes
"""


def test_each_osd_has_a_place_of_its_own(small_ceph: SmallCeph) -> None:
    nodes = small_ceph.ceph("osd", "tree")["nodes"]
    assert {node["name"] for node in nodes if node["type"] == "region"} == {place.provider for place in PLACES}
    small_ceph.wait("all OSDs are up", lambda: small_ceph.ceph("osd", "stat")["num_up_osds"] == len(PLACES))


def test_our_code_runs_inside(small_ceph: SmallCeph) -> None:
    assert small_ceph.python(TREE, path="/made/here") == {"/made/here": 0}
    with pytest.raises(ProgramFailed, match="ZeroDivisionError"):
        small_ceph.python("1 / 0")


def test_two_clients_share_what_a_key_opens(small_ceph: SmallCeph) -> None:
    small_ceph.python(TREE, path="/shared")
    key = small_ceph.ceph("fs", "authorize", "cladfs", "client.shared", "/shared", "rw")[0]["key"]
    with (
        small_ceph.mount("/shared", entity="client.shared", key=key) as one,
        small_ceph.mount("/shared", entity="client.shared", key=key) as other,
    ):
        one.write("note", b"read me")
        assert other.read("note") == b"read me"
        assert small_ceph.run_outside(["cat", other.outside / "note"]) == "read me"
    with pytest.raises(ProgramFailed), small_ceph.mount("/", entity="client.shared", key=key):
        pass


def test_a_killed_osd_starts_again(small_ceph: SmallCeph) -> None:
    small_ceph.kill("osd.0")
    small_ceph.start_daemon("osd.0")
    with small_ceph.mount(entity=cephx.ADMIN) as mount:
        mount.write("after", b"after")
