"""The life cycle of CLADNets and what is known of their hosts; the CLI and the API stand on this."""

import contextlib
import logging
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from cladnet import cidr as ranges
from cladnet import encryption as encrypting
from cladnet import keys, ula
from cladnet.arrival import arriving as rows_arriving
from cladnet.etcd.store import Condition, Put, Store, Versioned
from cladnet.fitness import ipv6_problem, key_holders, problem
from cladnet.free_ranges import Recommendation, read_ranges, recommendation
from cladnet.model import (
    ADDRESS_QUARANTINE_S,
    CladnetSpecification,
    CladnetState,
    CloudFacts,
    CloudOverride,
    Command,
    ControlCommand,
    DatapathKind,
    Encryption,
    HostNetworkInformation,
    HostState,
    HostStatus,
    NetworkingRule,
    Role,
    RuleType,
    TestSpecification,
)  # fmt: skip
from cladnet.status_pace import MOST_TRIALS, longest_s
from larva.errors import Conflict, InvalidInput, NotFound, TimedOut

log = logging.getLogger(__name__)

_ATTEMPTS = 5
_POLL_S = 0.2
_ID_BYTES = 4
_LONGEST_DESCRIPTION = 1000
LONGEST_QUARANTINE_S = 30 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """A host as a person wants to see it; `address` is None until the controller gave one."""

    host: str
    address: IPv4Address | None
    address6: IPv6Address | None = None
    """None also where the CLADNet or the host has no IPv6."""
    state: HostState | None
    public_address: IPv4Address | None
    cloud: CloudFacts = field(default_factory=CloudFacts)
    roles: tuple[Role, ...] = ()
    present: bool = False
    problem: str = ""
    """Why it cannot join; empty when it can."""
    ipv6_problem: str = ""
    """Why it has no IPv6 address in a CLADNet that has them."""


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
    existing = list_all(store)
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
            store.replace(current, replace(current.value, state=CladnetState.DELETING))
            return
    raise Conflict(f"CLADNet {id_or_name!r} is being changed right now", hint="try again")


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


def hosts(store: Store, group: str) -> tuple[HostView, ...]:
    """Every host of a CLADNet (by id), by name, those without an address yet included."""
    specification = find(store, group)
    informations = store.children(keys.hosts_of(specification.id), HostNetworkInformation)
    rules = store.children(keys.rules_of(specification.id), NetworkingRule)
    present = {keys.last_segment(key) for key in store.revisions(keys.presences_of(specification.id))}
    overrides = store.children(keys.cloud_overrides_of(specification.id), CloudOverride)
    holders = key_holders(informations, rules)
    views = []
    for host in sorted(informations.keys() | rules.keys()):
        rule = rules[host].value if host in rules else None
        information = informations[host].value if host in informations else None
        cloud = information.cloud if information else CloudFacts()
        views.append(
            HostView(
                host=host,
                address=rule.address if rule else None,
                address6=rule.address6 if rule else None,
                state=rule.state if rule else None,
                public_address=information.public_address if information else None,
                cloud=overrides[host].value.cloud if host in overrides else cloud,
                roles=information.roles if information else (),
                present=host in present,
                problem=problem(host, specification, information, holders) if information else "",
                ipv6_problem=ipv6_problem(specification, information) if information else "",
            )
        )
    return tuple(views)


def control(store: Store, group: str, host: str | None, command: Command) -> None:
    """Ask a host's agent, or every host's, to take its interface up or down; NotFound if there is no such host."""
    views = hosts(store, group)
    if host is None:
        group = find(store, group).id
        for view in views:
            store.put(keys.command(group, view.host), ControlCommand(command=command))
        return
    if host not in {view.host for view in views}:
        names = ", ".join(view.host for view in views)
        raise NotFound(f"CLADNet {group} has no host {host!r}", hint=f"hosts: {names or 'none yet'}")
    store.put(keys.command(find(store, group).id, host), ControlCommand(command=command))


def override_cloud(store: Store, group: str, host: str, cloud: CloudFacts) -> None:
    """Say where a host is, in place of what it says itself; facts that are all empty take that back.

    A platform that launched the VM knows it for sure, where the provider's metadata may be silent or unreachable.

    Raises:
        NotFound: the CLADNet has no such host.
    """
    specification = find(store, group)
    if not store.exists(keys.host_information(specification.id, host)):
        raise NotFound(f"CLADNet {group} has no host {host!r}", hint=f"see `larva net hosts {group}`")
    key = keys.cloud_override(specification.id, host)
    if cloud == CloudFacts():
        store.delete(key)
    else:
        store.put(key, CloudOverride(cloud=cloud))  # should the host leave meanwhile, the controller takes this away


def request_status_test(store: Store, group: str, *, trials: int = 3) -> TestSpecification:
    """Ask every agent of a CLADNet to measure the latency to every peer once.

    Args:
        trials: echo requests per peer, 1 to 100.
    """
    if not 1 <= trials <= MOST_TRIALS:
        raise InvalidInput(f"{trials} trials are not possible", hint=f"choose 1 to {MOST_TRIALS}")
    specification = find(store, group)
    test = TestSpecification(id=secrets.token_hex(8), trials=trials, asked_at=datetime.now(UTC))
    store.put(keys.test_specification(specification.id), test)
    return test


def matrix(store: Store, group: str, test_id: str | None = None) -> tuple[HostStatus, ...]:
    """The rows of the latency matrix, by host; only those of one test if it is given."""
    rows = store.children(keys.statuses_of(find(store, group).id), HostStatus)
    return tuple(rows[host].value for host in sorted(rows) if test_id in (None, rows[host].value.test_id))


def arriving(store: Store, group: str, test: TestSpecification, *, wait_s: float) -> Iterator[HostStatus]:
    """Yield each host's row of a test as it comes; end when every present, active host has answered.

    Args:
        wait_s: seconds after which it ends with what has come.
    """
    specification = find(store, group)

    def expected() -> set[str]:
        return {view.host for view in hosts(store, group) if view.present and view.state == HostState.ACTIVE}

    yield from rows_arriving(store, specification.id, test, expected=expected, wait_s=wait_s)


def wait_matrix(store: Store, group: str, test: TestSpecification, *, wait_s: float) -> tuple[HostStatus, ...]:
    """Return the matrix when every present, active host has answered, or what there is after `wait_s` seconds."""
    return tuple(sorted(arriving(store, group, test, wait_s=wait_s), key=lambda row: row.host))


def longest_test_s(store: Store, group: str, test: TestSpecification) -> float:
    """Return the seconds after which every row of a test should be there, however many peers do not answer."""
    return longest_s(len(store.revisions(keys.rules_of(group))), test.trials)
