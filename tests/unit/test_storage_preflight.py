"""The address preflight, and our own check of what OSDs advertise."""

import socket
import threading
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from cbstorage.ceph.answers import CrushTree, MonitorEntry, MonitorMap, OsdMap, QuorumStatus
from cbstorage.host import preflight
from cbstorage.host.preflight import Link
from cbstorage.leading import observe
from cbstorage.model import Health
from larva import codec

CIDR = IPv4Network("192.168.10.0/26")
ADDRESS = IPv4Address("192.168.10.2")
CBNET = Link(name="cbnet0", mtu=1420, addresses=(IPv4Interface("192.168.10.2/26"),))
ETH = Link(name="eth0", mtu=1500, addresses=(IPv4Interface("10.0.0.4/24"),))


def words(*links: Link, address: IPv4Address = ADDRESS, cidr: IPv4Network = CIDR) -> str:
    return str(preflight.check(links, address=address, cidr=cidr) or "")


def test_all_well() -> None:
    assert words(ETH, CBNET) == ""


def test_no_interface_with_the_address() -> None:
    assert "no interface" in words(ETH)
    assert "larva-agent" in words(ETH)


def test_another_address_of_the_cladnet_is_named() -> None:
    old = Link(name="cbnet0", mtu=1420, addresses=(IPv4Interface("192.168.10.9/26"),))
    assert "192.168.10.9 on cbnet0" in words(ETH, old)


def test_a_private_address_is_never_taken() -> None:
    assert "not in the CLADNet" in words(ETH, address=IPv4Address("10.0.0.4"))


def test_tiny_mtu() -> None:
    assert "MTU of 576" in words(Link(name="cbnet0", mtu=576, addresses=CBNET.addresses))


def test_this_machine_s_links_are_read() -> None:
    assert any(one.ip == IPv4Address("127.0.0.1") for link in preflight.links() for one in link.addresses)


def test_reach_tells_a_listener_from_a_closed_port() -> None:
    loopback = IPv4Address("127.0.0.1")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        taker = threading.Thread(target=lambda: listener.accept()[0].close())
        taker.start()
        assert preflight.reach(loopback, loopback, port=port).answers
        taker.join(timeout=10)
    refused = preflight.reach(loopback, loopback, port=port)
    assert not refused.answers
    assert "nothing listens" in refused.words


OSD_MAP = codec.decode(
    """{"osds": [
    {"osd": 0, "uuid": "u", "up": 1, "in": 1, "weight": 1.0,
     "public_addrs": {"addrvec": [{"type": "v2", "addr": "192.168.10.2:6800", "nonce": 1}]},
     "cluster_addrs": {"addrvec": [{"type": "v2", "addr": "192.168.10.2:6801", "nonce": 1}]}},
    {"osd": 1, "uuid": "u", "up": 1, "in": 1, "weight": 1.0,
     "public_addrs": {"addrvec": [{"type": "v2", "addr": "10.0.0.4:6800", "nonce": 1}]},
     "cluster_addrs": {"addrvec": [{"type": "v2", "addr": "192.168.10.3:6801", "nonce": 1}]}},
    {"osd": 2, "uuid": "u", "up": 0, "in": 0, "weight": 0.0,
     "public_addrs": {"addrvec": []}, "cluster_addrs": {"addrvec": []}}],
    "pools": []}""",
    OsdMap,
    source="test",
)
TREE = CrushTree(nodes=())


def quorum(*names: str, of: int = 3) -> QuorumStatus:
    members = tuple(MonitorEntry(name=f"m{number}") for number in range(of))
    return QuorumStatus(quorum_names=names, quorum_leader_name=names[0], monmap=MonitorMap(mons=members))


def test_every_advertised_address_is_checked() -> None:
    states = observe.osd_states(OSD_MAP, TREE, CIDR)
    assert [state.on_cladnet for state in states] == [True, False, False]
    assert [(state.up, state.is_in) for state in states] == [(True, True), (True, True), (False, False)]


def test_an_osd_off_the_cladnet_is_an_error_and_one_that_is_down_is_not() -> None:
    checks = observe.own_checks(quorum("m0", "m1", "m2"), observe.osd_states(OSD_MAP, TREE, CIDR), "mgr")
    assert [(check.code, check.health) for check in checks] == [("OSD_OFF_CLADNET", Health.ERROR)]
    assert "10.0.0.4" in checks[0].summary


@pytest.mark.parametrize(
    ("names", "of", "warned"), [(("a", "b"), 3, True), (("a",), 1, False), (("a", "b", "c"), 3, False)]
)
def test_a_quorum_on_the_edge_is_told(names: tuple[str, ...], of: int, warned: bool) -> None:
    codes = [check.code for check in observe.own_checks(quorum(*names, of=of), (), "mgr")]
    assert ("QUORUM_BARELY" in codes) is warned


def test_no_manager_is_told() -> None:
    assert [check.code for check in observe.own_checks(quorum("m0", of=1), (), "")] == ["NO_MANAGER"]
