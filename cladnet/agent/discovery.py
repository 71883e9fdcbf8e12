"""What this host can find out about itself: its interfaces, the address the internet sees, where its cloud put it."""

import errno
import logging
import re
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv6Interface, IPv6Network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cladnet.datapath.rtnetlink import Route
from cladnet.model import LONGEST_FACT, CloudFacts, NetworkInterface
from larva import codec
from larva.errors import LarvaError, MalformedData, Unavailable

log = logging.getLogger(__name__)

INSTANCE_DATA = Path("/run/cloud-init/instance-data.json")
_NOT_UNDERLAY = re.compile(r"(lo|cbnet\d+|docker\d+|br-[0-9a-f]{12}|virbr\d+|cni\d+|flannel.*|cali.*|lxcbr\d+)")
"""Interfaces that lead to no other host: our own, and those of container and VM engines."""
_NOT_UNDERLAY_KINDS = ("wireguard", "vxlan")

PROVIDERS: Mapping[str, str] = {"gce": "gcp", "aliyun": "alibaba", "ec2": "aws"}
"""cloud-init's name of a provider → ours, where they differ."""

RTMGRP_LINK = 0x1
RTMGRP_IPV4_IFADDR = 0x10
"""rtnetlink(7)"""


def interfaces() -> tuple[NetworkInterface, ...]:
    """The interfaces that are up and have an IPv4 address other hosts may use, by name.

    Raises:
        Unavailable: the kernel refused to tell, as when an interface went away in the middle.
    """
    try:
        return _interfaces()
    except OSError as error:
        raise Unavailable(f"cannot read this host's interfaces: {error.strerror or error}") from error


def networks6() -> tuple[IPv6Network, ...]:
    """The IPv6 networks this host sits in by the same interfaces, in order; not those of one link alone.

    Networks, not addresses: a host that changes its addresses every day to be private has nothing to tell of it.

    Raises:
        Unavailable: as interfaces().
    """
    try:
        with Route() as route:
            links = _underlay(route)
            found = [each.interface for each in route.addresses(socket.AF_INET6) if each.index in links]
    except OSError as error:
        raise Unavailable(f"cannot read this host's IPv6 addresses: {error.strerror or error}") from error
    networks = {
        each.network for each in found
        if isinstance(each, IPv6Interface) and not (each.is_link_local or each.is_loopback)
    }  # fmt: skip
    return tuple(sorted(networks))


def _underlay(route: Route) -> dict[int, tuple[str, int]]:
    """Index → name and MTU of the interfaces that are up and may lead to other hosts."""
    return {
        link.index: (link.name, link.mtu)
        for link in route.links()
        if link.is_up and link.kind not in _NOT_UNDERLAY_KINDS and not _NOT_UNDERLAY.fullmatch(link.name)
    }


def _interfaces() -> tuple[NetworkInterface, ...]:
    with Route() as route:
        links = _underlay(route)
        addresses: dict[int, list[IPv4Interface]] = {}
        for each in route.addresses(socket.AF_INET):
            address = each.interface
            if isinstance(address, IPv4Interface) and not (address.is_loopback or address.is_link_local):
                addresses.setdefault(each.index, []).append(address)
    return tuple(
        NetworkInterface(name=name, mtu=mtu, addresses=tuple(sorted(addresses[index])))
        for index, (name, mtu) in sorted(links.items(), key=lambda each: each[1][0])
        if index in addresses
    )


def public_address(
    own: tuple[NetworkInterface, ...],
    *,
    servers: Sequence[str],
    ca: Path,
    is_control: bool,
    known: IPv4Address | None,
    metadata: IPv4Address | None,
    ask: Callable[[str, Path], IPv4Address],
) -> IPv4Address | None:
    """The address at which the internet sees this host; the one known so far when nobody can tell now.

    Args:
        servers: consoles, asked one after the other; the first stands for the system.
        is_control: the host is a control node, so the first may be itself: it would see itself from inside.
        known: what was found before.
        metadata: what the provider said at boot.
    """
    inside = {address.ip for interface in own for address in interface.addresses}
    own_server = host_of(servers[0]) if is_control else None
    seen = _seen_by(servers, ca, ask)
    if seen is None:
        return known or metadata or own_server
    if not seen.is_loopback and seen not in inside:
        return seen
    # Nothing between us and the server translates addresses: it is this very host, or in the same network.
    told = metadata or own_server
    return told or (None if seen.is_loopback else seen)


def _seen_by(servers: Iterable[str], ca: Path, ask: Callable[[str, Path], IPv4Address]) -> IPv4Address | None:
    for server in servers:
        try:
            return ask(server, ca)
        except LarvaError as error:
            log.debug("%s", error.message)
    return None


def host_of(server: str) -> IPv4Address | None:
    """Return the address in a console's URL; None if that has a name."""
    try:
        return IPv4Address(urlsplit(server).hostname or "")
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the provider told cloud-init at boot."""

    cloud: CloudFacts
    public_address: IPv4Address | None


def metadata(path: Path = INSTANCE_DATA) -> Metadata:
    """Read cloud-init's instance data; empty facts when there is none or it is not understood."""
    try:
        data = codec.decode(path.read_bytes(), dict[str, Any], source=str(path))
    except OSError:
        return Metadata(CloudFacts(), None)
    except MalformedData as error:
        log.warning("%s", error.message)
        return Metadata(CloudFacts(), None)
    return parse_metadata(data)


def parse_metadata(data: Mapping[str, Any]) -> Metadata:
    """Take the facts out of cloud-init's instance data.

    Source: cloud-init's documentation, "Instance metadata", standardised keys `v1`; the EC2 tree under `ds.meta_data`.
    """
    standard = _mapping(data.get("v1"))
    details = _mapping(_mapping(data.get("ds")).get("meta_data"))
    name = _text(standard.get("cloud_name")).lower()
    macs = _mapping(_mapping(_mapping(details.get("network")).get("interfaces")).get("macs"))
    first = min((_mapping(each) for each in macs.values()), key=lambda m: _text(m.get("device-number")), default={})
    cloud = CloudFacts(
        provider="" if name in ("unknown", "none", "nocloud") else PROVIDERS.get(name, name),
        region=_text(standard.get("region")),
        zone=_text(standard.get("availability_zone")),
        network_id=_text(first.get("vpc-id")),
        subnet_id=_text(first.get("subnet-id")),
    )
    try:
        public = IPv4Address(_text(details.get("public-ipv4") or details.get("public_ipv4")))
    except AddressValueError:
        public = None
    return Metadata(cloud, public)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """A fact as text; what is too long to be one is none, or nobody could read this host's information."""
    text = value if isinstance(value, str) else str(value) if type(value) is int and abs(value) < 1 << 64 else ""
    return text if len(text) <= LONGEST_FACT else ""


def overridden(found: CloudFacts, by: CloudFacts) -> CloudFacts:
    """`found`, with every fact that `by` has taken from there."""
    return CloudFacts(
        provider=by.provider or found.provider,
        region=by.region or found.region,
        zone=by.zone or found.zone,
        network_id=by.network_id or found.network_id,
        subnet_id=by.subnet_id or found.subnet_id,
    )


class Changes:
    """The kernel's word that a link or an address changed; what changed is not told: look again."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.bind((0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR))

    def wait(self, timeout: float) -> bool:
        """Return True when something changed within `timeout` seconds; all that is waiting counts as one.

        Raises:
            OSError: the socket is of no use any more.
        """
        self._socket.settimeout(timeout)
        try:
            self._socket.recv(1 << 16)
            self._socket.setblocking(False)  # noqa: FBT003 - the standard library's signature
            while True:
                self._socket.recv(1 << 16)
        except TimeoutError:
            return False
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # more changes than the buffer holds
                raise
            return True

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
