"""Netlink: what we write is what pyroute2 reads, and the other way round; whatever else comes is read without harm."""

import base64
import errno
import socket
import struct
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.generic.wireguard import wgmsg

from cladnet.datapath import netlink, wireguard_genl
from cladnet.datapath.netlink import KernelRefused, Message
from cladnet.datapath.peers import Changes, PeerChange
from cladnet.datapath.protocol import Peer
from cladnet.datapath.rtnetlink import IFF_LOOPBACK, Route

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(32)).decode()
PEER = Peer(
    public_key=KEY,
    endpoint=(IPv4Address("203.0.113.7"), 51820),
    allowed=(IPv4Network("10.77.0.2/32"), IPv6Network("fd00::1/128")),
    keepalive_s=25,
)
HEADER_BYTES = 16


def dump(*peers: dict[str, Any]) -> Message:
    """A message as the kernel would send it, by pyroute2's own coder."""
    message = wgmsg()
    attributes = []
    for peer in peers:
        found = [["WGPEER_A_PUBLIC_KEY", peer["key"]]]
        if "endpoint" in peer:
            address, port = peer["endpoint"]
            found.append(["WGPEER_A_ENDPOINT", {"addr": address, "port": port}])
            found.append(["WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL", 25])
            found.append(["WGPEER_A_LAST_HANDSHAKE_TIME", {"tv_sec": 1_700_000_000, "tv_nsec": 5}])
            found.append(["WGPEER_A_RX_BYTES", 1 << 40])
            found.append(["WGPEER_A_TX_BYTES", 7])
        allowed = [
            {
                "attrs": [
                    ["WGALLOWEDIP_A_FAMILY", 2 if ip_address(address).version == 4 else 10],
                    ["WGALLOWEDIP_A_IPADDR", ip_address(address).packed],
                    ["WGALLOWEDIP_A_CIDR_MASK", ip_address(address).max_prefixlen],
                ]
            }
            for address in peer["allowed"]
        ]
        found.append(["WGPEER_A_ALLOWEDIPS", allowed])
        attributes.append({"attrs": found})
    message["attrs"] = [["WGDEVICE_A_IFNAME", "cbnet0"], ["WGDEVICE_A_PEERS", attributes]]
    message["header"]["type"] = 0x1D
    message.encode()
    ((_, read),) = netlink.messages(bytes(message.data))
    return read


def understood(request: bytes) -> Any:
    """What pyroute2 reads in a request of ours."""
    message = wgmsg(struct.pack("=IHHII", HEADER_BYTES + len(request), 0x1D, 5, 1, 0) + request)
    message.decode()
    return message


def test_a_dump_in_several_messages_is_put_together() -> None:
    messages = [
        dump({"key": KEY, "endpoint": ("203.0.113.7", 51820), "allowed": ["10.77.0.2"]}),
        dump({"key": KEY, "allowed": ["fd00::3"]}, {"key": OTHER, "allowed": ["10.77.0.4"]}),
    ]
    first, second = wireguard_genl.merged(messages)
    assert (first.public_key, first.endpoint, first.keepalive_s) == (KEY, PEER.endpoint, 25)
    assert first.allowed == (IPv4Network("10.77.0.2/32"), IPv6Network("fd00::3/128"))
    assert first.last_handshake == datetime.fromtimestamp(1_700_000_000, UTC)
    assert (first.received_bytes, first.sent_bytes) == (1 << 40, 7)
    assert (second.public_key, second.endpoint, second.allowed) == (OTHER, None, (IPv4Network("10.77.0.4/32"),))
    assert (second.last_handshake, second.received_bytes, second.keepalive_s) == (None, 0, 0)


def test_the_device_is_told_its_key_and_port() -> None:
    read = understood(wireguard_genl.device_request("cbnet0", KEY, 51821))
    assert (read["cmd"], read["version"]) == (1, 1)
    assert (read.get_attr("WGDEVICE_A_IFNAME"), read.get_attr("WGDEVICE_A_LISTEN_PORT")) == ("cbnet0", 51821)
    assert read.get_attr("WGDEVICE_A_PRIVATE_KEY") == KEY.encode()


def test_a_request_names_only_what_changes() -> None:
    changes = Changes((OTHER,), (PeerChange(PEER, PEER.endpoint), PeerChange(PEER, None, only_adds=True)))
    (request,) = wireguard_genl.peer_requests("cbnet0", changes)
    replaced, added, removed = understood(request).get_attr("WGDEVICE_A_PEERS")
    assert replaced.get_attr("WGPEER_A_PUBLIC_KEY") == KEY.encode()
    assert replaced.get_attr("WGPEER_A_FLAGS") == 2  # WGPEER_F_REPLACE_ALLOWEDIPS
    endpoint = replaced.get_attr("WGPEER_A_ENDPOINT")
    assert (endpoint["family"], endpoint["addr"], endpoint["port"]) == (socket.AF_INET, "203.0.113.7", 51820)
    assert replaced.get_attr("WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL") == 25
    assert [each["addr"] for each in replaced.get_attr("WGPEER_A_ALLOWEDIPS")] == ["10.77.0.2/32", "fd00::1/128"]
    assert (added.get_attr("WGPEER_A_FLAGS"), added.get_attr("WGPEER_A_ENDPOINT")) == (0, None)
    assert removed.get_attr("WGPEER_A_PUBLIC_KEY") == OTHER.encode()  # last: what it had has gone to another by then
    assert removed.get_attr("WGPEER_A_FLAGS") == 1  # WGPEER_F_REMOVE_ME
    assert not list(wireguard_genl.peer_requests("cbnet0", Changes((), ())))


def test_a_thousand_peers_are_told_in_order_and_in_requests_that_fit() -> None:
    keys = [base64.b64encode(number.to_bytes(32)).decode() for number in range(1000)]
    changed = tuple(
        PeerChange(Peer(public_key=key, endpoint=PEER.endpoint, allowed=PEER.allowed), PEER.endpoint) for key in keys
    )
    requests = list(wireguard_genl.peer_requests("cbnet0", Changes((KEY,), changed)))
    assert all(len(request) < 17_000 for request in requests)
    told = [
        peer.get_attr("WGPEER_A_PUBLIC_KEY").decode()
        for request in requests
        for peer in understood(request).get_attr("WGDEVICE_A_PEERS")
    ]
    assert told == [*keys, KEY]


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40)), max_size=8))
def test_attributes_are_read_as_they_were_written(given_attributes: list[tuple[int, bytes]]) -> None:
    written = b"".join(netlink.attribute(kind, value) for kind, value in given_attributes)
    assert len(written) % 4 == 0
    assert list(netlink.listed(written)) == given_attributes
    assert netlink.attributes(netlink.nested(1, written))[1] == written


@given(st.binary(max_size=200))
def test_rubbish_ends_the_reading_and_does_no_more(data: bytes) -> None:
    assert sum(len(value) for _, value in netlink.listed(data)) <= len(data)
    assert sum(len(message.body) for _, message in netlink.messages(data)) <= len(data)


@given(st.binary(max_size=60))
def test_what_is_cut_off_is_left_out(value: bytes) -> None:
    whole = netlink.attribute(1, b"first") + netlink.attribute(2, value)
    for end in range(len(netlink.attribute(1, b"first")), len(whole) - (-len(value) % 4)):
        assert list(netlink.listed(whole[:end])) == [(1, b"first")]


def test_what_the_kernel_tells_of_links_is_what_it_shows_in_sys() -> None:
    with Route() as route:
        links = {link.name: link for link in route.links()}
        shown = {place.name for place in Path("/sys/class/net").iterdir() if place.is_dir()}
        assert "lo" in links.keys() & shown
        loopback = route.link("lo")
        assert loopback == links["lo"]
        assert (loopback.index, loopback.mtu) == (
            socket.if_nametoindex("lo"), int(Path("/sys/class/net/lo/mtu").read_text())
        )  # fmt: skip
        addresses = {each.interface for each in route.addresses(socket.AF_INET, loopback.index)}
        assert loopback.flags & IFF_LOOPBACK
        assert not addresses or IPv4Interface("127.0.0.1/8") in addresses
        assert route.link("no-such-link") is None


def test_a_refusal_carries_the_kernels_errno() -> None:
    with Route() as route, pytest.raises(KernelRefused) as refused:
        route.set_mtu(0x7FFF_FFFF, 1500)
    assert refused.value.errno in (errno.ENODEV, errno.EPERM)
