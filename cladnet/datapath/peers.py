"""Which peers a data path has to change: a pure function, so that what is right is never touched."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address

from cladnet.datapath.protocol import Peer, PeerStatus
from cladnet.model import NetworkingRule

DEAD_AFTER = timedelta(seconds=180)
"""WireGuard's own bound: a session older than this carries nothing (REJECT_AFTER_TIME, whitepaper section 6.1)."""

EndpointAddress = tuple[IPv4Address, int]


@dataclass(frozen=True, slots=True)
class PeerChange:
    """A peer to add or change; `endpoint` None leaves the one in use alone."""

    peer: Peer
    endpoint: EndpointAddress | None
    only_adds: bool = False
    """Everything that it is allowed now it stays allowed. To replace the addresses, a driver takes all of them away
    for a moment, and packets with them."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What has to be told to the driver."""

    removed: tuple[str, ...]
    changed: tuple[PeerChange, ...]


def by_host(rules: Iterable[NetworkingRule], statuses: Collection[PeerStatus]) -> dict[str, PeerStatus]:
    """Host → its peer as the data path has it: by its key, or by its address where the data path knows no keys."""
    keys = {status.public_key: status for status in statuses if status.public_key}
    nameless = [status for status in statuses if not status.public_key]
    addresses = {network.network_address: status for status in nameless for network in status.allowed}
    found = {rule.host: keys.get(rule.public_key) or addresses.get(rule.address) for rule in rules}
    return {host: status for host, status in found.items() if status is not None}


def differences(
    wanted: Sequence[Peer],
    actual: Sequence[PeerStatus],
    told: Mapping[str, EndpointAddress | None],
    now: datetime,
) -> Changes:
    """Return the changes that turn `actual` into `wanted`.

    A peer may have roamed away from the endpoint it was configured with. Such an endpoint is only set back when what
    is wanted has changed since it was last told, or when the session there is dead.

    Args:
        told: public key → the endpoint this process last told the driver; nothing after a restart.
        now: aware.
    """
    there = {status.public_key: status for status in actual}
    names = {peer.public_key for peer in wanted}
    changed = []
    for peer in wanted:
        status = there.get(peer.public_key)
        endpoint = peer.endpoint if _must_set(peer, status, told, now) else None
        if (
            status is None
            or endpoint is not None
            or set(status.allowed) != set(peer.allowed)
            or status.keepalive_s != peer.keepalive_s
        ):
            changed.append(PeerChange(peer, endpoint, status is not None and set(status.allowed) <= set(peer.allowed)))
    return Changes(tuple(key for key in there if key not in names), tuple(changed))


def endpoints(told: Mapping[str, Peer]) -> dict[str, EndpointAddress | None]:
    """What differences() wants to know of the peers as they were last told."""
    return {key: peer.endpoint for key, peer in told.items()}


def told_anew(changed: Sequence[Peer], removed: Sequence[str], told: Mapping[str, Peer]) -> Changes:
    """Return what to tell a driver whose other peers are right, without looking at what it has.

    Where a peer has roamed to stays, unless what is wanted of it is new.

    Args:
        told: public key → the peer as it was last told.
    """

    def change(peer: Peer) -> PeerChange:
        before = told.get(peer.public_key)
        if before is None:
            return PeerChange(peer, peer.endpoint)
        endpoint = None if before.endpoint == peer.endpoint else peer.endpoint
        return PeerChange(peer, endpoint, only_adds=set(before.allowed) <= set(peer.allowed))

    return Changes(tuple(removed), tuple(change(peer) for peer in changed))


def _must_set(peer: Peer, status: PeerStatus | None, told: Mapping[str, EndpointAddress | None], now: datetime) -> bool:
    if status is None:
        return True
    if peer.endpoint is None or status.endpoint == peer.endpoint:
        return False
    if peer.public_key in told and told[peer.public_key] != peer.endpoint:
        return True
    # A handshake in the future was before a jump of the clock: nobody knows how old it is.
    return status.last_handshake is None or abs(now - status.last_handshake) > DEAD_AFTER
