"""The controller's plan, played by several controllers at once in memory: it never gives an address twice."""

import base64
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cladnet import keys
from cladnet.control.planning import Step, World, plan
from cladnet.etcd.store import Put, Versioned
from cladnet.model import (
    CladnetSpecification,
    CloudFacts,
    Command,
    ControlCommand,
    HostNetworkInformation,
    HostState,
    NetworkInterface,
)

GROUP = "g-1"
SPECIFICATION = CladnetSpecification(
    id=GROUP, name="g", cidr=IPv4Network("10.77.0.0/29"), created_at=datetime(2026, 1, 1, tzinfo=UTC)
)
HOSTS = [f"host-{number}" for number in range(8)]  # more than the six addresses


class Memory:
    """etcd's keys and transactions."""

    def __init__(self) -> None:
        self.revision = 1
        self.values: dict[str, tuple[object, int]] = {}

    def put(self, key: str, value: object) -> None:
        self.revision += 1
        self.values[key] = (value, self.revision)

    def delete(self, key: str) -> None:
        self.revision += 1
        self.values.pop(key, None)

    def carry_out(self, step: Step) -> bool:
        if any(self.values.get(c.key, (None, 0))[1] != c.revision for c in step.conditions):
            return False
        for operation in step.operations:
            if isinstance(operation, Put):
                self.put(operation.key, operation.value)
            else:
                self.delete(operation.key)
        return True

    def under(self, prefix: str) -> dict[str, Versioned]:
        return {
            keys.last_segment(key): Versioned(key, value, revision)
            for key, (value, revision) in self.values.items()
            if key.startswith(prefix)
        }


def key_of(name: str) -> str:
    return base64.b64encode(name.encode().ljust(32, b".")).decode()


def host_information(host: str, network: str, key: str | None = None) -> HostNetworkInformation:
    return HostNetworkInformation(
        host=host,
        public_address=None,
        interfaces=(NetworkInterface(name="eth0", mtu=1500, addresses=(IPv4Interface(network),)),),
        listen_port=51820,
        public_key=key_of(key or host),
        seal_key="",
    )


def look(memory: Memory, lost: frozenset[str] = frozenset()) -> World:
    claims = memory.under(keys.addresses_of(GROUP))
    commands = memory.under(f"{keys.COMMAND}{GROUP}/")
    value, revision = memory.values[keys.configuration(GROUP)]
    return World(
        specification=Versioned(keys.configuration(GROUP), value, revision),
        informations=memory.under(keys.hosts_of(GROUP)),
        claims={IPv4Address(address): claim for address, claim in claims.items()},
        rules=memory.under(keys.rules_of(GROUP)),
        commands={host: command.value for host, command in commands.items()},
        present=frozenset(memory.under(keys.presences_of(GROUP))),
        lost=lost,
        clouds=memory.under(keys.cloud_overrides_of(GROUP)),
    )


class Controllers(RuleBasedStateMachine):
    """Hosts come, go, move and vanish; controllers look at one time and write at another, and die in the middle."""

    @initialize()
    def begin(self) -> None:
        self.memory = Memory()
        self.memory.put(keys.configuration(GROUP), SPECIFICATION)
        self.plans: list[list[Step]] = []

    @rule(host=st.sampled_from(HOSTS), network=st.sampled_from(["10.0.0.4/24", "10.0.1.4/24", "10.77.0.5/24"]))
    def publish(self, host: str, network: str) -> None:
        self.memory.put(keys.host_information(GROUP, host), host_information(host, network))

    @rule(host=st.sampled_from(HOSTS), victim=st.sampled_from(HOSTS))
    def take_a_key(self, host: str, victim: str) -> None:
        self.memory.put(keys.host_information(GROUP, host), host_information(host, "10.0.2.4/24", victim))

    @rule(host=st.sampled_from(HOSTS), last=st.integers(1, 6))
    def sit_on_an_address(self, host: str, last: int) -> None:
        key = keys.address(GROUP, f"10.77.0.{last}")
        if key not in self.memory.values:
            self.memory.put(key, host)

    @rule(host=st.sampled_from(HOSTS))
    def leave(self, host: str) -> None:
        self.memory.delete(keys.host_information(GROUP, host))

    @rule(host=st.sampled_from(HOSTS))
    def come_to_life(self, host: str) -> None:
        self.memory.put(keys.presence(GROUP, host), host)

    @rule(host=st.sampled_from(HOSTS))
    def die(self, host: str) -> None:
        self.memory.delete(keys.presence(GROUP, host))

    @rule(host=st.sampled_from(HOSTS), command=st.sampled_from(list(Command)))
    def command(self, host: str, command: Command) -> None:
        self.memory.put(keys.command(GROUP, host), ControlCommand(command=command))

    @rule(host=st.sampled_from(HOSTS), provider=st.sampled_from(["aws", "gcp"]))
    def say_where(self, host: str, provider: str) -> None:
        self.memory.put(keys.cloud_override(GROUP, host), CloudFacts(provider=provider))

    @rule(lost=st.frozensets(st.sampled_from(HOSTS)))
    def a_controller_looks(self, lost: frozenset[str]) -> None:
        present = set(self.memory.under(keys.presences_of(GROUP)))
        self.plans.append(list(plan(look(self.memory, lost - present))))

    @precondition(lambda self: self.plans)
    @rule(data=st.data())
    def a_controller_writes(self, data: st.DataObject) -> None:
        chosen = data.draw(st.integers(0, len(self.plans) - 1))
        if self.plans[chosen]:
            self.memory.carry_out(self.plans[chosen].pop(0))

    @precondition(lambda self: self.plans)
    @rule()
    def a_controller_dies(self) -> None:
        self.plans.pop()

    @invariant()
    def no_two_hosts_share_an_address(self) -> None:
        rules = self.memory.under(keys.rules_of(GROUP))
        addresses = [found.value.address for found in rules.values()]
        assert len(addresses) == len(set(addresses))
        assert all(address in SPECIFICATION.cidr for address in addresses)
        claims = self.memory.under(keys.addresses_of(GROUP))
        for host, found in rules.items():
            assert claims[str(found.value.address)].value == host

    def teardown(self) -> None:
        """Left alone, one controller comes to rest, and then everything fits."""
        for _ in range(5):
            steps = plan(look(self.memory))
            for step in steps:
                self.memory.carry_out(step)
            if not steps:
                break
        assert plan(look(self.memory)) == ()
        rules, informations = self.memory.under(keys.rules_of(GROUP)), self.memory.under(keys.hosts_of(GROUP))
        assert rules.keys() <= informations.keys()
        clouds = self.memory.under(keys.cloud_overrides_of(GROUP))
        assert clouds.keys() <= informations.keys()
        for host, found in rules.items():
            if informations[host].value.public_key == found.value.public_key:  # else it keeps its rule as it was
                assert found.value.cloud == (clouds[host].value if host in clouds else CloudFacts())
        claims = self.memory.under(keys.addresses_of(GROUP))
        assert {claim.value for claim in claims.values()} <= informations.keys()
        public_keys = [each.value.public_key for each in rules.values()]
        assert len(public_keys) == len(set(public_keys))
        announced = [each.value.public_key for each in informations.values()]
        for host in informations.keys() - rules.keys():
            told = informations[host].value
            shared = announced.count(told.public_key) > 1 or told.public_key in public_keys
            assert shared or "10.77" in str(told.interfaces) or len(claims) == 6


Controllers.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestControllers = Controllers.TestCase


def world_of(*informations: HostNetworkInformation) -> Memory:
    memory = Memory()
    memory.put(keys.configuration(GROUP), SPECIFICATION)
    for each in informations:
        memory.put(keys.host_information(GROUP, each.host), each)
    return memory


def settle(memory: Memory, lost: frozenset[str] = frozenset()) -> dict[str, Versioned]:
    for step in plan(look(memory, lost)):
        assert memory.carry_out(step)
    return memory.under(keys.rules_of(GROUP))


def test_a_vanished_host_keeps_its_rule_and_address() -> None:
    memory = world_of(host_information("a", "10.0.0.4/24"))
    before = settle(memory)["a"].value
    assert before.state == HostState.ACTIVE
    after = settle(memory, frozenset({"a"}))["a"].value
    assert (after.state, after.address) == (HostState.UNREACHABLE, before.address)
    memory.put(keys.presence(GROUP, "a"), "a")
    assert settle(memory)["a"].value == before


def test_a_clone_with_the_key_of_another_host_gets_no_rule() -> None:
    memory = world_of(host_information("a", "10.0.0.4/24", "same"))
    settle(memory)
    memory.put(keys.host_information(GROUP, "b"), host_information("b", "10.0.0.5/24", "same"))
    assert set(settle(memory)) == {"a"}


def test_a_host_that_moves_into_the_range_keeps_what_it_has() -> None:
    memory = world_of(host_information("a", "10.0.0.4/24"))
    before = settle(memory)["a"].value.address
    memory.put(keys.host_information(GROUP, "a"), host_information("a", "10.77.0.4/24"))
    assert settle(memory)["a"].value.address == before
    memory.put(keys.host_information(GROUP, "b"), host_information("b", "10.77.0.4/24"))
    assert set(settle(memory)) == {"a"}
