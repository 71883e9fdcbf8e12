"""What may not stay as it was in an etcd that comes from a backup, because the world went on after it was taken."""

import logging
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network

from cladnet import keys, networks
from cladnet.control import notary
from cladnet.enrol.membership import remove_host
from cladnet.etcd.store import Store
from cladnet.model import EnrolledHost, NetworkingRule, Role
from larva.errors import Conflict

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cared:
    """What was done."""

    dropped_control_nodes: tuple[str, ...]
    dropped_tokens: int
    withheld: dict[str, IPv4Address]
    """CLADNet → the address up to which nothing is given to a newcomer."""


def care(store: Store, host: str) -> Cared:
    """Make a restored etcd fit for its only control node, `host`; may be repeated, as long as no controller runs.

    Hosts that joined after the backup still use addresses that look free: half of what is free, from the side where
    addresses are given first, is kept back until `larva control release`. Tokens go, since they may have been used or
    revoked. Rules get a fresh term and CLADNets a new version: agents take up none that is older than what they know,
    and they may know of changes that the backup does not have. The other control nodes are lost, hence removed, and the
    record of where they are is made anew by founding.

    Raises:
        Conflict: `host` is the name of an enrolled host that is no control node.
    """
    hosts = store.children(keys.ENROLLED_HOST, EnrolledHost)
    if host in hosts and Role.CONTROL not in hosts[host].value.roles:
        raise Conflict(
            f"the backup has a host {host} that is no control node",
            hint="give this machine another name in the system: --host NAME",
        )
    lost = tuple(name for name, item in hosts.items() if Role.CONTROL in item.value.roles and name != host)
    for name in lost:
        remove_host(store, name)
    store.delete(keys.CONTROL_PLANE)
    tokens = store.delete_prefix(keys.TOKEN)
    withheld = {}
    for item in networks.specifications(store).values():
        cladnet = item.value
        taken = {
            address for key in store.revisions(keys.addresses_of(cladnet.id)) if (address := _address(key)) is not None
        }
        last = withheld_to(cladnet.cidr, taken, cladnet.withheld_to)
        version = networks.next_version(cladnet.version, datetime.now(UTC))
        store.replace(item, replace(cladnet, withheld_to=last, version=version))
        for rule in store.children(keys.rules_of(cladnet.id), NetworkingRule).values():
            store.replace(rule, replace(rule.value, valid_until=datetime.now(UTC) + notary.VALIDITY))
        if last is not None:
            withheld[cladnet.name] = last
    return Cared(dropped_control_nodes=lost, dropped_tokens=tokens, withheld=withheld)


def withheld_to(
    cidr: IPv4Network, taken: AbstractSet[IPv4Address], before: IPv4Address | None = None
) -> IPv4Address | None:
    """Return the last of the lower half of the free addresses; `before` if none is free.

    Args:
        before: what an earlier restore kept back: nothing up to there counts as free.
    """
    lowest, highest = int(cidr.network_address) + 1, int(cidr.broadcast_address) - 1
    if before is not None:
        lowest = max(lowest, int(before) + 1)
    above = sorted(number for number in map(int, taken) if lowest <= number <= highest)
    free = highest - lowest + 1 - len(above)
    if free <= 0:
        return before
    last = lowest + (free + 1) // 2 - 1
    for number in above:
        if number > last:
            break
        last += 1
    return IPv4Address(last)


def _address(key: str) -> IPv4Address | None:
    try:
        return IPv4Address(keys.last_segment(key))
    except ValueError:
        return None


def release(store: Store, cladnet: str | None) -> tuple[str, ...]:
    """Let withheld addresses be given again, of one CLADNet or of all; return the names of those that had some."""
    chosen = networks.find(store, cladnet).id if cladnet is not None else None
    released = []
    for group, item in networks.specifications(store).items():
        if chosen in (None, group) and item.value.withheld_to is not None:
            version = networks.next_version(item.value.version, datetime.now(UTC))
            store.replace(item, replace(item.value, withheld_to=None, version=version))
            released.append(item.value.name)
    return tuple(released)
