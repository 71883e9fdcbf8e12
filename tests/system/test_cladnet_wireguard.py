"""The data path drivers on what this kernel offers, in namespaces of their own."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cladnet import seal
from cladnet.datapath import link
from cladnet.datapath.choose import choose
from cladnet.datapath.wireguard_go import clamped
from cladnet.model import DatapathKind
from larva.errors import HostUnfit

pytestmark = pytest.mark.root

SCRIPT = """
import sys
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from cladnet.datapath.choose import choose
from cladnet.datapath.protocol import Peer, Tunnel
from cladnet.model import DatapathKind

private, peer_keys = sys.argv[1], [key for key in sys.argv[2].split(",") if key]
tunnel = Tunnel(group="g-1", addresses=(IPv4Interface("10.77.0.1/16"),), private_key=private, listen_port=51820)
peers = [
    Peer(public_key=key, endpoint=(IPv4Address("127.0.0.1"), 1000 + n), keepalive_s=25,
         allowed=(IPv4Network((int(IPv4Address("10.77.1.0")) + n, 32)),))
    for n, key in enumerate(peer_keys)
]
"""


@pytest.fixture
def namespace(tmp_path: Path):
    """run(python) executes Python inside a namespace of its own, with a place of its own for sockets."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if shutil.which("wireguard-go") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("wireguard-go is not installed: run `make setup`")
    name = f"cnt-{secrets.token_hex(3)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
    shell = 'mkdir -p /run/wireguard && mount --bind "$0" /run/wireguard && exec "$@"'

    def run(script: str, *arguments: str) -> str:
        done = subprocess.run(
            [
                "ip", "netns", "exec", name, "sh", "-c", shell, tmp_path, sys.executable, "-c", SCRIPT + script,
                *arguments,
            ],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    try:
        yield run
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run(["ip", "-n", name, "link", "del", "cbnet0"], capture_output=True, check=True)
        subprocess.run(["ip", "netns", "del", name], check=True)


def test_wireguard_go_takes_many_peers_touches_no_right_one_and_goes(namespace) -> None:
    private, _ = seal.new_pair()
    keys = ",".join(seal.new_pair()[1] for _ in range(300))
    first = namespace(
        "d = choose(DatapathKind.WIREGUARD_GO, 'cbnet0'); d.up(tunnel); d.sync(peers); print(len(d.stats()))",
        private,
        keys,
    )
    assert first == "300"
    # Another process, as a restarted agent: it finds what is there and changes what differs only.
    again = namespace(
        """
d = choose(DatapathKind.WIREGUARD_GO, 'cbnet0')
settled = lambda: sorted((s.public_key, s.endpoint, s.allowed, s.keepalive_s) for s in d.stats())
before = settled()
asked = []
ask = d._ask
d._ask = lambda request: (asked.append(request), ask(request))[1]
d.up(tunnel)
d.sync(peers)
assert settled() == before, 'touched'
# A peer that was never heard is told its endpoint again and again until it answers; nothing else is written.
assert not [each for each in asked if 'private_key' in each or 'remove' in each], asked
d.sync(peers[:150])
print(len(d.stats()))
d.down()
print(len(d.stats()))
d.down()
""",
        private,
        keys,
    )
    assert again.split() == ["150", "0"]


def test_a_new_address_or_mtu_replaces_the_old(namespace) -> None:
    private, _ = seal.new_pair()
    shown = namespace(
        """
import subprocess
from dataclasses import replace
d = choose(DatapathKind.WIREGUARD_GO, 'cbnet0')
d.up(tunnel)
d.up(replace(tunnel, addresses=(IPv4Interface("10.78.0.9/24"),), mtu=1300, listen_port=51999))
print(subprocess.run(["ip", "-o", "addr", "show", "cbnet0"], capture_output=True, text=True).stdout)
print(subprocess.run(["ip", "-o", "link", "show", "cbnet0"], capture_output=True, text=True).stdout)
print(subprocess.run(["ss", "-Hlun"], capture_output=True, text=True).stdout)
""",
        private,
        "",
    )
    assert "10.78.0.9/24" in shown
    assert "10.77.0.1" not in shown
    assert "mtu 1300" in shown
    assert ":51999" in shown


def test_ipv6_comes_and_goes_beside_ipv4_and_where_the_kernel_has_none_ipv4_goes_on(namespace) -> None:
    private, _ = seal.new_pair()
    _, peer = seal.new_pair()
    shown = namespace(
        """
import json, subprocess
from dataclasses import replace
def addresses(*words):
    told = subprocess.run(["ip", "-j", "addr", "show", "cbnet0", *words], capture_output=True, text=True, check=True)
    return {f"{a['local']}/{a['prefixlen']}": a.get("tentative", False) for a in json.loads(told.stdout)[0]["addr_info"]
            if not a["local"].startswith("fe80")}
d = choose(DatapathKind.WIREGUARD_GO, 'cbnet0')
both = replace(tunnel, addresses=(*tunnel.addresses, IPv6Interface("fd00::a4d:1/64")))
second = replace(peers[0], allowed=(*peers[0].allowed, IPv6Network("fd00::a4d:100/128")))
d.up(tunnel)
d.sync(peers)
d.up(both)
d.sync([second])
assert addresses() == {"10.77.0.1/16": False, "fd00::a4d:1/64": False}, addresses()
assert set(d.stats()[0].allowed) == set(second.allowed)
sent = []
ask = d._ask
d._ask = lambda request: (sent.append(request), ask(request))[1]
d.up(both)
d.sync([second])
assert not [each for each in sent if "allowed_ip" in each and "set=1" in each and "replace" in each], sent
d.up(replace(both, addresses=(*tunnel.addresses, IPv6Interface("fd01::a4d:1/64"))))
assert set(addresses()) == {"10.77.0.1/16", "fd01::a4d:1/64"}, addresses()
d.up(tunnel)
d.sync(peers)
assert set(addresses()) == {"10.77.0.1/16"}, addresses()
assert d.stats()[0].allowed == peers[0].allowed
subprocess.run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1"], check=True)
d.up(both)
assert set(addresses()) == {"10.77.0.1/16"}, addresses()
d.down()
d.up(both)
assert set(addresses()) == {"10.77.0.1/16"}, addresses()
subprocess.run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=0"], check=True)
d.up(both)
assert set(addresses()) == {"10.77.0.1/16", "fd00::a4d:1/64"}, addresses()
d.down()
print("done")
""",
        private,
        peer,
    )
    assert shown == "done"


def test_a_key_is_compared_as_wireguard_keeps_it() -> None:
    private, _ = seal.new_pair()
    assert clamped(clamped(private)) == clamped(private)


def test_what_the_kernel_lacks_is_told() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    if link.supports("wireguard"):
        assert choose(DatapathKind.AUTO, "cbnet0").kind == DatapathKind.WIREGUARD
        return
    with pytest.raises(HostUnfit) as error:
        choose(DatapathKind.WIREGUARD, "cbnet0")
    assert "wireguard-go" in error.value.hint


def test_some_peers_are_changed_without_a_look_at_the_others(namespace) -> None:
    private, _ = seal.new_pair()
    keys = ",".join(seal.new_pair()[1] for _ in range(50))
    told = namespace(
        """
from dataclasses import replace
d = choose(DatapathKind.WIREGUARD_GO, 'cbnet0')
d.up(tunnel)
d.sync(peers[:40])
asked = []
ask = d._ask
d._ask = lambda request: (asked.append(request), ask(request))[1]
moved = replace(peers[0], endpoint=(IPv4Address("127.0.0.2"), 7))
slower = replace(peers[1], keepalive_s=5)
d.change([moved, slower, peers[45]], [peers[2].public_key])
d.change([], [])
(request,) = asked
assert request.count("public_key=") == 4 and request.count("endpoint=") == 2, request
there = {s.public_key: (s.endpoint, s.allowed, s.keepalive_s) for s in d.stats()}
wanted = [moved, slower, *peers[3:40], peers[45]]
assert there == {p.public_key: (p.endpoint, p.allowed, p.keepalive_s) for p in wanted}
asked.clear()
d.change([peers[2]], [])  # who comes back is told its endpoint again
assert "endpoint=127.0.0.1:1002" in asked[0]
d.down()
print("done")
""",
        private,
        keys,
    )
    assert told == "done"
