"""The data path's languages: WireGuard's text protocol, ICMP; netlink is in test_cladnet_netlink.py."""

import base64
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cladnet.agent import probe
from cladnet.agent.agent import assigned
from cladnet.datapath import uapi
from cladnet.datapath.peers import Changes, PeerChange
from cladnet.datapath.protocol import Peer
from larva.errors import MalformedData, Unavailable

KEY = base64.b64encode(bytes(range(32))).decode()
OTHER = base64.b64encode(bytes(32)).decode()
PEER = Peer(
    public_key=KEY,
    endpoint=(IPv4Address("203.0.113.7"), 51820),
    allowed=(IPv4Network("10.77.0.2/32"), IPv6Network("fd00::1/128")),
    keepalive_s=25,
)
ANSWER = f"""private_key={bytes(range(32)).hex()}
listen_port=51821
public_key={bytes(range(32)).hex()}
preshared_key={bytes(32).hex()}
protocol_version=1
endpoint=203.0.113.7:51820
last_handshake_time_sec=1700000000
last_handshake_time_nsec=5
tx_bytes=10
rx_bytes=20
persistent_keepalive_interval=25
allowed_ip=10.77.0.2/32
allowed_ip=fd00::1/128
public_key={bytes(32).hex()}
endpoint=[2001:db8::1]:7
last_handshake_time_sec=0
errno=0

"""


def test_an_answer_is_read_peer_by_peer() -> None:
    device = uapi.parse_device(ANSWER)
    assert (device.private_key, device.listen_port) == (KEY, 51821)
    first, second = device.peers
    assert (first.public_key, first.endpoint, first.allowed) == (KEY, PEER.endpoint, PEER.allowed)
    assert first.last_handshake == datetime.fromtimestamp(1700000000, UTC)
    assert (first.keepalive_s, first.sent_bytes, first.received_bytes) == (25, 10, 20)
    assert (second.public_key, second.endpoint, second.last_handshake) == (OTHER, None, None)


def test_a_request_names_only_what_changes() -> None:
    request = uapi.set_peers(Changes((OTHER,), (PeerChange(PEER, None),)))
    assert request == (
        f"set=1\npublic_key={bytes(32).hex()}\nremove=true\npublic_key={bytes(range(32)).hex()}\n"
        "persistent_keepalive_interval=25\nreplace_allowed_ips=true\nallowed_ip=10.77.0.2/32\nallowed_ip=fd00::1/128\n\n"
    )
    adding = uapi.set_peers(Changes((), (PeerChange(PEER, None, only_adds=True),)))
    assert "allowed_ip=fd00::1/128" in adding
    assert "replace_allowed_ips" not in adding
    assert "endpoint=203.0.113.7:51820\n" in uapi.set_peers(Changes((), (PeerChange(PEER, PEER.endpoint),)))
    assert uapi.set_device(listen_port=7) == "set=1\nlisten_port=7\n\n"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "rubbish\n\n",
        "listen_port=x\nerrno=0\n\n",
        "public_key=zz\nerrno=0\n\n",
        f"public_key={bytes(32).hex()}\nallowed_ip=10.77.0.2/33\nerrno=0\n\n",
    ],
)
def test_what_is_no_answer_is_refused(answer: str) -> None:
    with pytest.raises(MalformedData):
        uapi.parse_device(answer)


def test_a_refusal_is_told() -> None:
    with pytest.raises(Unavailable, match="-22"):
        uapi.check("errno=-22\n\n")


@pytest.mark.parametrize("key", ["", "AAAA", "!" * 44, "A" * 45])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(MalformedData):
        uapi.to_hex(key)


@given(st.binary(min_size=32, max_size=32))
def test_keys_survive_both_forms(raw: bytes) -> None:
    text = base64.b64encode(raw).decode()
    assert uapi.to_base64(uapi.to_hex(text)) == text


def reply_to(request: bytes, source: str) -> bytes:
    """What the peer's kernel sends back, with the IP header that a raw socket shows."""
    header = bytes([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0]) + IPv4Address(source).packed + bytes(4)
    body = bytes([0, 0, 0, 0]) + request[4:]
    return header + body[:2] + probe.checksum(body).to_bytes(2) + body[4:]


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_an_echo_is_recognised_by_its_answer(identifier: int, sequence: int) -> None:
    request = probe.echo_request(identifier, sequence)
    assert probe.checksum(request) == 0
    answer = reply_to(request, "10.77.0.2")
    assert probe.parse_reply(answer) == probe.EchoReply(IPv4Address("10.77.0.2"), identifier, sequence)
    assert probe.parse_reply(answer[:20] + request) is None  # a request is no reply


@given(st.binary(max_size=100))
def test_rubbish_is_no_reply(packet: bytes) -> None:
    reply = probe.parse_reply(packet)
    assert reply is None or probe.checksum(packet[(packet[0] & 15) * 4 :]) == 0


def test_a_cell_of_the_matrix() -> None:
    cell = probe.summarise("b", IPv4Address("10.77.0.2"), 4, [1.0, 2.0, 6.0])
    assert (cell.sent, cell.received, cell.min_ms, cell.avg_ms, cell.max_ms) == (4, 3, 1.0, 3.0, 6.0)
    nothing = probe.summarise("b", IPv4Address("10.77.0.2"), 4, [])
    assert (nothing.received, nothing.min_ms, nothing.avg_ms, nothing.max_ms) == (0, None, None, None)


@given(st.lists(st.frozensets(st.sampled_from("abcdefg")), max_size=10))
def test_an_interface_stays_with_its_cladnet_and_belongs_to_one(memberships) -> None:
    indexes: dict[str, int] = {}
    for groups in memberships:
        before, indexes = indexes, assigned(indexes, tuple(sorted(groups)))
        assert indexes.keys() == groups
        assert len(set(indexes.values())) == len(indexes)
        assert all(indexes[group] == before[group] for group in groups & before.keys())
        assert all(index < 7 for index in indexes.values())
