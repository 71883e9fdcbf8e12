"""Whether Ceph's daemons can speak with each other from here: whole packets, every port they listen on, clocks."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from cbstorage.ceph.answers import OsdMap
from cbstorage.ceph.conf import MON_PORT
from cbstorage.host.preflight import Reach
from cbstorage.model import Monitor
from larva import process
from larva.errors import HostUnfit, LarvaError

HEADERS_BYTES = 28
"""Of IPv4 (RFC 791) and ICMP (RFC 792)."""
DRIFT_S = 0.05
"""Beyond this monitors complain of each other (`mon_clock_drift_allowed`)."""
PING_S = 3
_DONT_FRAGMENT = ("-M", "do")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something that daemons of this host have to reach."""

    name: str
    """As `mon.aws-1`, `osd.3`."""
    address: IPv4Address
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was tried."""

    about: str
    ok: bool
    words: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skew:
    """How far a monitor's clock is from the leading one's, in seconds."""

    skew: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeSync:
    """`time-sync-status`, as the leading monitor measures it."""

    time_skew_status: Mapping[str, Skew] | None = None


def targets(monitors: Iterable[Monitor], osd_map: OsdMap) -> Iterator[Target]:
    """Every address and port at which a daemon listens: monitors' by their number, OSDs' as they registered."""
    for one in monitors:
        yield Target(name=f"mon.{one.host}", address=one.address, port=MON_PORT)
    for entry in osd_map.osds:
        if entry.up:
            wires = {*entry.public_addrs.addrvec, *entry.cluster_addrs.addrvec}
            for wire in sorted(wires, key=lambda it: it.addr):
                yield Target(name=f"osd.{entry.osd}", address=wire.ip(), port=wire.port())


def check(
    own: IPv4Address,
    mtu: int,
    found: Iterable[Target],
    time_sync: TimeSync,
    *,
    reach: Callable[[IPv4Address, IPv4Address, int], Reach],
    passes: Callable[[IPv4Address, IPv4Address, int], bool],
) -> list[Finding]:
    """Try everything and return what was found, in that order: whole packets, ports, clocks.

    Args:
        own: this host's CLADNet address.
        mtu: of its interface in the CLADNet, bytes.
        reach: tries a port from an address.
        passes: tries a packet of this size, unfragmented.
    """
    others = [one for one in found if one.address != own]
    result = [_packets(own, peer, mtu, passes) for peer in sorted({one.address for one in others})]
    result += [_port(own, one, reach) for one in others]
    result += [_clock(name, skew.skew) for name, skew in sorted((time_sync.time_skew_status or {}).items())]
    return result


def passes(own: IPv4Address, peer: IPv4Address, size: int) -> bool:
    """Whether an echo of `size` bytes in all comes back unfragmented; HostUnfit without ping(8)."""
    argv = [
        "ping", "-n", "-q", "-c", "2", "-i", "0.3", "-W", str(PING_S), *_DONT_FRAGMENT, "-s", str(size - HEADERS_BYTES),
        "-I", str(own), str(peer),
    ]  # fmt: skip
    try:
        return " 0 received" not in process.run(argv, timeout=3 * PING_S + 5, ok_codes=(0, 1))
    except LarvaError as error:
        if isinstance(error, HostUnfit):
            raise
        return False  # "message too long": it does not fit into this host's own interface


def _packets(
    own: IPv4Address, peer: IPv4Address, mtu: int, passes: Callable[[IPv4Address, IPv4Address, int], bool]
) -> Finding:
    about = f"packets of {mtu} bytes to {peer}"
    if passes(own, peer, mtu):
        return Finding(about=about, ok=True, words="pass")
    if passes(own, peer, 600):
        return Finding(
            about=about, ok=False, words="are lost, small ones pass",
            remedy="the path carries less than the interface says: `larva net quality` shows its MTU; allow ICMP "
            "(fragmentation needed) in the clouds' firewalls",
        )  # fmt: skip
    return Finding(
        about=about, ok=False, words="no echo comes back at all",
        remedy="`larva net hosts` shows whether that host is there, `larva net quality` the path to it",
    )  # fmt: skip


def _port(own: IPv4Address, one: Target, reach: Callable[[IPv4Address, IPv4Address, int], Reach]) -> Finding:
    found = reach(own, one.address, one.port)
    return Finding(
        about=f"{one.name} at {one.address}:{one.port}", ok=found.answers, words=found.words,
        remedy="" if found.answers else f"on that host: `systemctl status ceph-*`; TCP {one.port} must pass cbnet0",
    )  # fmt: skip


def _clock(name: str, skew_s: float) -> Finding:
    ok = abs(skew_s) <= DRIFT_S
    return Finding(
        about=f"clock of monitor {name}", ok=ok, words=f"{abs(skew_s) * 1000:.0f} ms from the leading monitor's",
        remedy="" if ok else "on that host: `timedatectl timesync-status`; it must reach a time server",
    )  # fmt: skip
