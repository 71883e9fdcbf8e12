"""WireGuard's cross-platform configuration protocol as text: `set=1` written, `get=1` read.

Source: https://www.wireguard.com/xplatform/ (Configuration Protocol).
"""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import AddressValueError, IPv4Address, ip_network

from cladnet import curve25519
from cladnet.datapath.peers import Changes
from cladnet.datapath.protocol import OverlayNetwork, PeerStatus
from larva.errors import MalformedData, Unavailable


@dataclass(frozen=True, slots=True)
class Device:
    """What `get=1` tells."""

    private_key: str
    """base64; empty when none is set."""
    listen_port: int
    peers: tuple[PeerStatus, ...]


def set_device(*, private_key: str | None = None, listen_port: int | None = None) -> str:
    """The request that sets what is given."""
    lines = ["set=1"]
    if private_key is not None:
        lines.append(f"private_key={to_hex(private_key)}")
    if listen_port is not None:
        lines.append(f"listen_port={listen_port}")
    return "\n".join(lines) + "\n\n"


def set_peers(changes: Changes) -> str:
    """The request that carries out `changes` and touches no other peer."""
    lines = ["set=1"]
    for key in changes.removed:
        lines += [f"public_key={to_hex(key)}", "remove=true"]
    for change in changes.changed:
        lines.append(f"public_key={to_hex(change.peer.public_key)}")
        if change.endpoint is not None:
            lines.append(f"endpoint={change.endpoint[0]}:{change.endpoint[1]}")
        lines.append(f"persistent_keepalive_interval={change.peer.keepalive_s}")
        if not change.only_adds:
            lines.append("replace_allowed_ips=true")
        lines += [f"allowed_ip={network}" for network in change.peer.allowed]
    return "\n".join(lines) + "\n\n"


def parse_device(answer: str) -> Device:
    """Read the answer to `get=1`.

    Raises:
        Unavailable: the driver reports an error.
        MalformedData: it is no such answer.
    """
    pairs = list(_pairs(answer))
    check(answer)
    private_key, listen_port = "", 0
    groups: list[list[tuple[str, str]]] = []
    for name, value in pairs:
        if name == "public_key":
            groups.append([(name, value)])
        elif groups:
            groups[-1].append((name, value))
        elif name == "private_key":
            private_key = "" if set(value) <= {"0"} else to_base64(value)
        elif name == "listen_port":
            listen_port = _number(value)
    return Device(private_key, listen_port, tuple(_peer(group) for group in groups))


def check(answer: str) -> None:
    """Raise Unavailable, with the errno that the driver gave, unless the answer says that all went well."""
    for name, value in _pairs(answer):
        if name == "errno":
            if value != "0":
                raise Unavailable(f"the WireGuard program refused: errno {value}")
            return
    raise MalformedData("the WireGuard program's answer ends without errno")


def to_hex(key: str) -> str:
    """A key in base64 as the protocol's 64 hexadecimal digits; MalformedData if it is no key."""
    return curve25519.raw(key).hex()


def to_base64(digits: str) -> str:
    """The protocol's hexadecimal key in base64."""
    try:
        return base64.b64encode(bytes.fromhex(digits)).decode()
    except ValueError as error:
        raise MalformedData("the WireGuard program's answer has a key that is not hexadecimal") from error


def _peer(pairs: list[tuple[str, str]]) -> PeerStatus:
    fields = dict(pairs)
    return PeerStatus(
        public_key=to_base64(fields["public_key"]),
        endpoint=_endpoint(fields.get("endpoint")),
        allowed=tuple(_network(value) for name, value in pairs if name == "allowed_ip"),
        keepalive_s=_number(fields.get("persistent_keepalive_interval", "0")),
        last_handshake=_moment(fields.get("last_handshake_time_sec", "0")),
        received_bytes=_number(fields.get("rx_bytes", "0")),
        sent_bytes=_number(fields.get("tx_bytes", "0")),
    )


def _network(text: str) -> OverlayNetwork:
    try:
        return ip_network(text)
    except ValueError as error:
        raise MalformedData(f"the WireGuard program's answer has {text[:40]!r} where a network belongs") from error


def _endpoint(text: str | None) -> tuple[IPv4Address, int] | None:
    if text is None:
        return None
    address, _, port = text.rpartition(":")
    try:
        return IPv4Address(address), _number(port)
    except AddressValueError:
        return None  # a peer that roamed to IPv6: nothing we would have configured


def _moment(text: str) -> datetime | None:
    """A time in seconds since the epoch; 0 stands for never."""
    seconds = _number(text)
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError) as error:
        raise MalformedData(f"the WireGuard program's answer has {text[:40]!r} where a time belongs") from error


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise MalformedData(f"the WireGuard program's answer has {text[:40]!r} where a number belongs") from error


def _pairs(answer: str) -> Iterator[tuple[str, str]]:
    for line in answer.splitlines():
        if line:
            name, equals, value = line.partition("=")
            if not equals:
                raise MalformedData("the WireGuard program's answer has a line that is not name=value")
            yield name, value
