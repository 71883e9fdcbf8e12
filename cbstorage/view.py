"""What etcd says about one CLADNet's storage, read at once: the input of every storage reconciler."""

from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import TypeVar

import cladnet.keys
from cbstorage import keys, records
from cbstorage.ceph import conf
from cbstorage.ceph.crush import Place, place
from cbstorage.model import ClusterSpecification, Founding, Monitor
from cladnet.etcd.store import Store, Versioned
from cladnet.model import CladnetSpecification, EnrolledHost, HostNetworkInformation, NetworkingRule, Role
from larva.errors import NotFound

T = TypeVar("T", HostNetworkInformation, NetworkingRule, EnrolledHost)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One CLADNet with a storage cluster."""

    group: str
    specification: ClusterSpecification
    founding: Founding | None
    rules: dict[str, NetworkingRule]
    hosts: dict[str, HostNetworkInformation]

    def address(self, host: str) -> IPv4Address | None:
        """A host's address in the CLADNet, once the controller gave one."""
        rule = self.rules.get(host)
        return rule.address if rule else None

    def monitors(self) -> tuple[Monitor, ...]:
        """Every monitor to look for that has an address: those that are wanted, and those on their way out."""
        hosts = dict.fromkeys((*self.specification.mon_hosts, *self.specification.leaving_mon_hosts))
        pairs = ((host, self.address(host)) for host in hosts)
        return tuple(Monitor(host=host, address=address) for host, address in pairs if address is not None)

    def cluster(self) -> conf.Cluster:
        """What every ceph.conf says."""
        return conf.Cluster(fsid=self.specification.fsid, cidr=self.specification.cidr, monitors=self.monitors())

    def known_place(self, host: str) -> Place | None:
        """A host's place, or None before the controller knows it."""
        rule = self.rules.get(host)
        return place(host, rule.cloud) if rule else None

    def place(self, host: str) -> Place:
        """A host's place in the CRUSH map; NotFound for one that has no rule yet."""
        found = self.known_place(host)
        if found is None:
            raise NotFound(f"host {host} has no networking rule yet", hint="the controller gives one when it joined")
        return found


def prefixes(group: str) -> list[str]:
    """What a reconciler of storage watches besides its own keys."""
    return [
        keys.cluster(group), keys.founding(group), cladnet.keys.configuration(group), cladnet.keys.rules_of(group),
        cladnet.keys.hosts_of(group),
    ]  # fmt: skip


def read(store: Store, group: str) -> View | None:
    """Return the view, or None where no storage cluster is wanted.

    The range is the CLADNet's present one: it may have grown since the cluster was created.
    """
    specification = store.get(keys.cluster(group), ClusterSpecification)
    if specification is None:
        return None
    founding = store.get(keys.founding(group), Founding)
    network = store.get(cladnet.keys.configuration(group), CladnetSpecification)
    cidr = network.value.cidr if network else specification.value.cidr
    rules = store.children(cladnet.keys.rules_of(group), NetworkingRule)
    hosts = store.children(cladnet.keys.hosts_of(group), HostNetworkInformation)
    return View(
        group=group,
        specification=replace(specification.value, cidr=cidr),
        founding=founding.value if founding else None,
        rules=_by_name(rules),
        hosts=_by_name(hosts),
    )


def storage_hosts(store: Store, seen: View) -> list[str]:
    """Hosts that may give disks, by name: enrolled as such. What a host says of itself would not be enough.

    Only monitors' hosts may read who is enrolled as what.
    """
    enrolled = _by_name(store.children(cladnet.keys.ENROLLED_HOST, EnrolledHost))
    return sorted(host for host in seen.hosts if host in enrolled and Role.STORAGE in enrolled[host].roles)


def _by_name(found: dict[str, Versioned[T]]) -> dict[str, T]:
    """What each host's key holds; nothing for a host whose value says that it is another's."""
    return {name: item.value for name, item in records.agreeing(found, lambda name, it: it.host == name).items()}
