"""A mesh of real processes outlives its parts: dead controllers, etcd, agents and tunnels, bad disks and values."""

import itertools
import json
import shutil
import signal

import pytest
from mesh import Mesh, until

from cladnet import keys
from cladnet.model import Role

pytestmark = pytest.mark.root


def test_traffic_outlives_controller_etcd_and_agents(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    addresses = mesh.wait_mesh("a", "b")

    with mesh.traffic("a", addresses["b"]):
        mesh.end("controller")
        mesh.etcd.kill()
        for host in ("a", "b"):  # a restarting agent adopts what runs, from its cache, with etcd down
            mesh.end(f"agent-{host}", signal.SIGTERM)
            mesh.start_agent(host)
            until(f"{host} is up from its cache", lambda host=host: "up from the cached rules" in mesh.log(host))
        mesh.end("agent-b", signal.SIGKILL)
        mesh.etcd.start()
        mesh.start_controller()
        until("b is called unreachable", lambda: mesh.views()["b"]["state"] == "unreachable")
        mesh.start_agent("b")
        until("b is back", lambda: mesh.views()["b"]["state"] == "active" and mesh.views()["b"]["present"] is True)
    assert mesh.wait_mesh("a", "b") == addresses


def test_a_rebooted_host_comes_up_with_etcd_down(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    addresses = mesh.wait_mesh("a", "b")
    mesh.end("agent-b", signal.SIGKILL)
    mesh.etcd.kill()
    mesh.ip("b", "link", "del", "cbnet0")  # what a reboot leaves: the disk only
    mesh.start_agent("b")
    until("b is reached", lambda: mesh.reaches("a", addresses["b"]))
    assert (mesh.state("b") / "rules" / f"{mesh.group}.json").stat().st_mode & 0o777 == 0o600


def test_a_crashed_tunnel_program_is_started_again(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    addresses = mesh.wait_mesh("a", "b")
    mesh.ip("b", "link", "del", "cbnet0")
    until("b has its interface again", lambda: mesh.has_interface("b"))
    until("b is reached", lambda: mesh.reaches("a", addresses["b"]))


def test_a_host_whose_own_network_overlaps_is_told_and_not_cut_off(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.wait_mesh("a")
    mesh._hosts.append("x")
    mesh._add_namespace("x")
    mesh._plug("x", "203.0.113.20/24")
    mesh.ip("x", "link", "add", "lan0", "type", "bridge")
    mesh.ip("x", "addr", "add", "10.77.0.50/16", "dev", "lan0")
    mesh.ip("x", "link", "set", "lan0", "up")
    mesh._enrol("x", (Role.MEMBER,), (mesh.group,))
    mesh.start_agent("x")
    until("the collision is shown", lambda: "10.77.0.0/16" in str(mesh.views().get("x", {}).get("problem")))
    assert mesh.views()["x"]["address"] is None
    assert not mesh.has_interface("x")


def test_an_agent_that_cannot_write_its_disk_still_follows_the_network(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    mesh.wait_mesh("a", "b")
    mesh.end("agent-b", signal.SIGKILL)
    state = mesh.state("b")
    shutil.rmtree(state / "rules")
    (state / "rules").write_text("no directory")  # what a full or read-only disk does to root in a test: OSError
    (state / "groups.json").unlink()
    (state / "groups.json").mkdir()
    mesh.start_agent("b")
    mesh.add_host("c", 12)
    mesh.wait_mesh("a", "b", "c")
    mesh.larva_plain("leave", "mesh", "b")
    until("b's interface is gone", lambda: not mesh.has_interface("b"))


def test_an_agent_keeps_its_tunnel_up_whatever_stands_in_etcd(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    addresses = mesh.wait_mesh("a", "b")
    mesh.etcdctl("put", keys.command(mesh.group, "b"), "rubbish")
    mesh.etcdctl("put", keys.test_specification(mesh.group), "rubbish")
    until("b has read it", lambda: "rules known" in mesh.log("b"))
    mesh.ip("b", "link", "del", "cbnet0")
    until("b has its interface again", lambda: mesh.has_interface("b"))
    until("b is reached", lambda: mesh.reaches("a", addresses["b"]))


def test_an_interface_of_the_same_name_gives_way(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    mesh.wait_mesh("a", "b")
    mesh.end("agent-b", signal.SIGKILL)
    mesh.ip("b", "link", "del", "cbnet0")
    mesh.ip("b", "link", "add", "cbnet0", "type", "bridge")
    mesh.ip("b", "addr", "add", "192.0.2.1/24", "dev", "cbnet0")
    mesh.start_agent("b")
    mesh.wait_mesh("a", "b")
    assert "192.0.2.1" not in mesh.ip("b", "-4", "addr", "show", "dev", "cbnet0")


def test_all_hosts_restart_while_the_control_plane_is_gone_and_follow_it_when_it_is_back(mesh: Mesh) -> None:
    for number, host in enumerate("abc", start=10):
        mesh.add_host(host, number)
    addresses = mesh.wait_mesh("a", "b", "c")
    for host in "abc":  # what came after the last writing would be lost to the crash
        known = mesh.state(host) / "rules" / f"{mesh.group}.json"
        until(f"{host} has all rules on disk", lambda known=known: len(json.loads(known.read_text())["rules"]) == 3)
    mesh.end("controller")
    mesh.etcd.kill()
    for host in "abc":
        mesh.end(f"agent-{host}", signal.SIGKILL)
        mesh.ip(host, "link", "del", "cbnet0")
    for host in "abc":
        mesh.start_agent(host)
    for source, target in itertools.permutations("abc", 2):
        until(f"{source} reaches {target}", lambda s=source, t=target: mesh.reaches(s, addresses[t]))
    mesh.etcd.start()
    mesh.start_controller()
    mesh.larva_plain("leave", "mesh", "c")
    until("c's interface is gone", lambda: not mesh.has_interface("c"))
    mesh.add_host("d", 13)
    found = mesh.wait_mesh("a", "b", "d")
    assert {host: found[host] for host in "ab"} == {host: addresses[host] for host in "ab"}
    assert found["d"] not in addresses.values(), "what c had rests"


def test_an_agent_that_slept_through_a_compaction_catches_up(mesh: Mesh) -> None:
    for number, host in enumerate("ab", start=10):
        mesh.add_host(host, number)
    addresses = mesh.wait_mesh("a", "b")
    mesh.stop("agent-b")
    mesh.etcd.kill()  # else what it missed would wait for it in its connection
    mesh.etcd.start()
    mesh.add_host("c", 12)
    mesh.wait_mesh("a", "c")
    latest = json.loads(mesh.etcdctl("put", "larva-test/mark", "0", "--write-out", "json"))["header"]["revision"]
    mesh.etcdctl("compact", str(latest))
    mesh.go_on("agent-b")
    assert mesh.wait_mesh("a", "b", "c")["b"] == addresses["b"]
    assert "compacted" in (mesh.directory / "agent-b.log").read_text()
