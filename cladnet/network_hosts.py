"""The hosts of a CLADNet: how they are, and what may be asked of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

from cladnet import keys, networks
from cladnet.etcd.store import Store
from cladnet.fitness import ipv6_problem, key_holders, problem
from cladnet.model import (
    CloudFacts,
    CloudOverride,
    Command,
    ControlCommand,
    HostNetworkInformation,
    HostState,
    NetworkingRule,
    Role,
)
from larva.errors import NotFound


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


def views(store: Store, group: str) -> tuple[HostView, ...]:
    """Every host of a CLADNet (by id), by name, those without an address yet included."""
    specification = networks.find(store, group)
    informations = store.children(keys.hosts_of(specification.id), HostNetworkInformation)
    rules = store.children(keys.rules_of(specification.id), NetworkingRule)
    present = {keys.last_segment(key) for key in store.revisions(keys.presences_of(specification.id))}
    overrides = store.children(keys.cloud_overrides_of(specification.id), CloudOverride)
    holders = key_holders(informations, rules)
    found = []
    for host in sorted(informations.keys() | rules.keys()):
        rule = rules[host].value if host in rules else None
        information = informations[host].value if host in informations else None
        cloud = information.cloud if information else CloudFacts()
        found.append(
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
    return tuple(found)


def find(store: Store, group: str, host: str) -> HostView:
    """Return one host of a CLADNet; NotFound, naming those that there are, without it."""
    found = views(store, group)
    for view in found:
        if view.host == host:
            return view
    raise _unknown(group, host, found)


def _unknown(group: str, host: str, there: Sequence[HostView]) -> NotFound:
    names = ", ".join(view.host for view in there)
    return NotFound(f"CLADNet {group} has no host {host!r}", hint=f"hosts: {names or 'none yet'}")


def control(store: Store, group: str, host: str | None, command: Command) -> None:
    """Ask a host's agent, or every host's, to take its interface up or down; NotFound if there is no such host."""
    known = views(store, group)
    if host is None:
        group = networks.find(store, group).id
        for view in known:
            store.put(keys.command(group, view.host), ControlCommand(command=command))
        return
    if host not in {view.host for view in known}:
        raise _unknown(group, host, known)
    store.put(keys.command(networks.find(store, group).id, host), ControlCommand(command=command))


def override_cloud(store: Store, group: str, host: str, cloud: CloudFacts) -> None:
    """Say where a host is, in place of what it says itself; facts that are all empty take that back.

    A platform that launched the VM knows it for sure, where the provider's metadata may be silent or unreachable.

    Raises:
        NotFound: the CLADNet has no such host.
    """
    specification = networks.find(store, group)
    if not store.exists(keys.host_information(specification.id, host)):
        raise NotFound(f"CLADNet {group} has no host {host!r}", hint=f"see `larva net hosts {group}`")
    key = keys.cloud_override(specification.id, host)
    if cloud == CloudFacts():
        store.delete(key)
    else:
        store.put(key, CloudOverride(cloud=cloud))  # should the host leave meanwhile, the controller takes this away
