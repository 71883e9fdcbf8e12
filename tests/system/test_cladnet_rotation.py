"""A host of a mesh of real processes replaces its WireGuard key while traffic flows."""

import contextlib
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from mesh import PATIENCE_S, Mesh, until

from cladnet import keys

pytestmark = pytest.mark.root

SERVE = """
import hashlib, socket, sys
listener = socket.create_server((sys.argv[1], 7000))
print("ready", flush=True)
connection, _ = listener.accept()
told = hashlib.sha256()
while data := connection.recv(1 << 16):
    told.update(data)
print(told.hexdigest())
"""
SEND = """
import hashlib, os, select, socket, sys
connection = socket.create_connection((sys.argv[1], 7000), timeout=60)
told = hashlib.sha256()
while not select.select([sys.stdin], [], [], 0.005)[0]:
    data = os.urandom(1 << 12)
    connection.sendall(data)
    told.update(data)
connection.close()
print(told.hexdigest())
"""


@contextlib.contextmanager
def counted(mesh: Mesh, source: str, address: str) -> Iterator[list[int]]:
    """Ping a hundred times a second meanwhile; gives what was sent and what came back, once it is over."""
    ping = subprocess.Popen(
        ["ip", "netns", "exec", mesh.ns(source), "ping", "-i", "0.01", "-W", "5", address],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    counts: list[int] = []
    try:
        yield counts
    finally:
        ping.send_signal(signal.SIGINT)
        output, _ = ping.communicate(timeout=PATIENCE_S)
    found = re.search(r"(\d+) packets transmitted, (\d+) received", output)
    assert found, output
    counts += [int(found[1]), int(found[2])]


@contextlib.contextmanager
def stream(mesh: Mesh, source: str, target: str, address: str) -> Iterator[None]:
    """One TCP connection carries data meanwhile, and all of it arrives."""

    def spawn(name: str, script: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["ip", "netns", "exec", mesh.ns(name), sys.executable, "-c", script, address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    server = spawn(target, SERVE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    client = spawn(source, SEND)
    try:
        yield
    finally:
        sent, _ = client.communicate("end\n", timeout=PATIENCE_S)
        received, _ = server.communicate(timeout=PATIENCE_S)
    assert sent == received != ""
    assert client.returncode == server.returncode == 0


def test_a_hosts_key_is_replaced_while_traffic_flows(mesh: Mesh) -> None:
    for number, host in enumerate(("a", "b", "c"), start=10):
        mesh.add_host(host, number)
    addresses = mesh.wait_mesh("a", "b", "c")
    key_file = mesh.state("a") / "identity" / "wireguard.key"
    old = key_file.read_text()

    def key_of_a(host: str) -> object:
        rules = json.loads((mesh.state(host) / "rules" / f"{mesh.group}.json").read_text())["rules"]
        return next(rule["public_key"] for rule in rules if rule["host"] == "a")

    with (
        counted(mesh, "a", addresses["b"]) as out,
        counted(mesh, "b", addresses["a"]) as back,
        stream(mesh, "a", "c", addresses["c"]),
        stream(mesh, "b", "a", addresses["a"]),
    ):
        new = mesh.on("a", "agent", "rotate-key")["next_public_key"]
        assert (mesh.state("a") / "identity" / "wireguard.next").stat().st_mode & 0o777 == 0o600
        until("everybody goes by the new key", lambda: all(key_of_a(host) == new for host in ("a", "b", "c")))
        until("the old one is gone", lambda: not key_file.with_suffix(".next").exists())
        for peer in ("b", "c"):
            assert mesh.reaches("a", addresses[peer])
            assert mesh.reaches(peer, addresses["a"])
    assert key_file.read_text() != old
    print("sent and received:", out, back)
    for sent, received in (out, back):
        assert sent > 100
        assert sent - received <= 3, "one may be on its way at the end, and one at each end of the change"


def test_a_host_that_is_cut_off_from_etcd_notices_that_a_peer_uses_its_next_key(mesh: Mesh) -> None:
    mesh.settle_s = 20.0  # b's lease lasts longer than half of it: b was there long enough to have heard of the key
    for number, host in enumerate(("a", "b"), start=10):
        mesh.add_host(host, number)
    addresses = mesh.wait_mesh("a", "b")
    until("both are seen", lambda: all(view["present"] for view in mesh.views().values()))
    new = mesh.on("a", "agent", "rotate-key")["next_public_key"]
    rules = mesh.state("b") / "rules" / f"{mesh.group}.json"
    until("b knows the next key", lambda: new in rules.read_text())
    mesh.ip("b", "route", "add", "unreachable", "203.0.113.1/32")
    key_file = mesh.state("a") / "identity" / "wireguard.key"
    until(f"a uses it\n{mesh.log('a')}", lambda: not key_file.with_suffix(".next").exists())
    until("a reaches b", lambda: mesh.reaches("a", addresses["b"]))
    assert mesh.reaches("b", addresses["a"])
    assert f'"next_public_key":"{new}"' in rules.read_text(), "nobody told b"
    mesh.ip("b", "route", "del", "unreachable", "203.0.113.1/32")
    until("b is told", lambda: f'"public_key":"{new}"' in rules.read_text())
    assert mesh.reaches("b", addresses["a"])


def test_a_host_of_two_cladnets_of_which_one_is_plain_replaces_its_one_key(mesh: Mesh) -> None:
    other = mesh.larva("create", "10.78.0.0/24", "--name", "other")["id"]
    overlapped = mesh.larva("create", "10.79.0.0/24", "--name", "overlapped")["id"]
    mesh.larva("update", "other", "--encryption", "off", "--rule", "basic")
    mesh.larva("update", "mesh", "--rule", "basic")  # else lan0's address is one at which a may be reached
    mesh.add_host("a", 10, (mesh.group, other))
    mesh.ip("a", "link", "add", "lan0", "up", "type", "bridge")
    mesh.ip("a", "addr", "add", "10.79.0.1/24", "dev", "lan0")
    until("a tells of its own network", lambda: "10.79.0.1" in told(mesh, mesh.group))
    mesh.larva_plain("join", "overlapped", "a")  # where it gets no rule
    mesh.add_host("b", 11, (mesh.group, other))
    mesh.add_host("c", 12, (other,))
    addresses = mesh.wait_mesh("a", "b")
    until("a and b are in the other", lambda: all(mesh.views("other").get(h, {}).get("address") for h in "abc"))
    plain = str(mesh.views("other")["b"]["address"])
    until(f"b is reached\n{mesh.log('a')}", lambda: mesh.reaches("a", plain, interface="cbnet1"))
    until("a is in the third", lambda: "overlaps" in mesh.views("overlapped").get("a", {}).get("problem", ""))
    assert mesh.views("overlapped")["a"]["address"] is None
    mesh.end("agent-c")
    until("c is away", lambda: mesh.views("other")["c"]["state"] == "unreachable")
    with counted(mesh, "a", addresses["b"]) as sealed, counted(mesh, "a", plain) as unsealed:
        new = mesh.on("a", "agent", "rotate-key")["next_public_key"]
        key_file = mesh.state("a") / "identity" / "wireguard.key"
        until(f"the old key is gone\n{mesh.log('a')}", lambda: not key_file.with_suffix(".next").exists())
        for group in (mesh.group, other):
            rules = mesh.state("b") / "rules" / f"{group}.json"
            until("b goes by the new key", lambda rules=rules: f'"public_key":"{new}"' in rules.read_text())
    for sent, received in (sealed, unsealed):
        assert sent > 100
        assert sent - received <= 3
    until("no key of before is told", lambda: f'"public_key":"{new}"' in told(mesh, overlapped))


def told(mesh: Mesh, group: str) -> str:
    """What a says of itself in a CLADNet."""
    return mesh.etcdctl("get", "--print-value-only", keys.host_information(group, "a"))
