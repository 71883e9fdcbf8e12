"""rtnetlink's requests: byte by byte what pyroute2 would ask, a library that many rely on."""

import socket
import struct
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink import NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE
from pyroute2.netlink.rtnl import (
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELNEIGH,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_GETNEIGH,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
)
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg

from cladnet.datapath.netlink import NESTED, Message
from cladnet.datapath.rtnetlink import BRIDGE, PERMANENT, SELF, Neighbour, Route

HEADER_BYTES = 16
MAC = "02:00:00:00:00:01"
ADDRESS_FLAGS = 0x80
"""IFA_F_PERMANENT"""


class Asked(Route):
    """Asks nobody and keeps what it would ask: type, flags and body."""

    def __init__(self) -> None:
        self.requests: list[tuple[int, int, bytes]] = []
        self.answers: list[Message] = []

    def do(self, kind: int, body: bytes, *, flags: int = 0) -> None:
        self.requests.append((kind, flags, body))

    def dump(self, kind: int, body: bytes) -> list[Message]:
        self.requests.append((kind, 0, body))
        return self.answers

    def get(self, kind: int, body: bytes) -> Message:
        self.requests.append((kind, 0, body))
        return self.answers[0]


@pytest.fixture
def route() -> Asked:
    return Asked()


def theirs(form: type[Any], attributes: list[tuple[str, Any]] | None = None, **fields: int) -> bytes:
    """The body as pyroute2 writes it."""
    message = form()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = attributes or []
    message.encode()
    return bytes(message.data)[HEADER_BYTES:]


def answer(form: type[Any], attributes: list[tuple[str, Any]], **fields: int) -> Message:
    """What the kernel would say, in pyroute2's hand."""
    return Message(0, 0, theirs(form, attributes, **fields))


def test_interfaces_are_asked_for(route: Asked) -> None:
    route.answers = [answer(ifinfmsg, [("IFLA_IFNAME", "cbnet0"), ("IFLA_MTU", 1420)], index=5)]
    route.links()
    route.link("cbnet0")
    assert route.requests == [
        (RTM_GETLINK, 0, theirs(ifinfmsg)),
        (RTM_GETLINK, 0, theirs(ifinfmsg, [("IFLA_IFNAME", "cbnet0")])),
    ]


def test_an_interface_is_created_with_its_kind_s_settings(route: Asked) -> None:
    """Byte by byte, but for NLA_F_NESTED, which pyroute2 leaves out and newer parts of the kernel ask for."""
    route.add_link("cbnet0", "vxlan", {"vxlan_id": 7, "vxlan_learning": 0, "vxlan_port": 4789})
    data = [("IFLA_VXLAN_ID", 7), ("IFLA_VXLAN_LEARNING", 0), ("IFLA_VXLAN_PORT", 4789)]
    information = [("IFLA_INFO_KIND", "vxlan"), ("IFLA_INFO_DATA", {"attrs": data})]
    expected = theirs(ifinfmsg, [("IFLA_IFNAME", "cbnet0"), ("IFLA_LINKINFO", {"attrs": information})])
    ((kind, flags, body),) = route.requests
    assert (kind, flags) == (RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL)
    differing = [at for at, (ours, other) in enumerate(zip(body, expected, strict=True)) if ours != other]
    assert [body[at] ^ expected[at] for at in differing] == [NESTED >> 8] * 2
    read = ifinfmsg(struct.pack("=IHHII", HEADER_BYTES + len(body), kind, flags, 1, 0) + body)
    read.decode()
    linkinfo = read.get_attr("IFLA_LINKINFO")
    assert linkinfo.get_attr("IFLA_INFO_KIND") == "vxlan"
    assert [(name, value) for name, value in linkinfo.get_attr("IFLA_INFO_DATA")["attrs"]] == data


def test_an_interface_is_changed_and_removed(route: Asked) -> None:
    route.set_mtu(5, 1420)
    route.set_mac(5, MAC)
    route.set_up(5)
    route.delete_link(5)
    assert route.requests == [
        (RTM_NEWLINK, 0, theirs(ifinfmsg, [("IFLA_MTU", 1420)], index=5)),
        (RTM_NEWLINK, 0, theirs(ifinfmsg, [("IFLA_ADDRESS", MAC)], index=5)),
        (RTM_NEWLINK, 0, theirs(ifinfmsg, index=5, flags=1, change=1)),
        (RTM_DELLINK, 0, theirs(ifinfmsg, index=5)),
    ]


@pytest.mark.parametrize("interface", [IPv4Interface("10.77.0.2/24"), IPv6Interface("fd00::2/64")])
def test_an_address_is_given_and_taken(interface: IPv4Interface | IPv6Interface, route: Asked) -> None:
    head = {"family": family(interface.ip), "prefixlen": interface.network.prefixlen, "index": 5}
    told = [("IFA_LOCAL", str(interface.ip)), ("IFA_ADDRESS", str(interface.ip))]
    route.add_address(5, interface)
    route.add_address(5, interface, flags=ADDRESS_FLAGS)
    route.delete_address(5, interface)
    route.addresses(head["family"])
    assert route.requests == [
        (RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, theirs(ifaddrmsg, told, **head)),
        (RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, theirs(ifaddrmsg, [*told, ("IFA_FLAGS", ADDRESS_FLAGS)], **head)),
        (RTM_DELADDR, 0, theirs(ifaddrmsg, told, **head)),
        (RTM_GETADDR, 0, theirs(ifaddrmsg, family=head["family"])),
    ]


@pytest.mark.parametrize("address", [IPv4Address("10.77.0.2"), IPv6Address("fd00::2")])
def test_a_neighbour_is_set_and_taken(address: IPv4Address | IPv6Address, route: Asked) -> None:
    head = {"family": family(address), "ifindex": 5, "state": PERMANENT}
    told = [("NDA_LLADDR", MAC), ("NDA_DST", str(address))]
    route.set_neighbour(5, address, MAC)
    route.delete_neighbour(5, address, MAC)
    route.neighbours(head["family"], 5)
    assert route.requests == [
        (RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, theirs(ndmsg, told, **head)),
        (RTM_DELNEIGH, 0, theirs(ndmsg, told, **head)),
        (RTM_GETNEIGH, 0, theirs(ndmsg, family=head["family"])),
    ]


def test_a_forwarding_entry_is_set_and_taken(route: Asked) -> None:
    head = {"family": BRIDGE, "ifindex": 5, "state": PERMANENT, "flags": SELF}
    told = [("NDA_LLADDR", MAC), ("NDA_DST", "203.0.113.7"), ("NDA_PORT", 4789)]
    route.set_forwarding(5, MAC, (IPv4Address("203.0.113.7"), 4789))
    route.delete_forwarding(5, MAC)
    assert route.requests == [
        (RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, theirs(ndmsg, told, **head)),
        (RTM_DELNEIGH, 0, theirs(ndmsg, told[:1], **head)),
    ]


@given(
    index=st.integers(1, 1 << 30), mtu=st.integers(68, 65535), number=st.integers(0, (1 << 24) - 1),
    name=st.from_regex("[a-z][a-z0-9-]{0,14}", fullmatch=True), port=st.integers(1, 65535), is_up=st.booleans(),
)  # fmt: skip
def test_what_the_kernel_tells_of_a_link_is_read_as_pyroute2_writes_it(
    index: int, mtu: int, name: str, number: int, port: int, is_up: bool
) -> None:
    data = [("IFLA_VXLAN_ID", number), ("IFLA_VXLAN_LEARNING", 1), ("IFLA_VXLAN_PORT", port)]
    information = [("IFLA_INFO_KIND", "vxlan"), ("IFLA_INFO_DATA", {"attrs": data})]
    told = [
        ("IFLA_IFNAME", name), ("IFLA_MTU", mtu), ("IFLA_ADDRESS", MAC), ("IFLA_LINKINFO", {"attrs": information}),
    ]  # fmt: skip
    route = Asked()
    route.answers = [answer(ifinfmsg, told, index=index, flags=int(is_up))]
    (link,) = route.links()
    assert (link.index, link.name, link.kind, link.mtu, link.mac, link.is_up) == (
        index, name, "vxlan", mtu, MAC, is_up
    )  # fmt: skip
    assert link.settings == {"vxlan_id": number, "vxlan_learning": 1, "vxlan_port": port}


@given(st.lists(st.tuples(st.integers(1, 3), st.ip_addresses(), st.booleans()), max_size=6))
def test_neighbours_are_those_of_the_interface(found: list[tuple[int, IPv4Address | IPv6Address, bool]]) -> None:
    route = Asked()
    route.answers = [
        answer(
            ndmsg,
            [("NDA_LLADDR", MAC), ("NDA_DST", str(address)), *([("NDA_PORT", 4789)] if has_port else [])],
            family=family(address), ifindex=index, state=PERMANENT,
        )
        for index, address, has_port in found
    ]  # fmt: skip
    assert route.neighbours(socket.AF_INET, 2) == tuple(
        Neighbour(index=2, state=PERMANENT, mac=MAC, address=ip_address(address), port=4789 if has_port else 0)
        for index, address, has_port in found
        if index == 2
    )


def test_of_a_point_to_point_link_the_local_address_counts() -> None:
    route = Asked()
    told = [("IFA_ADDRESS", "10.77.0.1"), ("IFA_LOCAL", "10.77.0.2")]
    route.answers = [
        answer(ifaddrmsg, told, family=socket.AF_INET, prefixlen=32, index=5),
        answer(ifaddrmsg, told[:1], family=socket.AF_INET, prefixlen=24, index=6),
        answer(ifaddrmsg, [], family=socket.AF_INET, prefixlen=24, index=7),
    ]
    assert [str(each.interface) for each in route.addresses(socket.AF_INET)] == ["10.77.0.2/32", "10.77.0.1/24"]
    assert [each.index for each in route.addresses(socket.AF_INET, 6)] == [6]


def family(address: IPv4Address | IPv6Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
