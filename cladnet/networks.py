"""The life cycle of CLADNets; the CLI and the API stand on this."""

import contextlib
import logging
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Network

from cladnet import cidr as ranges
from cladnet import encryption as encrypting
from cladnet import keys
from cladnet import network_checks as checks
from cladnet.etcd.store import Condition, Put, Store, Versioned
from cladnet.free_ranges import Avoided, Recommendation, avoidable, read_ranges, recommendation
from cladnet.model import (
    ADDRESS_QUARANTINE_S,
    CladnetSpecification,
    CladnetState,
    DatapathKind,
    Encryption,
    RuleType,
)  # fmt: skip
from larva.errors import Conflict, NotFound, TimedOut

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_POLL_S = 0.2
_ID_BYTES = 4


def create(
    store: Store,
    *,
    name: str,
    group: str | None = None,
    cidr: str | None = None,
    ipv6: str | None = None,
    description: str = "",
    rule_type: RuleType = RuleType.COST_PRIORITIZED,
    datapath: DatapathKind = DatapathKind.AUTO,
    encryption: Encryption = Encryption.ON,
    quarantine_s: float = ADDRESS_QUARANTINE_S,
) -> CladnetSpecification:
    """Create a CLADNet and return it.

    Args:
        name: unique; small letters, digits and hyphens.
        group: its id, as unique as its name; made of the name without it.
        cidr: its address range; a free one is chosen without it.
        ipv6: a private /64 for a second address of every host, or "auto" for one that is drawn.
        encryption: off is for hosts in one private network: see encryption.WARNING, which a user should be shown.
        quarantine_s: how long a released address is kept from other hosts.

    Raises:
        InvalidInput: the name or the range cannot be used.
        Conflict: the name is taken, or the range overlaps a CLADNet's or a host's own network.
    """
    for _ in range(_ATTEMPTS):
        generation = store.get(keys.CLADNET_GENERATION, int)  # read before the list: nothing can come in between unseen
        specification = draft(
            store, name=name, group=group, cidr=cidr, ipv6=ipv6, description=description, rule_type=rule_type,
            datapath=datapath, encryption=encryption, quarantine_s=quarantine_s,
        )  # fmt: skip
        key = keys.configuration(specification.id)
        if store.transact(
            [Condition(key, 0), Condition(keys.CLADNET_GENERATION, generation.revision if generation else 0)],
            [Put(key, specification), Put(keys.CLADNET_GENERATION, (generation.value if generation else 0) + 1)],
        ):
            return specification
    raise Conflict("other CLADNets are being created right now", hint="try again")


def draft(
    store: Store,
    *,
    name: str,
    group: str | None = None,
    cidr: str | None = None,
    ipv6: str | None = None,
    description: str = "",
    rule_type: RuleType = RuleType.COST_PRIORITIZED,
    datapath: DatapathKind = DatapathKind.AUTO,
    encryption: Encryption = Encryption.ON,
    quarantine_s: float = ADDRESS_QUARANTINE_S,
) -> CladnetSpecification:
    """Return what create() would create of the same arguments, and create nothing; it raises what create() raises."""
    checks.words(name, description)
    checks.quarantine(quarantine_s)
    encrypting.check(datapath, encryption)
    wanted = ranges.parse(cidr) if cidr is not None else None
    existing = _all(store)
    checks.name_free(name, existing)
    if group is not None:
        checks.name_free(keys.segment(group, what="CLADNet id"), existing)
    in_use = read_ranges(store, existing)
    return CladnetSpecification(
        id=group or f"{name[:40].rstrip('-')}-{secrets.token_hex(_ID_BYTES)}",
        name=name,
        cidr=checks.network(in_use, wanted),
        cidr6=checks.prefix6(in_use, ipv6, None),
        description=description,
        rule_type=rule_type,
        datapath=datapath,
        encryption=encryption,
        address_quarantine_s=quarantine_s,
        created_at=datetime.now(UTC),
        version=next_version(0, datetime.now(UTC)),
    )


def recommend(store: Store, *, hosts: int | None = None) -> Recommendation:
    """Return a range for a new CLADNet and what it keeps away from.

    Args:
        hosts: how many hosts it should hold; a /24, for 254 hosts, is the smallest that is recommended.

    Raises:
        InvalidInput: no private range can hold that many.
        Conflict: nothing of that size is free.
    """
    return recommendation(read_ranges(store, _all(store)), hosts=hosts)


def overlapped(store: Store, network: IPv4Network) -> tuple[Avoided, ...]:
    """Return what `network` overlaps of all that is in use, reserved or usual: whose each is, and why it counts."""
    return tuple(each for each in avoidable(read_ranges(store, _all(store))) if each.network.overlaps(network))


def update(
    store: Store,
    id_or_name: str,
    *,
    name: str | None = None,
    description: str | None = None,
    rule_type: RuleType | None = None,
    cidr: str | None = None,
    ipv6: str | None = None,
    datapath: DatapathKind | None = None,
    encryption: Encryption | None = None,
    quarantine_s: float | None = None,
) -> CladnetSpecification:
    """Change what is given of a CLADNet and return it as it is then; its agents follow without losing traffic.

    Args:
        cidr: a range that contains the present one: no host loses its address.
        ipv6: as in create(); "off" takes every host's second address away.
        datapath, encryption: every host changes over by itself; until both ends have, nothing goes between them.
        quarantine_s: holds for addresses that rest already, too.

    Raises:
        InvalidInput: a name or range cannot be used, or the range would not grow.
        Conflict: the name is taken, the range overlaps another one, or the CLADNet is being deleted.
    """
    wanted = ranges.parse(cidr) if cidr is not None else None
    for _ in range(_ATTEMPTS):
        generation = store.get(keys.CLADNET_GENERATION, int)  # read before the list, as in create()
        key = keys.configuration(find(store, id_or_name).id)
        existing = specifications(store)
        current = next((item for item in existing.values() if item.key == key), None)
        if current is None or current.value.state == CladnetState.DELETING:
            raise Conflict(f"CLADNet {id_or_name!r} is being deleted", hint="create a new one")
        others = [item.value for item in existing.values() if item.key != key]
        changed = replace(
            current.value,
            name=current.value.name if name is None else name,
            description=current.value.description if description is None else description,
            rule_type=rule_type or current.value.rule_type,
            cidr=wanted or current.value.cidr,
            cidr6=current.value.cidr6
            if ipv6 is None
            else checks.prefix6(read_ranges(store, others), ipv6, current.value.cidr6),
            datapath=datapath or current.value.datapath,
            encryption=encryption or current.value.encryption,
            address_quarantine_s=current.value.address_quarantine_s if quarantine_s is None else quarantine_s,
        )
        if changed == current.value:
            return changed
        _check_change(store, current.value, changed, others)
        changed = replace(changed, version=next_version(current.value.version, datetime.now(UTC)))
        conditions, operations = [Condition(key, current.revision)], [Put(key, changed)]
        if any(getattr(changed, what) != getattr(current.value, what) for what in ("name", "cidr", "cidr6")):
            conditions.append(Condition(keys.CLADNET_GENERATION, generation.revision if generation else 0))
            operations.append(Put(keys.CLADNET_GENERATION, (generation.value if generation else 0) + 1))
        if store.transact(conditions, operations):
            return changed
    raise Conflict(f"CLADNet {id_or_name!r} is being changed right now", hint="try again")


def _check_change(
    store: Store, old: CladnetSpecification, new: CladnetSpecification, others: Sequence[CladnetSpecification]
) -> None:
    checks.words(new.name, new.description)
    checks.quarantine(new.address_quarantine_s)
    encrypting.check(new.datapath, new.encryption)
    if new.name != old.name:
        checks.name_free(new.name, others)
    if new.cidr != old.cidr:
        ranges.check_growth(old.cidr, new.cidr)
        in_use = read_ranges(store, others)
        ranges.check_free(
            new.cidr, cladnets=in_use.cladnets, host_networks=in_use.host_networks,
            hint="grow it by less, or create a further CLADNet",
        )  # fmt: skip


def list_all(store: Store) -> tuple[CladnetSpecification, ...]:
    """Every CLADNet, oldest first."""
    return tuple(sorted(_all(store), key=lambda specification: (specification.created_at, specification.id)))


def _all(store: Store) -> tuple[CladnetSpecification, ...]:
    return tuple(item.value for item in specifications(store).values())


def specifications(store: Store) -> dict[str, Versioned[CladnetSpecification]]:
    """Every CLADNet by its id."""
    return under_their_ids(store.children(keys.CONFIGURATION, CladnetSpecification))


def under_their_ids(found: dict[str, Versioned[CladnetSpecification]]) -> dict[str, Versioned[CladnetSpecification]]:
    """Leave out what stands under the id of one CLADNet and is that of another."""
    for group in [group for group, item in found.items() if item.value.id != group]:
        log.warning("left out: %s holds the CLADNet %.63r", found[group].key, found[group].value.id)
        del found[group]
    return found


def find(store: Store, id_or_name: str) -> CladnetSpecification:
    """Return the CLADNet with this id or name; NotFound, naming those that exist, otherwise."""
    return among(list_all(store), id_or_name)


def among(existing: Sequence[CladnetSpecification], id_or_name: str) -> CladnetSpecification:
    """As find(), of these: the error names no others."""
    for specification in existing:
        if id_or_name in (specification.id, specification.name):
            return specification
    names = ", ".join(specification.name for specification in existing)
    raise NotFound(
        f"there is no CLADNet {id_or_name!r}",
        hint=f"CLADNets: {names}" if names else "there is none yet; create one with `larva net create`",
    )


def delete(store: Store, id_or_name: str) -> None:
    """Mark a CLADNet as being deleted; the controller empties it and the agents drop their interfaces."""
    for _ in range(_ATTEMPTS):
        key = keys.configuration(find(store, id_or_name).id)
        current = store.get(key, CladnetSpecification)
        if current is None or current.value.state == CladnetState.DELETING:
            return
        with contextlib.suppress(Conflict):
            version = next_version(current.value.version, datetime.now(UTC))
            store.replace(current, replace(current.value, state=CladnetState.DELETING, version=version))
            return
    raise Conflict(f"CLADNet {id_or_name!r} is being changed right now", hint="try again")


def next_version(before: int, now: datetime) -> int:
    """Return the version of a specification that follows one of version `before`.

    Seconds of the clock keep it above what agents have seen, also after etcd was restored from an old backup.
    """
    return max(before + 1, int(now.timestamp()))


def wait_deleted(store: Store, group: str, *, wait_s: float) -> None:
    """Return when a controller has emptied the CLADNet; TimedOut after `wait_s` seconds."""
    deadline = time.monotonic() + wait_s
    while store.get(keys.configuration(group), CladnetSpecification) is not None:
        if time.monotonic() > deadline:
            raise TimedOut(
                f"CLADNet {group} was not emptied within {wait_s:g} s",
                hint="check that a controller runs: systemctl status larva-controller",
            )
        time.sleep(_POLL_S)
