"""What other programs and machines answer: packets, text protocols, certificates, sealed boxes, tokens."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import example, given
from hypothesis import strategies as st

from cbstorage.ceph import cephx, sealed_keys
from cbstorage.ceph.answers import OsdMap, WireAddress
from cbstorage.host import device, dmcrypt, preflight
from cbstorage.leading import observe
from cbstorage.model import SealedKey, SealedKeys
from cbstorage.mounting import mount_probe
from cbstorage.wanted import sizes
from cladnet import curve25519, seal
from cladnet.agent import discovery, probe
from cladnet.agent.probe import EchoReply
from cladnet.datapath import uapi
from cladnet.datapath.uapi import Device
from cladnet.enrol import console_client, enrolment
from cladnet.enrol.authority import (
    Authority,
    is_serial,
    new_key,
    read_certificate,
    read_key,
    request_key,
    revoked_serials,
    signing_request,
)
from cladnet.etcd.cluster import Cluster
from cladnet.etcd.store import Store
from larva import codec, process
from larva.errors import InvalidInput, LarvaError, MalformedData

LONGEST_MESSAGE = 1000
KEY = base64.b64encode(bytes(range(32))).decode()
SECRET = "5ec2e7" * 10 + "abcd"
"""64 hexadecimal digits, as a private key in WireGuard's text protocol."""


def read(reader: Callable[[], Any]) -> Any:
    """What the reader gives, or the error in words that it may raise."""
    try:
        found = reader()
    except LarvaError as error:
        found = error
    assert not isinstance(found, LarvaError) or len(found.message) + len(found.hint) < LONGEST_MESSAGE
    return found


def damaged(whole: bytes) -> st.SearchStrategy[bytes]:
    """The whole with one piece of it replaced."""
    at, gone = st.integers(0, len(whole)), st.integers(0, 12)
    return st.builds(lambda a, piece, g: whole[:a] + piece + whole[a + g :], at, st.binary(max_size=5), gone)


# --- the data path's programs

ANSWER = f"""private_key={SECRET}
listen_port=51820
public_key={bytes(range(32)).hex()}
endpoint=203.0.113.4:51820
last_handshake_time_sec=1700000000
last_handshake_time_nsec=5
tx_bytes=1
rx_bytes=2
persistent_keepalive_interval=25
allowed_ip=10.0.0.1/32
allowed_ip=fd00::1/128
protocol_version=1
errno=0

"""
numbers = st.integers().map(str) | st.sampled_from(
    ["9" * 30, "1_0", "٣", "-1", "", "1e9", "9" * 5000, "99999999999999"]
)
pairs = st.tuples(
    st.sampled_from(
        ["private_key", "public_key", "preshared_key", "endpoint", "allowed_ip", "last_handshake_time_sec",
         "listen_port", "rx_bytes", "tx_bytes", "persistent_keepalive_interval", "errno", "protocol_version", "x"]
    ),
    numbers | st.text(max_size=8)
    | st.sampled_from([bytes(32).hex(), "00", "zz", "10.0.0.1/32", "10.0.0.1/8", "10.0.0.1/99", "1.2.3.4:5", "1.2.3.4:",
                       "[::1]:5", ":"]),
).map("=".join)  # fmt: skip


@given(
    st.lists(pairs | st.text(max_size=8), max_size=8).map("\n".join)
    | damaged(ANSWER.encode()).map(lambda text: text.decode(errors="replace"))
)
@example(f"public_key={'00' * 32}\nallowed_ip=10.0.0.1/99\nerrno=0\n")
@example(f"public_key={'00' * 32}\nlast_handshake_time_sec={'9' * 30}\nerrno=0\n")
@example(f"public_key={'00' * 32}\nlast_handshake_time_sec={'9' * 14}\nerrno=0\n")
def test_wireguards_answer_is_a_device_or_refused(answer: str) -> None:
    found = read(lambda: uapi.parse_device(answer))
    assert isinstance(found, Device | LarvaError)
    if isinstance(found, LarvaError):
        assert SECRET not in found.message + found.hint


@pytest.mark.parametrize("line", [f"private_key={SECRET}x", f"private_key {SECRET}", f"preshared_key{SECRET}"])
def test_a_private_key_that_is_none_is_not_repeated(line: str) -> None:
    found = read(lambda: uapi.parse_device(f"{line}\nerrno=0\n"))
    assert isinstance(found, MalformedData)
    assert SECRET not in found.message


@given(st.binary() | damaged(b"\x45\0\0\x54\0\0\0\0\x40\x01\0\0\x0a\0\0\x01\x0a\0\0\x02" + probe.echo_request(7, 9)))
def test_a_packet_is_an_echo_reply_or_nothing(packet: bytes) -> None:
    assert isinstance(probe.parse_reply(packet), EchoReply | None)


def test_a_whole_echo_reply_is_one() -> None:
    asked = bytearray(probe.echo_request(7, 9))
    asked[0], asked[2:4] = probe.ECHO_REPLY, b"\0\0"
    asked[2:4] = probe.checksum(bytes(asked)).to_bytes(2)
    packet = b"\x45\0\0\x54\0\0\0\0\x40\x01\0\0\x0a\0\0\x01\x0a\0\0\x02" + bytes(asked)
    assert probe.parse_reply(packet) == EchoReply(IPv4Address("10.0.0.1"), 7, 9)


# --- certificates and keys


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.found(tmp_path_factory.mktemp("ca"))


KEY_OF_A_HOST = new_key()
REQUEST = signing_request(KEY_OF_A_HOST, "h-1").encode()


@given(damaged(REQUEST) | st.binary())
def test_a_request_is_one_or_refused(pem: bytes) -> None:
    for text in (pem.decode(errors="replace"), pem.decode(errors="surrogateescape")):
        found = read(lambda text=text: request_key(text))
        assert isinstance(found, ec.EllipticCurvePublicKey | InvalidInput | MalformedData)


def test_certificates_lists_and_keys_are_read_or_refused(authority: Authority, tmp_path: Path) -> None:
    certificate = authority.certificate_pem.encode()
    revoked = authority.revocation_list(["1f", "2"])

    @given(damaged(certificate) | damaged(revoked) | damaged(REQUEST) | st.binary())
    def reads(pem: bytes) -> None:
        assert not isinstance(read(lambda: read_certificate(pem.decode(errors="replace"), source="-")), str)
        assert isinstance(read(lambda: revoked_serials(pem, source="-")), frozenset | MalformedData)
        (tmp_path / "key.pem").write_bytes(pem)
        assert isinstance(read(lambda: read_key(tmp_path / "key.pem")), MalformedData)

    reads()


@given(st.text(max_size=50) | st.from_regex(r"[0-9a-f]{1,41}", fullmatch=True))
def test_a_serial_that_is_one_can_stand_in_a_list(authority: Authority, text: str) -> None:
    if is_serial(text):
        assert revoked_serials(authority.revocation_list([text]), source="-") == {text}


@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode()))
@example(base64.b64encode(bytes(32)).decode())
@example(base64.b64encode(b"\xff" * 32).decode())
@example(base64.b64encode(b"\x01" + bytes(31)).decode())
def test_a_key_is_sealed_to_or_refused(text: str) -> None:
    found = read(lambda: seal.seal(text, b"secret"))
    assert isinstance(found, bytes | LarvaError)
    assert not isinstance(found, bytes) or curve25519.is_key(text)


@given(st.binary() | st.binary(min_size=40, max_size=100))
@example(b"")
@example(bytes(48))
def test_a_box_that_is_none_is_refused(box: bytes) -> None:
    assert isinstance(read(lambda: seal.open_sealed(KEY, box)), LarvaError)


@given(st.text() | st.binary(max_size=100).map(lambda data: base64.b64encode(data).decode()))
@example("ä")
@example("\ud800")
def test_sealed_keys_are_opened_or_refused(box: str) -> None:
    sealed = SealedKeys(seal_key=KEY, keys=(SealedKey(entity="client.x", box=box),))
    assert isinstance(read(lambda: sealed_keys.open_keys(KEY, sealed)), LarvaError)


@given(st.binary(max_size=80))
def test_what_was_sealed_and_is_no_key_stays_out_of_a_keyring(data: bytes) -> None:
    box = base64.b64encode(seal.seal(seal.public_of(KEY), data)).decode()
    found = read(lambda: sealed_keys.open_keys(KEY, SealedKeys(seal_key="", keys=(SealedKey(entity="e", box=box),))))
    if isinstance(found, dict):
        assert found["e"].key == data.decode()
        assert "\n" not in found["e"].key
        assert cephx.is_key(found["e"].key)
    else:
        assert data.decode(errors="replace")[:8] not in found.message or len(data) < 8


class Nothing:
    """A store in which there is nothing; what it is asked for is kept."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def get(self, key: str, _: object) -> None:
        self.asked.append(key)

    def list(self, prefix: str, _: object) -> Any:
        self.asked.append(prefix)
        return SimpleNamespace(items=())


@given(st.text(), st.text() | st.just("h-1"))
@example("\ud800", "h-1")
@example("x" * 1_000_000, "h-1")
def test_a_token_that_is_none_is_refused_and_not_repeated(authority: Authority, secret: str, host: str) -> None:
    store: Any = Nothing()
    found = read(
        lambda: enrolment.redeem(
            store, authority, secret=secret, csr_pem=REQUEST.decode(), host=host, roles=enrolment.Role
        )
    )
    assert isinstance(found, LarvaError)
    assert len(secret) < 5 or secret == host or secret not in found.message + found.hint
    assert all(key.startswith(("larva/token/", "larva/host/")) and key.count("/") == 2 for key in store.asked)


# --- URLs and answers of servers


@given(
    st.text()
    | st.sampled_from(["http://[", "http://[::1", "http://h:x", "http://h:99999", "http://", "//h", "http://[::1]:1"])
)
def test_an_endpoint_is_called_or_refused(url: str) -> None:
    found = read(lambda: Cluster([url], tls=None, timeout=0.1))
    assert isinstance(found, Cluster | InvalidInput)
    if isinstance(found, Cluster):
        found.close()


@given(st.text() | st.sampled_from(["https://[", "https://1.2.3.4:x", "https://1.2.3.4"]))
def test_a_server_by_its_address_is_that_or_nothing(url: str) -> None:
    assert isinstance(discovery.host_of(url), IPv4Address | None)


@given(st.integers(300, 599), st.binary() | damaged(b'{"detail": "no", "code": "token-unknown", "hint": "x"}'))
@example(500, b'{"detail": "' + b"x" * 60_000 + b'"}')
def test_a_servers_refusal_is_one_whatever_it_says(status: int, answer: bytes) -> None:
    found = console_client._refusal("https://x", status, answer)
    assert isinstance(found, LarvaError)
    assert len(found.message) + len(found.hint) < 3000


# --- Ceph and the tools around it


@given(st.text(max_size=30) | st.sampled_from(["1G", "1e5", "٣G", "9" * 400, "1.5.5", "-1", "1 GiB", "0"]))
def test_a_size_is_bytes_or_refused(text: str) -> None:
    found = read(lambda: sizes.parse(text))
    assert isinstance(found, InvalidInput) or 0 <= found <= sizes.LARGEST


@given(st.text() | st.sampled_from(["[::1]:6800/1", "1.2.3.4:6800/0", ":/0", "[", "1.2.3.4.5:1", "-"]))
def test_an_address_of_a_daemon_is_one_or_malformed(text: str) -> None:
    found = read(lambda: WireAddress(type="v2", addr=text).ip())
    assert not isinstance(found, LarvaError) or isinstance(found, MalformedData)


@given(st.text(max_size=40))
def test_osds_are_shown_wherever_they_say_they_are(addr: str) -> None:
    osd = {"osd": 0, "uuid": "", "up": 1, "public_addrs": {"addrvec": [{"type": "", "addr": addr}]}}
    text = codec.encode({"osds": [osd], "pools": []})
    tree: Any = SimpleNamespace(nodes=())
    found = read(lambda: observe.osd_states(codec.decode(text, OsdMap, source="-"), tree, IPv4Network("10.0.0.0/8")))
    assert isinstance(found, tuple | MalformedData)


outputs = st.text() | st.sampled_from(
    ["", "[]", "{}", "null", "[{}]", '{"a": {"osd_uuid": "x"}}', "[" * 5000, "TYPE=ext4\n", "=", "TYPE", "a=b=c"]
)


@given(outputs)
def test_what_tools_print_is_understood_or_refused(shown: str) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(process, "run", lambda *_, **__: shown)
        assert isinstance(read(preflight.links), tuple | LarvaError)
        assert isinstance(device._label(Path("/x"), b""), device.Label)
        assert isinstance(device._seen(Path("/x")), dict)
        assert isinstance(read(dmcrypt.require), LarvaError | None)
    assert isinstance(mount_probe.judge(shown), tuple)


def test_moments_far_away_are_moments() -> None:
    """The largest time that the data path may tell is one that can be compared and printed."""
    found = uapi.parse_device(f"public_key={'00' * 32}\nlast_handshake_time_sec=253402300799\nerrno=0\n")
    assert found.peers[0].last_handshake == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def test_the_store_takes_no_endpoint_for_another() -> None:
    with Store(["http://[::1]:1"]) as store:
        assert store.cluster.endpoints[0].url == "http://[::1]:1"
