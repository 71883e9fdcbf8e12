"""The plaintext data path between namespaces on one bridge: who is reached, who is let in, and what is left."""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

pytestmark = pytest.mark.root

PRELUDE = """
import json, sys
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Interface, IPv6Network
from cladnet.datapath import choose, link, source_filter
from cladnet.datapath.protocol import Peer, Tunnel
from cladnet.datapath.vxlan import Vxlan
from cladnet.model import DatapathKind, Encryption

def tunnel(number, group="red", index=0):
    second = IPv6Interface(f"fd00:{index + 1}::a4d:{index}{number:02x}/64")
    addresses = (IPv4Interface(f"10.77.{index}.{number}/24"), second)
    return Tunnel(group=group, addresses=addresses, private_key="", listen_port=51820 + index)

def peer(number, underlay=None, index=0):
    allowed = IPv4Network(f"10.77.{index}.{number}"), IPv6Network(f"fd00:{index + 1}::a4d:{index}{number:02x}")
    endpoint = (IPv4Address(underlay or f"203.0.113.{number}"), 51820 + index)
    return Peer(public_key=str(number), endpoint=endpoint, allowed=allowed)
"""


class Hosts:
    """Namespaces by number on one bridge; host N has 203.0.113.N outside and 10.77.0.N in the network red."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._run_id = f"cnx-{secrets.token_hex(2)}"
        self._bridge = self._add("net")
        run("ip", "-n", self._bridge, "link", "add", "br0", "type", "bridge")
        run("ip", "-n", self._bridge, "link", "set", "br0", "up")

    def _add(self, name: str) -> str:
        namespace = f"{self._run_id}-{name}"
        run("ip", "netns", "add", namespace)
        self._stack.callback(run, "ip", "netns", "del", namespace)
        return namespace

    def add(self, number: int) -> None:
        namespace, port = self._add(str(number)), f"p{number}"
        run("ip", "link", "add", "eth0", "netns", namespace, "type", "veth", "peer", port, "netns", self._bridge)
        run("ip", "-n", self._bridge, "link", "set", port, "master", "br0", "up")
        self.ip(number, "addr", "add", f"203.0.113.{number}/24", "dev", "eth0")
        self.ip(number, "link", "set", "eth0", "up")

    def ip(self, number: int, *words: str) -> str:
        return run("ip", "-n", f"{self._run_id}-{number}", *words)

    def inside(self, number: int, *words: object) -> subprocess.CompletedProcess[str]:
        argv = ["ip", "netns", "exec", f"{self._run_id}-{number}", *(str(word) for word in words)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60)

    def python(self, number: int, script: str) -> str:
        done = self.inside(number, sys.executable, "-c", PRELUDE + script)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def join(self, number: int, *peers: str, me: str = "") -> None:
        """Bring the network red up, or adopt what is there."""
        named = ", ".join(peers)
        self.python(number, f"d = Vxlan('cbnet0'); d.up({me or f'tunnel({number})'}); d.sync([{named}])")

    def reaches(self, number: int, address: str, *options: str) -> bool:
        return self.inside(number, "ping", *options, "-c1", "-W1", address).returncode == 0

    def received(self, number: int, interface: str = "cbnet0") -> int:
        (told,) = json.loads(self.ip(number, "-j", "-s", "link", "show", interface))
        return int(told["stats64"]["rx"]["packets"])


def run(*argv: object) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    """A bridge without hosts."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for program in ("nft", "ping"):
        if shutil.which(program) is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{program} is not installed: run `make setup`")
    with contextlib.ExitStack() as stack:
        yield Hosts(stack)


def peers_of(*numbers: int, index: int = 0) -> list[str]:
    return [f"peer({number}, index={index})" for number in numbers]


def test_three_hosts_reach_each_other_and_follow_one_that_moves(hosts: Hosts) -> None:
    for number in (1, 2, 3):
        hosts.add(number)
    for number in (1, 2, 3):
        hosts.join(number, *peers_of(*({1, 2, 3} - {number})))
    for source in (1, 2, 3):
        for target in {1, 2, 3} - {source}:
            assert hosts.reaches(source, f"10.77.0.{target}")
            assert hosts.reaches(source, f"fd00:1::a4d:{target}"), hosts.ip(source, "-6", "neigh")
    assert "mtu 1450" in hosts.ip(1, "link", "show", "cbnet0")
    assert hosts.reaches(1, "10.77.0.2", "-M", "do", "-s", str(1450 - 28))
    assert not hosts.reaches(1, "10.77.0.2", "-M", "do", "-s", str(1451 - 28))

    # Another process, as a restarted agent: what is right is not touched, and what it finds is what is there.
    assert hosts.python(
        1,
        """
from cladnet.datapath import neighbours
before = __import__("socket").if_nametoindex("cbnet0")
told = []
original = source_filter.apply
source_filter.apply = lambda *words: (told.append(words), original(*words))
d = choose.choose(DatapathKind.AUTO, "cbnet0", Encryption.OFF)
d.up(tunnel(1))
seen = d.stats()
d.sync([peer(2), peer(3)])
assert d.stats() == seen and not told, told
assert __import__("socket").if_nametoindex("cbnet0") == before
print(json.dumps([[str(s.endpoint[0]), s.endpoint[1], sorted(map(str, s.allowed))] for s in seen]))
""",
    ) == json.dumps([[f"203.0.113.{n}", 51820, [f"10.77.0.{n}/32", f"fd00:1::a4d:{n}/128"]] for n in (2, 3)])

    hosts.ip(2, "addr", "del", "203.0.113.2/24", "dev", "eth0")
    hosts.ip(2, "addr", "add", "203.0.113.99/24", "dev", "eth0")
    assert not hosts.reaches(1, "10.77.0.2")
    for number in (1, 3):
        hosts.join(number, "peer(2, '203.0.113.99')", *peers_of(*({1, 3} - {number})))
    assert hosts.reaches(1, "10.77.0.2")
    assert hosts.reaches(2, "10.77.0.3")
    hosts.join(1, *peers_of(3))
    assert not hosts.reaches(2, "10.77.0.1")  # removed: neither heard nor spoken to
    assert hosts.reaches(3, "10.77.0.1")


def test_nobody_is_heard_but_a_peer_with_its_own_address(hosts: Hosts) -> None:
    for number in (1, 2, 3, 4):
        hosts.add(number)
    hosts.join(1, *peers_of(2, 3))
    hosts.join(2, *peers_of(1, 3))
    assert hosts.reaches(2, "10.77.0.1")
    before = hosts.received(1)
    # 4 is no member and knows everything: port, network number, addresses. First it takes a free address, then 3's.
    for number in (4, 3):
        hosts.join(4, *peers_of(1), me=f"tunnel({number})")
        assert not hosts.reaches(4, "10.77.0.1")
        assert not hosts.reaches(4, "fd00:1::a4d:1")
        assert hosts.received(1) == before
    # 2 is a member and calls itself 3.
    hosts.join(2, *peers_of(1), me="tunnel(3)")
    assert not hosts.reaches(2, "10.77.0.1")
    assert not hosts.reaches(2, "fd00:1::a4d:1")
    assert hosts.received(1) == before
    # A router advertisement and ARP come from no overlay address.
    hosts.join(2, *peers_of(1), me="tunnel(2)")
    hosts.ip(2, "neigh", "replace", "fe80::99", "lladdr", "02:4c:0a:4d:00:01", "dev", "cbnet0", "nud", "permanent")
    hosts.inside(2, "ping", "-c1", "-W1", "fe80::99%cbnet0")
    assert hosts.received(1) == before
    assert hosts.inside(1, "cat", "/proc/sys/net/ipv6/conf/cbnet0/accept_ra").stdout.strip() == "0"
    # And once 4 is a peer, the very same packets are heard: it was the filter that kept them out.
    hosts.join(4, *peers_of(1))
    hosts.join(1, *peers_of(2, 3, 4))
    assert hosts.reaches(4, "10.77.0.1")
    assert hosts.received(1) > before


def test_networks_on_the_same_hosts_are_apart_and_going_down_leaves_nothing(hosts: Hosts) -> None:
    for number in (1, 2):
        hosts.add(number)
        other = 3 - number
        hosts.python(
            number,
            f"""
for index, group in enumerate(("red", "blue")):
    d = Vxlan(f"cbnet{{index}}")
    d.up(tunnel({number}, group, index))
    d.sync([peer({other}, index=index)])
""",
        )
    for source, target in ((1, 2), (2, 1)):
        assert hosts.reaches(source, f"10.77.0.{target}")
        assert hosts.reaches(source, f"10.77.1.{target}")
    before = hosts.received(2, "cbnet1")
    assert hosts.reaches(1, "10.77.0.2", "-c20", "-i0.01")
    assert hosts.received(2, "cbnet1") == before
    hosts.python(1, "d = Vxlan('cbnet0'); d.down(); d.down(); assert d.stats() == ()")
    assert hosts.reaches(1, "10.77.1.2")
    assert "cbnet0" not in hosts.ip(1, "link")
    assert hosts.inside(1, "nft", "list", "tables").stdout.split() == ["table", "inet", "larva-cbnet1"]
    hosts.python(1, "Vxlan('cbnet1').down()")
    assert hosts.inside(1, "nft", "list", "tables").stdout == ""
    assert "vxlan" not in hosts.ip(1, "-d", "link")


def test_a_device_of_another_network_is_replaced_and_what_is_not_kept_is_cleared(hosts: Hosts) -> None:
    hosts.add(1)
    hosts.join(1, *peers_of(2))
    told = hosts.python(
        1,
        """
number = lambda: link.settings_of("cbnet0", ["vxlan_id"])["vxlan_id"]
red = number()
d = Vxlan("cbnet0")
d.up(tunnel(1, "blue"))
assert number() != red
assert d.stats() == () and source_filter.look("cbnet0") == {}  # none of red's peers is let into blue
d.up(replace(tunnel(9, "blue"), mtu=1300))
print(link.look("cbnet0").mtu, *link.look("cbnet0").addresses)
choose.clear("cbnet0", keep=frozenset({DatapathKind.VXLAN}))
assert link.kind_of("cbnet0") == "vxlan"
choose.clear("cbnet0", keep=frozenset({DatapathKind.WIREGUARD}))
assert link.kind_of("cbnet0") is None and source_filter.look("cbnet0") is None
""",
    )
    assert told == "1300 10.77.0.9/24 fd00:1::a4d:9/64"


def test_a_host_without_ipv6_in_its_kernel_has_the_rest(hosts: Hosts) -> None:
    for number in (1, 2):
        hosts.add(number)
    assert hosts.inside(1, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1").returncode == 0
    hosts.join(1, *peers_of(2))
    hosts.join(2, *peers_of(1))
    assert hosts.reaches(1, "10.77.0.2")
    assert hosts.reaches(2, "10.77.0.1")
