"""A promise on real Ceph: its rule, its pool, where copies lie, and a volume whose key opens that pool alone."""

from typing import Any

import pytest
from small_ceph import PLACES, SmallCeph

from cbstorage.ceph import cephx
from cbstorage.model import FILE_SYSTEM, data_pool
from cbstorage.promise import Promise
from cladnet.placement.model import Survive
from larva.errors import ProgramFailed

pytestmark = [pytest.mark.root, pytest.mark.image]

HOME = Promise(survive=Survive.CSP_REGION, home="gcp")
ANYWHERE = Promise(survive=Survive.CSP)

KEEP = """
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.leading import promise_pools
from cbstorage.model import ClusterSpecification, VolumeSpecification
from cbstorage.promise import Promise
from cbstorage.view import View
from cladnet.model import CloudFacts, NetworkingRule
from cladnet.placement.model import Rtt, Survive
rules = {
    host: NetworkingRule(host=host, address=IPv4Address("10.0.0.1"), public_key="", endpoints=(),
                         cloud=CloudFacts(provider=provider, region=region, zone="a"))
    for host, provider, region in hosts
}
seen = View(
    group="demo", founding=None, rules=rules, hosts={},
    specification=ClusterSpecification(
        group="demo", fsid=fsid, cidr=IPv4Network(cidr), mon_hosts=(), mgr_hosts=(), mds_hosts=(),
        created_at=datetime.now(UTC)))
promises = [Promise(survive=Survive(survive), home=home) for survive, home in promised]
rtts = [Rtt(between=("aws-1", "gcp-1"), ms=140), Rtt(between=("azure-1", "gcp-1"), ms=250)]
volumes = [
    VolumeSpecification(group="demo", name=f"v{number}", id="0" * 8, size_bytes=1 << 30, promise=one,
                        created_at=datetime.now(UTC)) for number, one in enumerate(promises)
]
with Monitors(local.CONFIGURATION, entity="client.admin", keyring=local.keyring_of("client.admin")) as monitors:
    lasting = promise_pools.survey(monitors, seen, rtts, up=False)
    for one in promises if make else []:
        promise_pools.ensure(monitors, one, lasting)
    result = [[check.code, check.summary] for check in promise_pools.keep(monitors, seen, volumes, rtts)]
"""
MAKE = """
from pathlib import Path
from cbstorage.leading import tree
tree.run(tree.Order(
    keyring=Path("/etc/ceph/ceph.client.admin.keyring"), entity="client.admin",
    make=(tree.Make(path=path, namespace=namespace, size_bytes=1 << 24, pool=pool),),
))
"""


def keep(small: SmallCeph, *, make: bool) -> list[list[str]]:
    hosts = [(one.host, *one.region.split(".")[1:]) for one in PLACES]
    promised = [(one.survive.value, one.home) for one in (HOME, ANYWHERE)]
    found: list[list[str]] = small.python(
        KEEP, hosts=hosts, fsid=small.fsid, cidr=str(small.network), promised=promised, make=make
    )
    return found


def pools(small: SmallCeph) -> dict[str, Any]:
    return {one["pool_name"]: one for one in small.ceph("osd", "dump")["pools"]}


def test_primaries_are_at_home_and_no_cloud_has_two_copies(small_ceph: SmallCeph) -> None:
    assert keep(small_ceph, make=True) == []
    version = small_ceph.ceph("osd", "dump")["crush_version"]
    assert keep(small_ceph, make=True) == []
    assert small_ceph.ceph("osd", "dump")["crush_version"] == version, "what is right was changed again"
    made = pools(small_ceph)
    for promise in (HOME, ANYWHERE):
        pool = made[data_pool(promise)]
        assert (pool["size"], pool["min_size"]) == (3, 2)
    by_host = {
        node["name"]: node["children"] for node in small_ceph.ceph("osd", "tree")["nodes"] if "-1" in node["name"]
    }
    home = by_host["gcp-1"][0]
    for name in map(str, range(3)):
        at_home = small_ceph.ceph("osd", "map", data_pool(HOME), name)
        assert at_home["up_primary"] == home
        anywhere = small_ceph.ceph("osd", "map", data_pool(ANYWHERE), name)
        assert (
            sorted(at_home["up"]) == sorted(anywhere["up"]) == sorted(osd for each in by_host.values() for osd in each)
        )


def test_a_volume_lies_in_its_promise_s_pool_and_its_key_opens_no_other(small_ceph: SmallCeph) -> None:
    keep(small_ceph, make=True)
    pool, path, namespace = data_pool(HOME), "/volumes/demo/promised.00000000", "volume.demo.promised.00000000"
    for _ in range(2):
        small_ceph.python(MAKE, path=path, namespace=namespace, pool=pool)
    caps = cephx.volume_caps(file_system=FILE_SYSTEM, path=path, data_pool=pool, namespace=namespace)
    words = [word for pair in caps.items() for word in pair]
    entity = "client.promised.00000000.gcp-1"
    key = small_ceph.ceph("auth", "get-or-create", entity, *words)[0]["key"]
    with small_ceph.mount(path, entity=entity, key=key) as mount:
        mount.write("note", b"kept")
        assert mount.read("note") == b"kept"
    objects = small_ceph.run(["rados", "--pool", pool, "--namespace", namespace, "ls"]).split()
    assert len(objects) == 1
    small_ceph.write("/run/promised.keyring", cephx.keyring(cephx.Identity(entity=entity, key=key)))
    asked = ["rados", "--name", entity, "--keyring", "/run/promised.keyring"]
    small_ceph.run([*asked, "--pool", pool, "--namespace", namespace, "stat", objects[0]])
    with pytest.raises(ProgramFailed, match="Operation not permitted"):
        small_ceph.run([*asked, "--pool", data_pool(None), "--namespace", namespace, "stat", objects[0]])


def test_a_promise_that_is_not_kept_is_told_of(small_ceph: SmallCeph) -> None:
    keep(small_ceph, make=True)
    rules = {name: pool["crush_rule"] for name, pool in pools(small_ceph).items()}
    small_ceph.ceph("osd", "out", "2")
    try:
        found = keep(small_ceph, make=False)
    finally:
        small_ceph.ceph("osd", "in", "2")
    assert [code for code, _ in found] == ["PROMISE_NOT_KEPT"] * 2
    assert (
        "v1 (csp) is not kept now: to survive csp, 3 CSPs with OSDs are needed, there are 2 (aws, gcp)" in found[0][1]
    )
    assert {name: pool["crush_rule"] for name, pool in pools(small_ceph).items()} == rules
    assert keep(small_ceph, make=False) == []


MOVE = """
from cbstorage.ceph.monitor import Monitors
from cbstorage.host import local
from cbstorage.leading import locations
from cbstorage.view import View
from cladnet.model import CloudFacts, NetworkingRule
from ipaddress import IPv4Address
rule = NetworkingRule(host="gcp-1", address=IPv4Address("10.0.0.1"), public_key="", endpoints=(),
                      cloud=CloudFacts(provider="gcp", region="asia-east1", zone=zone))
seen = View(group="demo", founding=None, specification=None, rules={"gcp-1": rule}, hosts={})
with Monitors(local.CONFIGURATION, entity="client.admin", keyring=local.keyring_of("client.admin")) as monitors:
    locations.ensure(monitors, seen)
"""


def test_a_host_whose_zone_changes_moves_in_the_map(small_ceph: SmallCeph) -> None:
    def zone() -> str:
        nodes = small_ceph.ceph("osd", "tree")["nodes"]
        host = next(node["id"] for node in nodes if node["name"] == "gcp-1")
        return str(next(node["name"] for node in nodes if host in node.get("children", ())))

    assert zone() == "dc.gcp.asia-east1.a"
    for each in ("b", "b", "", "a"):
        small_ceph.python(MOVE, zone=each)
        assert zone() == f"dc.gcp.asia-east1.{each or 'b'}"


def test_a_client_reads_the_copy_beside_it(small_ceph: SmallCeph) -> None:
    def reads() -> dict[str, int]:
        nodes = small_ceph.ceph("osd", "tree")["nodes"]
        osds = {node["name"]: node["children"][0] for node in nodes if node["type"] == "host"}
        return {
            host: small_ceph.ceph("tell", f"osd.{osd}", "perf", "dump")["osd"]["op_r"] for host, osd in osds.items()
        }

    # A copy beside the primary answers for an object once a later write of its placement group told it that all
    # copies have the object (PrimaryLogPG, can_serve_replica_read): hence the later files.
    files, later = 40, 400
    with small_ceph.mount("/") as writer:
        writer.run(["sh", "-c", f"mkdir near && for n in $(seq {files}); do echo $n >near/$n; done && sync"])
        writer.run(["sh", "-c", f"mkdir later && for n in $(seq {later}); do echo $n >later/$n; done && sync"])
    place = PLACES[2]
    before = reads()
    near = ["--localize-reads", f"--crush_location={place.location()}"]
    with small_ceph.mount("/", options=near) as reader:
        assert len(reader.run(["sh", "-c", "cat near/*"]).split()) == files
    beside = reads()[place.host] - before[place.host]
    assert beside > files * 3 // 4, "no more than the primaries that are there by chance, a third"
