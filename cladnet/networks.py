"""The life cycle of CLADNets and what is known of their hosts; the CLI and the API stand on this."""

import contextlib
import logging
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network

from cladnet import cidr as ranges
from cladnet import keys
from cladnet.fitness import key_holders, own_networks, problem
from cladnet.model import (
    CladnetSpecification,
    CladnetState,
    CloudFacts,
    Command,
    ControlCommand,
    DatapathKind,
    HostNetworkInformation,
    HostState,
    HostStatus,
    NetworkingRule,
    Role,
    RuleType,
    TestSpecification,
)  # fmt: skip
from cladnet.store import Condition, Put, Store, Versioned
from larva.errors import Conflict, InvalidInput, NotFound, TimedOut

log = logging.getLogger(__name__)

MOST_TRIALS = 100
_ATTEMPTS = 5
_POLL_S = 0.2
_ID_BYTES = 4
_LONGEST_DESCRIPTION = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class HostView:
    """A host as a person wants to see it; `address` is None until the controller gave one."""

    host: str
    address: IPv4Address | None
    state: HostState | None
    public_address: IPv4Address | None
    cloud: CloudFacts = field(default_factory=CloudFacts)
    roles: tuple[Role, ...] = ()
    present: bool = False
    problem: str = ""
    """Why it cannot join; empty when it can."""


def create(
    store: Store,
    *,
    name: str,
    cidr: str | None = None,
    description: str = "",
    rule_type: RuleType = RuleType.COST_PRIORITIZED,
    datapath: DatapathKind = DatapathKind.AUTO,
) -> CladnetSpecification:
    """Create a CLADNet and return it.

    Args:
        name: unique; small letters, digits and hyphens.
        cidr: its address range; a free one is chosen without it.

    Raises:
        InvalidInput: the name or the range cannot be used.
        Conflict: the name is taken, or the range overlaps a CLADNet's or a host's own network.
    """
    keys.segment(name, what="name")
    if len(description) > _LONGEST_DESCRIPTION:
        raise InvalidInput(f"the description has {len(description)} characters", hint=f"{_LONGEST_DESCRIPTION} at most")
    wanted = ranges.parse(cidr) if cidr is not None else None
    for _ in range(_ATTEMPTS):
        generation = store.get(keys.CLADNET_GENERATION, int)  # read before the list: nothing can come in between unseen
        existing = _all(store)
        if any(name in (specification.name, specification.id) for specification in existing):
            raise Conflict(f"a CLADNet {name!r} exists already", hint="choose another name, or delete that one first")
        specification = CladnetSpecification(
            id=f"{name[:40].rstrip('-')}-{secrets.token_hex(_ID_BYTES)}",
            name=name,
            cidr=_range(store, wanted, existing),
            description=description,
            rule_type=rule_type,
            datapath=datapath,
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
    cladnets = {specification.name: specification.cidr for specification in existing}
    networks = {
        keys.last_segment(item.key): own_networks(item.value)
        for item in store.list(keys.HOST_INFORMATION, HostNetworkInformation).items
    }
    taken = [*cladnets.values(), *(network for each in networks.values() for network in each)]
    if wanted is None:
        return ranges.recommend(taken)
    try:
        suggestion = ranges.recommend(taken)
    except Conflict:  # the range that was asked for may be free all the same
        suggestion = None
    ranges.check_free(wanted, cladnets=cladnets, host_networks=networks, suggestion=suggestion)
    return wanted


def list_all(store: Store) -> tuple[CladnetSpecification, ...]:
    """Every CLADNet, oldest first."""
    return tuple(sorted(_all(store), key=lambda specification: (specification.created_at, specification.id)))


def _all(store: Store) -> tuple[CladnetSpecification, ...]:
    return tuple(item.value for item in specifications(store).values())


def specifications(store: Store) -> dict[str, Versioned[CladnetSpecification]]:
    """Every CLADNet by its id; what stands under the id of one and is that of another is left out."""
    found = store.children(keys.CONFIGURATION, CladnetSpecification)
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
    holders = key_holders(informations, rules)
    views = []
    for host in sorted(informations.keys() | rules.keys()):
        rule = rules[host].value if host in rules else None
        information = informations[host].value if host in informations else None
        views.append(
            HostView(
                host=host,
                address=rule.address if rule else None,
                state=rule.state if rule else None,
                public_address=information.public_address if information else None,
                cloud=information.cloud if information else CloudFacts(),
                roles=information.roles if information else (),
                present=host in present,
                problem=problem(host, specification, information, holders) if information else "",
            )
        )
    return tuple(views)


def control(store: Store, group: str, host: str, command: Command) -> None:
    """Ask a host's agent to take its interface up or down; NotFound if the CLADNet has no such host."""
    views = hosts(store, group)
    if host not in {view.host for view in views}:
        names = ", ".join(view.host for view in views)
        raise NotFound(f"CLADNet {group} has no host {host!r}", hint=f"hosts: {names or 'none yet'}")
    store.put(keys.command(find(store, group).id, host), ControlCommand(command=command))


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


def wait_matrix(store: Store, group: str, test: TestSpecification, *, wait_s: float) -> tuple[HostStatus, ...]:
    """Return the matrix when every present, active host has answered, or what there is after `wait_s` seconds."""
    deadline = time.monotonic() + wait_s
    while True:
        rows = matrix(store, group, test.id)
        expected = {view.host for view in hosts(store, group) if view.present and view.state == HostState.ACTIVE}
        if expected <= {row.host for row in rows} or time.monotonic() > deadline:
            return rows
        time.sleep(_POLL_S)
