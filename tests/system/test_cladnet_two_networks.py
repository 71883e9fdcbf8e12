"""Two CLADNets on the same hosts, with real agents: each is a network of its own, and one goes without the other."""

import itertools
import json

import pytest
from mesh import Mesh, until

from cladnet import keys

pytestmark = pytest.mark.root

PROBES = 20
PROBE_BYTES = 1200
"""So large that nothing else on an interface (handshakes, the agents' own probes) comes near the sum of them."""


def received(mesh: Mesh, host: str, interface: str) -> int:
    """Bytes that came in by an interface."""
    (link,) = json.loads(mesh.ip(host, "-s", "-j", "link", "show", "dev", interface))
    return int(link["stats64"]["rx"]["bytes"])


def rules(mesh: Mesh, host: str, group: str) -> dict[str, tuple[str, set[int]]]:
    """Host → its key and the ports of its endpoints, as another host has them on its disk."""
    cached = json.loads((mesh.state(host) / "rules" / f"{group}.json").read_text())["rules"]
    return {rule["host"]: (rule["public_key"], {each["port"] for each in rule["endpoints"]}) for rule in cached}


def pings(mesh: Mesh, source: str, address: str) -> None:
    """Send by whatever way the routes say; all of it is answered."""
    mesh.inside(source, "ping", "-i", "0.02", "-c", PROBES, "-s", PROBE_BYTES, "-W", "5", address)


def test_two_cladnets_of_the_same_hosts_are_apart_and_one_goes_without_the_other(mesh: Mesh) -> None:
    other = mesh.larva("create", "10.78.0.0/24", "--name", "other")["id"]
    mesh.add_host("a", 10, (mesh.group, other))
    mesh.add_host("b", 11, (other, mesh.group))  # the other way round: the two have other interfaces and ports there
    mesh.add_host("c", 12, (mesh.group, other))
    until("c is in both", lambda: mesh.has_interface("c", "cbnet1"))
    mesh.larva_plain("leave", "other", "c")  # its address there rests from now on
    until("c is in one", lambda: not mesh.has_interface("c", "cbnet1"))
    until("it rests", lambda: keys.released_of(other) in mesh.etcdctl("get", "--prefix", "--keys-only", keys.RELEASED))
    interfaces = {
        "mesh": {"a": "cbnet0", "b": "cbnet1", "c": "cbnet0"},
        "other": {"a": "cbnet1", "b": "cbnet0"},
    }
    groups = {"mesh": mesh.group, "other": other}
    addresses: dict[str, dict[str, str]] = {}
    for cladnet, of_host in interfaces.items():
        until(
            "all have addresses", lambda c=cladnet, h=of_host: all(mesh.views(c).get(n, {}).get("address") for n in h)
        )
        views = mesh.views(cladnet)
        assert views.keys() == of_host.keys()
        addresses[cladnet] = {host: str(view["address"]) for host, view in views.items()}
        for source, target in itertools.permutations(of_host, 2):
            address, interface = addresses[cladnet][target], of_host[source]
            until(
                f"{source} reaches {target} in {cladnet}\n{mesh.log(source)}",
                lambda source=source, address=address, interface=interface: mesh.reaches(
                    source, address, interface=interface
                ),
            )

    for cladnet, of_host in interfaces.items():
        for source, target in itertools.permutations(of_host, 2):
            wrong = {"cbnet0", "cbnet1"} - {of_host[target]} if target != "c" else set()
            before = {each: received(mesh, target, each) for each in (of_host[target], *wrong)}
            pings(mesh, source, addresses[cladnet][target])
            came = {each: received(mesh, target, each) - count for each, count in before.items()}
            assert came[of_host[target]] >= PROBES * PROBE_BYTES, (cladnet, source, target, came)
            assert all(came[each] < PROBES * PROBE_BYTES / 2 for each in wrong), (cladnet, source, target, came)

    for cladnet, of_host in interfaces.items():  # one key a host, one port a CLADNet of it
        ports = {host: {51820 + int(name.removeprefix("cbnet"))} for host, name in of_host.items()}
        for host in of_host:
            known = rules(mesh, host, groups[cladnet])
            assert {name: found for name, (_, found) in known.items()} == ports
            assert all(known[name][0] == rules(mesh, "a", mesh.group)[name][0] for name in known)
    assert len({key for key, _ in rules(mesh, "a", mesh.group).values()}) == 3

    until("c may read of it no more", lambda: mesh.is_refused("c", keys.rules_of(other)))
    assert not mesh.is_refused("c", keys.rules_of(mesh.group))
    for host, peer in (("a", "b"), ("b", "a")):
        address = addresses["other"][host]
        assert not mesh.reaches(peer, address, interface=interfaces["mesh"][peer]), "not by the other CLADNet"
        assert not mesh.reaches("c", address), "there is no way"
        mesh.ip("c", "route", "add", address, "dev", "cbnet0")  # as who wants to get in would do
        assert not mesh.reaches("c", address), "no peer of c has it"
    kept = {host: mesh.ip(host, "addr", "show", "dev", name) for host, name in interfaces["mesh"].items()}

    with mesh.traffic("a", addresses["mesh"]["b"]), mesh.traffic("c", addresses["mesh"]["a"]):
        mesh.larva_plain("delete", "other", "--yes")
        for host, interface in interfaces["other"].items():
            until(f"{interface} of {host} is gone", lambda h=host, i=interface: not mesh.has_interface(h, i))
            assert addresses["other"][host] not in mesh.ip(host, "addr")
            assert "10.78.0." not in mesh.ip(host, "route", "show", "table", "all")
            for room in ("rules", "probes"):
                cached = mesh.state(host) / room / f"{other}.json"
                until(f"{cached} is gone", lambda cached=cached: not cached.exists())
        until("etcd has nothing of it", lambda: other not in mesh.etcdctl("get", "--prefix", "--keys-only", keys.ROOT))
        pings(mesh, "b", addresses["mesh"]["a"])
    for host, interface in interfaces["mesh"].items():
        assert mesh.ip(host, "addr", "show", "dev", interface) == kept[host], "the other CLADNet keeps its place"
        assert [each["interface"] for each in mesh.agent_status(host)["cladnets"]] == [interface]
