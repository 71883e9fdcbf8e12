"""The appliance's firewall, as it is shipped, on a host of two CLADNets: no way leads from one into the other."""

import contextlib
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.root

FIREWALL = Path(__file__).parents[2] / "packer/package/etc/larva/nftables.nft"
SERVE = """
import socket
with socket.create_server(("0.0.0.0", 7000)) as server:
    print("ready", flush=True)
    while True:
        server.accept()[0].close()
"""
CONNECT = """
import socket, sys
with socket.create_connection((sys.argv[1], 7000), timeout=2):
    pass
"""


def inside(namespace: str, *words: str) -> list[str]:
    return ["ip", "netns", "exec", namespace, *words]


def reaches(namespace: str, address: str) -> bool:
    argv = inside(namespace, sys.executable, "-c", CONNECT, address)
    return subprocess.run(argv, capture_output=True, timeout=60).returncode == 0


@pytest.fixture
def host() -> Iterator[str]:
    """Prefix of three namespaces: `both`, in the CLADNets red (10.1.0.0/24) and blue (10.2.0.0/24), a member of each.

    What it serves listens on every address, it forwards as a host with containers does, and each member sends it
    whatever is for the other CLADNet.
    """
    run_id = f"fw-{secrets.token_hex(2)}"
    with contextlib.ExitStack() as stack:

        def ip(*words: str) -> None:
            subprocess.run(["ip", *words], check=True, capture_output=True)

        def add(name: str) -> str:
            ip("netns", "add", f"{run_id}-{name}")
            stack.callback(ip, "netns", "del", f"{run_id}-{name}")
            return f"{run_id}-{name}"

        both = add("both")
        servers = [both]
        for index, name in enumerate(("red", "blue")):
            member, network, other = add(name), 1 + index, 2 - index
            servers.append(member)
            ip("link", "add", f"cbnet{index}", "netns", both, "type", "veth", "peer", "cbnet0", "netns", member)
            for namespace, interface, number in ((both, f"cbnet{index}", 1), (member, "cbnet0", 2)):
                ip("-n", namespace, "addr", "add", f"10.{network}.0.{number}/24", "dev", interface)
                ip("-n", namespace, "link", "set", interface, "up")
            ip("-n", member, "route", "add", f"10.{other}.0.0/24", "via", f"10.{network}.0.1")
        subprocess.run(inside(both, "sysctl", "-q", "net.ipv4.ip_forward=1"), check=True)
        for namespace in servers:
            server = subprocess.Popen(inside(namespace, sys.executable, "-c", SERVE), stdout=subprocess.PIPE, text=True)
            stack.callback(server.wait, 20)
            stack.callback(server.kill)
            assert server.stdout is not None
            stack.callback(server.stdout.close)
            assert server.stdout.readline() == "ready\n"
        yield run_id


def test_a_host_of_two_cladnets_is_no_way_between_them(host: str) -> None:
    red, blue = f"{host}-red", f"{host}-blue"
    assert reaches(red, "10.2.0.1")  # without the firewall Linux answers for its other CLADNet's address,
    assert reaches(red, "10.2.0.2")  # and forwards
    subprocess.run(inside(f"{host}-both", "nft", "-f", str(FIREWALL)), check=True)
    for member, own, others in (
        (red, "10.1.0.1", ("10.2.0.1", "10.2.0.2")),
        (blue, "10.2.0.1", ("10.1.0.1", "10.1.0.2")),
    ):
        assert reaches(member, own)
        assert not any(reaches(member, address) for address in others)
