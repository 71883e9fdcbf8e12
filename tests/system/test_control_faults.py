"""Controllers that are killed in the middle of everything, hosts that all restart at once, agents that sleep too long.

`LARVA_SEED=7 .venv/bin/pytest tests/system/test_control_faults.py` plays another history; a failure prints its seed.
"""

import json
import os
import random
import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from etcd3 import etcdrpc
from etcd3.utils import prefix_range_end

from cladnet import keys, networks, seal
from cladnet.bench.fleet import SharedStore
from cladnet.enrol import authority, enrolment, membership
from cladnet.etcd.cluster import TlsFiles
from cladnet.etcd.store import Store
from cladnet.model import HostNetworkInformation, HostState, NetworkingRule, Role
from cladnet.trust.trust import own_certificate

SEED = int(os.environ.get("LARVA_SEED", "1"))
PATIENCE_S = 120.0
CONTROLLERS = 3
STEPS = 80
HOSTS = 40
BURST = 8
"""Hosts that come at once: what one controller has seen of them, another has not yet."""
KILLED = 0.4
"""The part of the steps after which a controller is killed, if one is at work: they take a second to start."""
LEAST_KILLED = 8


@dataclass
class Host:
    """What a host's agent would say, and what should become of it."""

    name: str
    tls: TlsFiles
    store: Store
    information: HostNetworkInformation
    is_in: bool = True
    is_there: bool = True


@dataclass
class Crowd:
    """Many hosts without agents: they say what agents say, each signed by its own key."""

    node: Any
    group: str
    store: Store
    directory: Path
    dice: random.Random
    hosts: dict[str, Host] = field(default_factory=dict)
    removed: set[str] = field(default_factory=set)

    def step(self) -> str:
        """Something happens to a host; return what, for who reads a failure."""
        staying = [host for host in self.hosts.values() if host.is_in]
        left = [host for host in self.hosts.values() if not host.is_in]
        whats: list[tuple[Callable[[Any], None], list[Any]]] = [
            (self.join, [self._new_name()] * (len(self.hosts) < HOSTS)),
            (self.leave, staying),
            (self.come_back, left),
            (self.remove, [*staying, *left]),
            (self.join, sorted(self.removed)),
            (self.vanish, [host for host in staying if host.is_there]),
            (self.appear, [host for host in staying if not host.is_there]),
            (self.move, staying),
        ]
        weights = [3 if len(staying) > 5 else 10, 2, 3, 1, 2, 2, 2, 3]
        possible = [(what, whom, weight) for (what, whom), weight in zip(whats, weights, strict=True) if whom]
        what, whom, _ = self.dice.choices(possible, [weight for *_, weight in possible])[0]
        chosen = self.dice.choice(whom)
        what(chosen)
        return f"{what.__name__} {chosen if isinstance(chosen, str) else chosen.name}"

    def _new_name(self) -> str:
        return f"{self.dice.choice('abcdefghij')}{len(self.hosts) + len(self.removed)}"

    def burst(self) -> None:
        """Many new hosts at once."""
        new = []
        for _ in range(BURST):
            name = self._new_name()
            self._enrol(name)
            new.append(self.hosts[name])
        with ThreadPoolExecutor(BURST) as at_once:
            list(at_once.map(self._say, new))

    def join(self, name: str) -> None:
        """A new host, or one that is installed anew: with new keys."""
        self._enrol(name)
        self._say(self.hosts[name])

    def _enrol(self, name: str) -> None:
        secret = enrolment.create_token(self.store, group=self.group, roles=(Role.MEMBER,), ttl_s=600, uses=1)
        key, directory = authority.new_key(), self.directory / secrets.token_hex(4)
        given = enrolment.redeem(
            self.store, self.node.authority(), secret=secret, csr_pem=authority.signing_request(key, name), host=name,
            roles=(Role.MEMBER,),
        )  # fmt: skip
        directory.mkdir(parents=True)
        tls = TlsFiles(ca=directory / "ca.pem", certificate=directory / "client.pem", key=directory / "client.key")
        tls.ca.write_text(given.ca_pem)
        tls.certificate.write_text(given.certificate_pem)
        tls.key.write_bytes(authority.key_pem(key))
        information = HostNetworkInformation(
            host=name, public_address=IPv4Address("198.51.100.1"), interfaces=(), listen_port=51820,
            public_key=seal.new_pair()[1], seal_key="", certificate=own_certificate(tls),
        )  # fmt: skip
        self.removed.discard(name)
        self.hosts[name] = Host(name, tls, SharedStore(self.store, tls, {}), information)

    def leave(self, host: Host) -> None:
        membership.leave_group(self.store, host=host.name, group=self.group)
        host.is_in = False

    def come_back(self, host: Host) -> None:
        membership.join_group(self.store, host=host.name, group=self.group)
        host.is_in = True
        self._say(host)

    def remove(self, host: Host) -> None:
        membership.remove_host(self.store, host.name)
        del self.hosts[host.name]
        self.removed.add(host.name)

    def vanish(self, host: Host) -> None:
        self.store.delete(keys.presence(self.group, host.name))
        host.is_there = False

    def appear(self, host: Host) -> None:
        self._say(host)

    def move(self, host: Host) -> None:
        address = IPv4Address("203.0.113.0") + self.dice.randrange(256)
        host.information = replace(host.information, public_address=address)
        host.store.put(keys.host_information(self.group, host.name), host.information)

    def _say(self, host: Host) -> None:
        host.store.put(keys.host_information(self.group, host.name), host.information)
        self.store.put(keys.presence(self.group, host.name), host.name)
        host.is_there = True

    def wrong(self) -> list[str]:
        """What is not as it should be once every controller has done its work."""
        rules = {
            name: each.value for name, each in self.store.children(keys.rules_of(self.group), NetworkingRule).items()
        }
        claims = self.store.list(keys.addresses_of(self.group), str).items
        staying = {name: host for name, host in self.hosts.items() if host.is_in}
        found = [f"no rule: {name}" for name in staying.keys() - rules.keys()]
        found += [f"a rule of one that is gone: {name}" for name in rules.keys() - staying.keys()]
        for name in rules.keys() & staying.keys():
            rule, host = rules[name], staying[name]
            if rule.public_key != host.information.public_key:
                found.append(f"another's key: {name}")
            if host.information.public_address not in {endpoint.address for endpoint in rule.endpoints}:
                found.append(f"not where it is: {name}")
            if rule.state != (HostState.ACTIVE if host.is_there else HostState.UNREACHABLE):
                found.append(f"{rule.state}, and there: {host.is_there}: {name}")
        claimed = {IPv4Address(keys.last_segment(each.key)): each.value for each in claims}
        if claimed != {rule.address: name for name, rule in rules.items()}:
            found.append(f"claims {claimed}")
        return found


class Controllers:
    """`larva controller`, several times over."""

    def __init__(self, node: Any, directory: Path) -> None:
        self._node, self._directory = node, directory
        self._running: list[tuple[subprocess.Popen[bytes], Path]] = []
        self.killed = 0

    def start(self) -> None:
        """Start one more."""
        state = {"LARVA_STATE": f"{self._node.directory}/state", "LARVA_CONFIG": f"{self._node.directory}/config"}
        argv = [str(Path(sys.executable).with_name("larva")), "controller", "--metrics", "off", "--grace", "0.5"]
        said = self._directory / f"controller-{self.killed + len(self._running)}.log"
        with said.open("wb") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, **state})
        self._running.append((process, said))

    def kill_one(self, dice: random.Random) -> None:
        """Kill one that has done something, if there is one, and start another in its place."""
        at_work = [each for each in self._running if b"crowd-" in each[1].read_bytes()]
        if not at_work:
            return
        process, said = each = dice.choice(at_work)
        assert process.poll() is None, said.read_text()[-3000:]
        self._running.remove(each)
        process.kill()
        process.wait(timeout=20)
        self.killed += 1
        self.start()

    def end(self) -> None:
        for process, _ in self._running:
            process.kill()
            process.wait(timeout=20)


def history(store: Store, prefix: str, revisions: range) -> Iterator[dict[str, Any]]:
    """What was under a prefix at each revision, by name."""
    key, end = prefix.encode(), prefix_range_end(prefix.encode())
    for revision in revisions:
        request = etcdrpc.RangeRequest(key=key, range_end=end, revision=revision)
        answer, _ = store.cluster.call(
            "look back", lambda end, seconds, request=request: end.kv.Range(request, timeout=seconds)
        )
        yield {keys.last_segment(found.key.decode()): json.loads(found.value) for found in answer.kvs}


def test_controllers_that_are_killed_at_any_moment_give_no_address_twice(
    control_node_factory: Any, tmp_path: Path
) -> None:
    print(f"LARVA_SEED={SEED}")
    dice = random.Random(SEED)
    node = control_node_factory()
    node.found()
    controllers = Controllers(node, tmp_path)
    try:
        with node.store() as store:
            group = networks.create(store, name="crowd", cidr="10.77.0.0/24").id
            first = store.put("larva-test/mark", 0)
            for _ in range(CONTROLLERS):
                controllers.start()
            crowd = Crowd(node, group, store, tmp_path, dice)
            steps, deadline = 0, time.monotonic() + PATIENCE_S
            while steps < STEPS or controllers.killed < LEAST_KILLED:
                assert time.monotonic() < deadline, f"only {controllers.killed} controllers were at work"
                if steps and steps % (STEPS // 4) == 0 and len(crowd.hosts) < HOSTS:
                    crowd.burst()
                print(crowd.step())
                steps += 1
                time.sleep(dice.uniform(0, 0.1))  # controllers see one change, or several at once
                if dice.random() < KILLED:
                    controllers.kill_one(dice)
            deadline = time.monotonic() + PATIENCE_S
            while wrong := crowd.wrong():
                assert time.monotonic() < deadline, wrong
                time.sleep(0.2)
            revisions = range(first, store.put("larva-test/mark", 1))
            owned: dict[str, str] = {}
            for revision, rules, claims in zip(
                revisions,
                history(store, keys.rules_of(group), revisions),
                history(store, keys.addresses_of(group), revisions),
                strict=True,
            ):
                given = {rule["address"]: name for name, rule in rules.items()}
                assert len(given) == len(rules), f"an address twice at revision {revision}: {rules}"
                assert given.items() <= claims.items(), f"an address that is not claimed at revision {revision}"
                for address, name in given.items():
                    assert owned.setdefault(name, address) == address, f"{name} was given another address"
            print(f"{len(revisions)} revisions, {controllers.killed} controllers killed, {len(owned)} hosts")
            assert len(set(owned.values())) == len(owned), "what rests is given to nobody else"
    finally:
        controllers.end()
