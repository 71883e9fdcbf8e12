"""`peering.wanted`, kept: a changed rule costs one rule, however many there are.

Anything unusual (another tunnel, two hosts with one key) takes the pure function, and the difference is told.
"""

import logging
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from operator import attrgetter

from cladnet.agent.peering import Wanted, fault, marks, peer_of, wanted
from cladnet.agent.rule_cache import NetworkView
from cladnet.datapath.protocol import Peer, Tunnel
from cladnet.model import CladnetSpecification, Command, HostState, NetworkingRule

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delta:
    """What is different from what was wanted before."""

    changed: tuple[Peer, ...]
    removed: tuple[str, ...]
    """Public keys."""


class KeptPeering:
    """What this host's data path should be, kept up as rules change; from one thread at a time.

    Args:
        rules: of every host by its name, this one included; changed by the caller, who says what.
    """

    def __init__(self, host: str, rules: Mapping[str, NetworkingRule], *, private_key: str, listen_port: int) -> None:
        self._host = host
        self._rules = rules
        self._private_key = private_key
        self._listen_port = listen_port
        self._terms: tuple[CladnetSpecification | None, Command, NetworkingRule | None] | None = None
        """What every peer depends on: nothing is known yet without it."""
        self._key_of: dict[str, str] = {}
        """Host → the public key of its peer, where it may have one."""
        self._marks: dict[str, tuple[Hashable, ...]] = {}
        self._holders: Counter[Hashable] = Counter()
        self._shared = 0
        """Marks that more than one host has: then it depends on all rules who is left out."""
        self.tunnel: Tunnel | None = None
        self.peers: dict[str, Peer] = {}
        """By public key."""

    def view(self, specification: CladnetSpecification | None, command: Command) -> NetworkView | None:
        """The rules with these terms, whole."""
        if specification is None:
            return None
        rules = tuple(sorted(self._rules.values(), key=attrgetter("host")))
        return NetworkView(specification=specification, rules=rules, command=command)

    def use(self, private_key: str) -> None:
        """Have another private key from now on; the tunnel alone depends on it."""
        self._private_key = private_key
        if self.tunnel is not None:
            self.tunnel = replace(self.tunnel, private_key=private_key)

    def wanted(self) -> Wanted | None:
        """What the data path should be, as peering.wanted() would say, but for the order of the peers."""
        return None if self.tunnel is None else Wanted(self.tunnel, tuple(self.peers.values()))

    def update(self, specification: CladnetSpecification | None, command: Command, changed: Iterable[str]) -> Delta:
        """Take in that these hosts' rules, or the terms, may have changed; return what is different now."""
        hosts = set(changed)
        terms = (specification, command, self._rules.get(self._host))
        was_simple = terms == self._terms and self._shared == 0
        if terms == self._terms:
            self._count(hosts, specification)
        else:
            self._terms = terms
            self._count(self._rules.keys() | self._marks.keys(), specification)
        if self.tunnel is not None and was_simple and self._shared == 0:
            return self._move(self._peers_of(hosts - {self._host}), hosts)
        desired = wanted(
            self.view(specification, command), self._host, private_key=self._private_key, listen_port=self._listen_port
        )
        self.tunnel = desired.tunnel if desired is not None else None
        by_key = {self._rules[host].public_key: host for host in self._marks}
        peers = {by_key[peer.public_key]: peer for peer in desired.peers} if desired is not None else {}
        return self._move(peers, set(self._key_of) | peers.keys())

    def _count(self, hosts: Iterable[str], specification: CladnetSpecification | None) -> None:
        """Note who claims what now."""
        for host in hosts:
            for mark in self._marks.pop(host, ()):
                self._holders[mark] -= 1
                self._shared -= self._holders[mark] == 1
                if not self._holders[mark]:
                    del self._holders[mark]
            rule = self._rules.get(host)
            if specification is None or rule is None or rule.state == HostState.DOWN:
                continue
            if host == self._host or not fault(rule, specification.cidr):
                self._marks[host] = marks(rule)
                for mark in self._marks[host]:
                    self._holders[mark] += 1
                    self._shared += self._holders[mark] == 2

    def _peers_of(self, hosts: Iterable[str]) -> dict[str, Peer]:
        """The peers of some hosts, of whom each claims what is its own alone."""
        specification, _, mine = self._terms or (None, Command.UP, None)
        if specification is None or mine is None:
            raise AssertionError("without a specification and a rule of this host there are no peers")
        peers = {}
        for host in hosts:
            if host in self._marks:
                peers[host] = peer_of(mine, self._rules[host], specification)
            elif host in self._rules and self._rules[host].state != HostState.DOWN:
                log.warning("%s is left out: %s", host, fault(self._rules[host], specification.cidr))
        return peers

    def _move(self, peers: Mapping[str, Peer], hosts: Iterable[str]) -> Delta:
        """Let these hosts, and no others of `hosts`, have these peers."""
        left = {key for host in hosts if (key := self._key_of.pop(host, None)) is not None}
        before = {key: self.peers.pop(key) for key in left}
        for host, peer in peers.items():
            known = before.get(peer.public_key)
            self._key_of[host] = peer.public_key
            self.peers[peer.public_key] = peer if known != peer else known  # which the data path remembers, too
        return Delta(
            tuple(peer for peer in peers.values() if before.get(peer.public_key) != peer),
            tuple(sorted(left - {peer.public_key for peer in peers.values()})),
        )
