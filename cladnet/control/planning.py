"""What a controller has to write for one CLADNet: a pure function of what is there to guarded transactions."""

import logging
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address

from cladnet import keys, rules, ula
from cladnet.control import ipam
from cladnet.control.notary import Objection
from cladnet.etcd.store import Condition, Delete, Operation, Put, Versioned
from cladnet.fitness import ipv6_problem, key_holders, key_problem, problem
from cladnet.model import (
    CladnetSpecification,
    CloudOverride,
    Command,
    ControlCommand,
    HostNetworkInformation,
    HostState,
    NetworkingRule,
    ReleasedAddress,
)
from larva.errors import Conflict

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything a controller read of one active CLADNet, each mapping by host or address."""

    specification: Versioned[CladnetSpecification]
    informations: Mapping[str, Versioned[HostNetworkInformation]]
    claims: Mapping[IPv4Address, Versioned[str]]
    released: Mapping[IPv4Address, Versioned[ReleasedAddress]]
    rules: Mapping[str, Versioned[NetworkingRule]]
    commands: Mapping[str, ControlCommand]
    present: AbstractSet[str]
    now: datetime
    lost: AbstractSet[str] = frozenset()
    """Hosts whose presence has been missing for longer than the grace."""
    clouds: Mapping[str, Versioned[CloudOverride]] = field(default_factory=dict)
    """Where hosts are by what the API was told; it counts more than what they say themselves."""
    unreadable: Mapping[str, int] = field(default_factory=dict)
    """Key → revision of rules, claims and released addresses, which only controllers write, that are none, or
    unsigned."""
    objections: Mapping[str, Objection] = field(default_factory=dict)
    """Hosts for which the system does not give its word."""
    due: AbstractSet[str] = frozenset()
    """Hosts whose rule has to be renewed though it says nothing new."""


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction and what it is for."""

    why: str
    conditions: tuple[Condition, ...]
    operations: tuple[Operation, ...]


def plan(world: World) -> tuple[Step, ...]:
    """Return the transactions that make rules and claims fit the hosts; none when they do.

    Each stands on its own and is guarded by the revisions it was decided on, so that any number of controllers may
    carry out the same plan, in any order, stopping anywhere.
    """
    taken = set(world.claims)
    of_host = {claim.value: address for address, claim in world.claims.items()}
    holders = key_holders(world.informations, world.rules)
    steps = [
        Step(f"delete {key}, which cannot be read", (Condition(key, revision),), (Delete(key),))
        for key, revision in world.unreadable.items()
    ]
    for host in sorted(world.informations):
        step = _step_for(world, host, holders, taken, of_host)
        if step is not None:
            steps.append(step)
    steps += [_drop_rule(world, host) for host in sorted(world.rules.keys() - world.informations.keys())]
    steps += [_forget_cloud(world, host) for host in sorted(world.clouds.keys() - world.informations.keys())]
    for address in world.claims:
        step = _free_claim(world, address)
        if step is not None:
            steps.append(step)
    steps += [
        Step(f"let {address} rest no longer", (Condition(each.key, each.revision),), (Delete(each.key),))
        for address, each in world.released.items()
        if not _rests(world, each.value)
    ]
    return tuple(steps)


def _step_for(
    world: World,
    host: str,
    holders: Mapping[str, str],
    taken: set[IPv4Address],
    of_host: Mapping[str, IPv4Address],
) -> Step | None:
    information, rule = world.informations[host].value, world.rules.get(host)
    objection = world.objections.get(host)
    if objection is not None:
        _tell(world, host, objection.why)
        return _drop_rule(world, host) if objection.final and rule is not None else None
    trouble = key_problem(host, information, holders)
    if rule is None:
        trouble = trouble or problem(host, world.specification.value, information, holders)
    if not trouble:
        return _keep_host(world, host, taken, of_host)
    _tell(world, host, trouble)
    if rule is not None and holders[rule.value.public_key] != host:
        return _drop_rule(world, host)
    return None


def _tell(world: World, host: str, trouble: str) -> None:
    kept = "its rule is not renewed" if host in world.rules else "it gets no rule"
    log.warning("%s: %s: %s: %s", world.specification.value.id, host, kept, trouble)


def _keep_host(world: World, host: str, taken: set[IPv4Address], of_host: Mapping[str, IPv4Address]) -> Step | None:
    """The step that gives a host its address and rule, or renews the rule; notes the address in `taken`."""
    group = world.specification.value.id
    information, rule = world.informations[host], world.rules.get(host)
    address = _address(world, host, taken, of_host)
    if address is None:
        return None
    taken.add(address)
    wanted = NetworkingRule(
        host=host,
        address=address,
        address6=_address6(world.specification.value, information.value, address),
        public_key=information.value.public_key,
        next_public_key=information.value.next_public_key,
        endpoints=rules.candidates(information.value, world.specification.value.cidr),
        cloud=world.clouds[host].value.cloud if host in world.clouds else information.value.cloud,
        state=_state(world, host),
    )
    claim = world.claims.get(address)
    if rule is not None and rule.value == wanted and claim is not None and host not in world.due:
        return None
    claim_key, rule_key = keys.address(group, address), keys.rule(group, host)
    conditions = [
        Condition(claim_key, claim.revision if claim else 0),
        Condition(rule_key, rule.revision if rule else 0),
        Condition(information.key, information.revision),
        Condition(world.specification.key, world.specification.revision),
    ]
    operations: list[Operation] = [Put(rule_key, wanted)]
    if claim is None:
        released_key, released = keys.released(group, address), world.released.get(address)
        # That no claim was there may have been true before another host had the address, and be true again after.
        conditions.append(Condition(released_key, released.revision if released else 0))
        operations = [Put(claim_key, host), Delete(released_key), *operations]
    return Step(f"{'renew' if rule else 'give'} the rule of {host} at {address}", tuple(conditions), tuple(operations))


def _address(
    world: World, host: str, taken: set[IPv4Address], of_host: Mapping[str, IPv4Address]
) -> IPv4Address | None:
    cidr = world.specification.value.cidr
    rule = world.rules.get(host)
    if rule is not None:
        claim = world.claims.get(rule.value.address)
        if rule.value.address in cidr and (claim.value == host if claim else rule.value.address not in taken):
            return rule.value.address
    if host in of_host and of_host[host] in cidr:
        return of_host[host]
    resting = {ip: each.value for ip, each in world.released.items() if _rests(world, each.value)}
    try:
        return ipam.allocate(
            host, cidr, taken | {each.value.address for each in world.rules.values()}, resting,
            world.specification.value.withheld_to,
        )  # fmt: skip
    except Conflict as error:
        log.warning("%s: %s gets no address: %s", world.specification.value.id, host, error.message)
        return None


def _address6(
    specification: CladnetSpecification, information: HostNetworkInformation, address: IPv4Address
) -> IPv6Address | None:
    if specification.cidr6 is None or ipv6_problem(specification, information):
        return None
    return ula.address6(specification.cidr6, address)


def _rests(world: World, released: ReleasedAddress) -> bool:
    return ipam.rests(released, now=world.now, quarantine_s=world.specification.value.address_quarantine_s)


def _state(world: World, host: str) -> HostState:
    command = world.commands.get(host)
    if command is not None and command.command == Command.DOWN:
        return HostState.DOWN
    if host in world.present:
        return HostState.ACTIVE
    rule = world.rules.get(host)
    if host in world.lost:
        return HostState.UNREACHABLE
    # Gone for less than the grace: what was said of it stands, unless it was taken down and asked up again.
    return rule.value.state if rule is not None and rule.value.state != HostState.DOWN else HostState.ACTIVE


def _drop_rule(world: World, host: str) -> Step:
    group, rule, information = world.specification.value.id, world.rules[host], world.informations.get(host)
    conditions = [
        Condition(rule.key, rule.revision),
        Condition(keys.host_information(group, host), information.revision if information else 0),
    ]
    operations: list[Operation] = [
        Delete(rule.key),
        Delete(keys.status(group, host)),
        Delete(keys.quality(group, host)),
        Delete(keys.command(group, host)),
    ]
    claim = world.claims.get(rule.value.address)
    if claim is not None and claim.value == host:
        conditions.append(Condition(claim.key, claim.revision))
        operations += _release(world, claim, rule.value.address)
    return Step(f"drop the rule of {host}", tuple(conditions), tuple(operations))


def _forget_cloud(world: World, host: str) -> Step:
    """The next host of that name may be elsewhere."""
    cloud, information = world.clouds[host], keys.host_information(world.specification.value.id, host)
    conditions = (Condition(cloud.key, cloud.revision), Condition(information, 0))
    return Step(f"forget where {host} was", conditions, (Delete(cloud.key),))


def _release(world: World, claim: Versioned[str], address: IPv4Address) -> list[Operation]:
    """End a claim; what is left of it keeps the address from other hosts for a while."""
    rest = ReleasedAddress(host=claim.value, released_at=world.now)
    return [Delete(claim.key), Put(keys.released(world.specification.value.id, address), rest)]


def _free_claim(world: World, address: IPv4Address) -> Step | None:
    """The step that frees an address nobody uses: its host is gone, was never one, or has another address."""
    claim, group = world.claims[address], world.specification.value.id
    host, conditions = claim.value, [Condition(claim.key, claim.revision)]
    operations: list[Operation] = [Delete(claim.key)]
    if keys.is_segment(host):
        rule = world.rules.get(host)
        if host in world.informations if rule is None else rule.value.address == address:
            return None
        if rule is not None and host not in world.informations:
            return None  # the step that drops the rule wakes us again
        conditions.append(Condition(keys.rule(group, host), rule.revision if rule else 0))
        operations = _release(world, claim, address)
    return Step(f"free {address} of {host[:63]!r}", tuple(conditions), tuple(operations))
