"""What the lab's test of listening sockets takes for too much."""

from ipaddress import IPv4Address, IPv4Network

from listening import Listener, unexpected

from images.clouds.lab.topology import Role

OVERLAY = IPv4Network("192.168.10.0/26")
LOOPBACK = """
udp UNCONN 0 0      127.0.0.53%lo:53    0.0.0.0:*
tcp LISTEN 0 5         127.0.0.1:9101   0.0.0.0:*
tcp LISTEN 0 5             [::1]:9101      [::]:*
""".strip()
SSH = "tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:*\ntcp LISTEN 0 128 [::]:22 [::]:*"
ETCD = "tcp LISTEN 0 4096 *:2379 *:*"
MON = "tcp LISTEN 0 512 {}:3300 0.0.0.0:*"


def test_loopback_and_ssh_are_always_right() -> None:
    assert unexpected(f"{LOOPBACK}\n{SSH}", (), OVERLAY) == []


def test_a_port_belongs_to_its_role() -> None:
    assert unexpected(ETCD, (Role.CONTROL,), OVERLAY) == []
    assert [one.port for one in unexpected(ETCD, (Role.STORAGE, Role.MEMBER), OVERLAY)] == [2379]
    assert unexpected("udp UNCONN 0 0 [::]:51899 [::]:*", (Role.MEMBER,), OVERLAY) == []
    assert unexpected("tcp LISTEN 0 5 [::]:51899 [::]:*", (Role.MEMBER,), OVERLAY) != []


def test_ceph_is_at_the_overlay_address_only() -> None:
    assert unexpected(MON.format("192.168.10.3"), (Role.STORAGE,), OVERLAY) == []
    for address in ("10.0.0.4", "0.0.0.0"):
        found = unexpected(MON.format(address), (Role.STORAGE,), OVERLAY)
        assert found == [Listener("tcp", IPv4Address(address), 3300)]
