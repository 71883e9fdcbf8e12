"""The picture of a CLADNet, drawn of real agents: it fills as they join, tells what they measure, and empties."""

import json
import signal
import sys
from collections.abc import Callable
from typing import Any

import pytest
from mesh import Mesh, until

pytestmark = pytest.mark.root

HOSTS = ("a", "b", "c")
READ = """
import sys
from cladnet import networks
from cladnet.etcd.store import Store
from larva import codec
from web import host_page, topology
with Store.of_this_host() as store:
    network = networks.find(store, "mesh")
    found = host_page.read(store, network, sys.argv[1]) if sys.argv[1:] else topology.read(store, network)
    print(codec.encode(found).decode())
"""


def read(mesh: Mesh, *host: str) -> dict[str, Any]:
    """What the topology page shows on the control node, or a host's page."""
    state = f"LARVA_STATE={mesh.state('control')}"
    return json.loads(mesh.inside("control", "env", state, sys.executable, "-c", READ, *host))


def read_once(what: str, mesh: Mesh, holds: Callable[[dict[str, Any]], object], *host: str) -> dict[str, Any]:
    """Read until it is as wanted, and return what was read then: what is read later may be otherwise again."""
    found: dict[str, Any] = {}

    def look() -> object:
        found.update(read(mesh, *host))
        return holds(found)

    until(what, look)
    return found


def here(picture: dict[str, Any]) -> set[str]:
    return {each["host"]["host"] for each in picture["hosts"] if each["host"]["present"]}


def test_the_picture_is_of_the_agents_that_are_there(mesh: Mesh) -> None:
    assert read(mesh) == {"hosts": [], "lines": [], "paths": 0}
    for number, host in enumerate(HOSTS, start=10):
        mesh.add_host(host, number)
        until(f"{host} is drawn", lambda host=host: host in here(read(mesh)))
    mesh.wait_mesh(*HOSTS)
    drawn = read_once(
        "each path is measured, by either end of it", mesh,
        lambda picture: sum(line["rtt_ms"] is not None for line in picture["lines"]) == len(HOSTS),
    )  # fmt: skip
    assert drawn["paths"] == len(HOSTS)
    assert {line["kind"] for line in drawn["lines"]} == {"public"}  # a busy machine may well raise an alarm

    facts = read_once(
        "a itself tells of both",
        mesh,
        lambda facts: {path["destination"] for path in facts["paths"]} == {"b", "c"},
        "a",
    )
    assert [rule["endpoint"] for rule in facts["peers"]] == ["203.0.113.11:51820", "203.0.113.12:51820"]
    assert {rule["reason"] for rule in facts["peers"]} == {"no-private-address"}
    assert "eth0" in {each["name"] for each in facts["interfaces"]}
    assert facts["nat"] == "none"

    for left, host in (({"a", "b"}, "c"), ({"a"}, "b"), (set(), "a")):
        mesh.end(f"agent-{host}", signal.SIGTERM)
        until(f"{host} is drawn no more", lambda left=left: here(read(mesh)) == left)
        assert {end for line in read(mesh)["lines"] for end in (line["one"], line["other"])} <= left
    assert [each["host"]["host"] for each in read(mesh)["hosts"]] == list(HOSTS), "they are silent, not gone"
