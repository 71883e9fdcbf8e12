"""The life cycle of CLADNets; the CLI and the API stand on this."""

import contextlib
import logging
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network

from cladnet import cidr as ranges
from cladnet import encryption as encrypting
from cladnet import keys, ula
from cladnet.etcd.store import Condition, Put, Store, Versioned
from cladnet.free_ranges import Recommendation, read_ranges, recommendation
from cladnet.model import (
    ADDRESS_QUARANTINE_S,
    CladnetSpecification,
    CladnetState,
    DatapathKind,
    Encryption,
    RuleType,
)  # fmt: skip
from larva.errors import Conflict, InvalidInput, NotFound, TimedOut

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_POLL_S = 0.2
_ID_BYTES = 4
_LONGEST_DESCRIPTION = 1000
LONGEST_QUARANTINE_S = 30 * 86400.0


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
    _check_words(name, description)
    _check_quarantine(quarantine_s)
    encrypting.check(datapath, encryption)
    wanted = ranges.parse(cidr) if cidr is not None else None
    for _ in range(_ATTEMPTS):
        generation = store.get(keys.CLADNET_GENERATION, int)  # read before the list: nothing can come in between unseen
        existing = _all(store)
        _check_name_free(name, existing)
        if group is not None:
            _check_name_free(keys.segment(group, what="CLADNet id"), existing)
        specification = CladnetSpecification(
            id=group or f"{name[:40].rstrip('-')}-{secrets.token_hex(_ID_BYTES)}",
            name=name,
            cidr=_range(store, wanted, existing),
            cidr6=_range6(store, ipv6, None, existing),
            description=description,
            rule_type=rule_type,
            datapath=datapath,
            encryption=encryption,
            address_quarantine_s=quarantine_s,
            created_at=datetime.now(UTC),
            version=next_version(0, datetime.now(UTC)),
        )
        key = keys.configuration(specification.id)
        if store.transact(
            [Condition(key, 0), Condition(keys.CLADNET_GENERATION, generation.revision if generation else 0)],
            [Put(key, specification), Put(keys.CLADNET_GENERATION, (generation.value if generation else 0) + 1)],
        ):
            return specification
    raise Conflict("other CLADNets are being created right now", hint="try again")


def _range(store: Store, wanted: IPv4Network | None, existing: Iterable[CladnetSpecification]) -> IPv4Network:
    """The range that is wanted if it is free, a free one if none is."""
    in_use = read_ranges(store, existing)
    if wanted is None:
        return ranges.recommend(in_use.all())
    try:
        hint = f"{ranges.recommend(in_use.all())} is free"
    except Conflict:  # the range that was asked for may be free all the same
        hint = "choose another range"
    ranges.check_free(wanted, cladnets=in_use.cladnets, host_networks=in_use.host_networks, hint=hint)
    return wanted


def _range6(
    store: Store, wanted: str | None, present: IPv6Network | None, others: Iterable[CladnetSpecification]
) -> IPv6Network | None:
    """The IPv6 prefix that is wanted if it is free; `present` when nothing is said of it."""
    if wanted is None or (wanted == ula.AUTO and present is not None):
        return present
    if wanted == ula.OFF:
        return None
    prefix = ula.draw() if wanted == ula.AUTO else ula.parse(wanted)
    if prefix == present:
        return present
    if present is not None:
        raise InvalidInput(f"the IPv6 prefix is {present}", hint="turn it off first: larva net update --ipv6 off")
    in_use = read_ranges(store, others)
    ula.check_free(prefix, cladnets=in_use.cladnets6, host_networks=in_use.host_networks6)
    return prefix


def recommend(store: Store, *, hosts: int | None = None) -> Recommendation:
    """Return a range for a new CLADNet and what it keeps away from.

    Args:
        hosts: how many hosts it should hold; a /24, for 254 hosts, is the smallest that is recommended.

    Raises:
        InvalidInput: no private range can hold that many.
        Conflict: nothing of that size is free.
    """
    return recommendation(read_ranges(store, _all(store)), hosts=hosts)


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
            cidr6=_range6(store, ipv6, current.value.cidr6, others),
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
    _check_words(new.name, new.description)
    _check_quarantine(new.address_quarantine_s)
    encrypting.check(new.datapath, new.encryption)
    if new.name != old.name:
        _check_name_free(new.name, others)
    if new.cidr != old.cidr:
        ranges.check_growth(old.cidr, new.cidr)
        in_use = read_ranges(store, others)
        ranges.check_free(
            new.cidr, cladnets=in_use.cladnets, host_networks=in_use.host_networks,
            hint="grow it by less, or create a further CLADNet",
        )  # fmt: skip


def _check_words(name: str, description: str) -> None:
    keys.segment(name, what="name")
    if len(description) > _LONGEST_DESCRIPTION:
        raise InvalidInput(f"the description has {len(description)} characters", hint=f"{_LONGEST_DESCRIPTION} at most")


def _check_quarantine(quarantine_s: float) -> None:
    if not 0 <= quarantine_s <= LONGEST_QUARANTINE_S:
        raise InvalidInput(f"an address cannot rest for {quarantine_s:g} s", hint="from 0 seconds to 30 days")


def _check_name_free(name: str, existing: Iterable[CladnetSpecification]) -> None:
    if any(name in (specification.name, specification.id) for specification in existing):
        raise Conflict(f"a CLADNet {name!r} exists already", hint="choose another name, or delete that one first")


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
