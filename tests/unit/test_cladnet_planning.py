"""The controller's plan, played by several controllers at once in memory: it never gives an address twice."""

import base64
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Network

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cladnet import keys
from cladnet.control.planning import Step, World, plan
from cladnet.etcd.store import Put, Versioned
from cladnet.model import (
    CladnetSpecification,
    CloudFacts,
    CloudOverride,
    Command,
    ControlCommand,
    HostNetworkInformation,
    HostState,
    NetworkInterface,
    ReleasedAddress,
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


def host_information(
    host: str, network: str, key: str | None = None, *, has_ipv6: bool = True, own6: str | None = None
) -> HostNetworkInformation:
    return HostNetworkInformation(
        host=host,
        public_address=None,
        interfaces=(NetworkInterface(name="eth0", mtu=1500, addresses=(IPv4Interface(network),)),),
        listen_port=51820,
        public_key=key_of(key or host),
        seal_key="",
        has_ipv6=has_ipv6,
        networks6=(IPv6Network(own6),) if own6 else (),
    )


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
QUARANTINE_S = SPECIFICATION.address_quarantine_s


def look(memory: Memory, lost: frozenset[str] = frozenset(), now: datetime = NOON) -> World:
    claims = memory.under(keys.addresses_of(GROUP))
    commands = memory.under(f"{keys.COMMAND}{GROUP}/")
    value, revision = memory.values[keys.configuration(GROUP)]
    return World(
        specification=Versioned(keys.configuration(GROUP), value, revision),
        informations=memory.under(keys.hosts_of(GROUP)),
        claims={IPv4Address(address): claim for address, claim in claims.items()},
        released={IPv4Address(address): each for address, each in memory.under(keys.released_of(GROUP)).items()},
        rules=memory.under(keys.rules_of(GROUP)),
        commands={host: command.value for host, command in commands.items()},
        present=frozenset(memory.under(keys.presences_of(GROUP))),
        now=now,
        lost=lost,
        clouds=memory.under(keys.cloud_overrides_of(GROUP)),
    )


@dataclass(frozen=True)
class Planned:
    """What a controller saw, and what of its plan it has not written yet."""

    world: World
    steps: list[Step]
    given: set[IPv4Address]


def addresses_of(memory: Memory) -> dict[IPv4Address, str]:
    return {each.value.address: host for host, each in memory.under(keys.rules_of(GROUP)).items()}


class Controllers(RuleBasedStateMachine):
    """Hosts come, go, move and vanish; controllers look at one time and write at another, and die in the middle.

    `had` is a book of our own on who had which address until when, kept by looking at the rules alone.
    """

    @initialize()
    def begin(self) -> None:
        self.memory = Memory()
        self.memory.put(keys.configuration(GROUP), SPECIFICATION)
        self.plans: list[Planned] = []
        self.now = NOON
        self.had: dict[IPv4Address, tuple[str, datetime]] = {}

    @rule(
        host=st.sampled_from(HOSTS), network=st.sampled_from(["10.0.0.4/24", "10.0.1.4/24", "10.77.0.5/24"]),
        has_ipv6=st.booleans(), own6=st.sampled_from([None, "fd00:1::/64"]),
    )  # fmt: skip
    def publish(self, host: str, network: str, *, has_ipv6: bool, own6: str | None) -> None:
        told = host_information(host, network, has_ipv6=has_ipv6, own6=own6)
        self.memory.put(keys.host_information(GROUP, host), told)

    @rule(prefix=st.sampled_from([None, IPv6Network("fd00:1::/64"), IPv6Network("fd00:2::/64")]))
    def change_ipv6(self, prefix: IPv6Network | None) -> None:
        self.memory.put(keys.configuration(GROUP), replace(SPECIFICATION, cidr6=prefix))

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
        self.memory.put(keys.cloud_override(GROUP, host), CloudOverride(cloud=CloudFacts(provider=provider)))

    @rule(seconds=st.sampled_from([1, 600, 3000, 3600, 10**8]))
    def time_goes_by(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(seconds=st.sampled_from([1, 600, 3600, 10**8]))
    def the_clock_is_set_back(self, seconds: int) -> None:
        self.now -= timedelta(seconds=seconds)
        self.had.clear()  # how long an address rests is anybody's guess now; that two hosts share none is not

    @rule(lost=st.frozensets(st.sampled_from(HOSTS)))
    def a_controller_looks(self, lost: frozenset[str]) -> None:
        present = set(self.memory.under(keys.presences_of(GROUP)))
        world = look(self.memory, lost - present, self.now)
        steps = list(plan(world))
        claimed = {
            IPv4Address(keys.last_segment(operation.key))
            for step in steps
            for operation in step.operations
            if isinstance(operation, Put) and operation.key.startswith(keys.addresses_of(GROUP))
        }
        self.plans.append(Planned(world, steps, claimed))

    @precondition(lambda self: self.plans)
    @rule(data=st.data())
    def a_controller_writes(self, data: st.DataObject) -> None:
        chosen = self.plans[data.draw(st.integers(0, len(self.plans) - 1))]
        if not chosen.steps:
            return
        before = addresses_of(self.memory)
        self.memory.carry_out(chosen.steps.pop(0))
        after = addresses_of(self.memory)
        for address, host in after.items() - before.items():
            self._check_rest(address, host, chosen)
        for address, host in before.items() - after.items():
            self.had[address] = (host, chosen.world.now)

    def _check_rest(self, address: IPv4Address, host: str, by: Planned) -> None:
        last, until = self.had.pop(address, (host, by.world.now))
        over = by.world.now - until >= timedelta(seconds=QUARANTINE_S)
        if last != host and not over:
            others = by.world.claims.keys() | by.world.released.keys() | by.given
            assert set(SPECIFICATION.cidr.hosts()) <= others, f"{host} got {address} of {last}, {by.world.now - until}"

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
        second = [found.value.address6 for found in rules.values() if found.value.address6 is not None]
        assert len(second) == len(set(second))

    def teardown(self) -> None:
        """Left alone, one controller comes to rest, and then everything fits; later no address rests any more."""
        later = self.now + timedelta(days=10**4)
        for now in (self.now, later):
            for _ in range(5):
                steps = plan(look(self.memory, now=now))
                for step in steps:
                    self.memory.carry_out(step)
                if not steps:
                    break
            assert plan(look(self.memory, now=now)) == ()
        assert not self.memory.under(keys.released_of(GROUP))
        rules, informations = self.memory.under(keys.rules_of(GROUP)), self.memory.under(keys.hosts_of(GROUP))
        assert rules.keys() <= informations.keys()
        prefix = self.memory.values[keys.configuration(GROUP)][0].cidr6
        for host, found in rules.items():
            told = informations[host].value
            if told.public_key == found.value.public_key:  # else it keeps its rule as it was
                can = prefix is not None and told.has_ipv6 and prefix not in told.networks6
                assert (found.value.address6 is not None) == can
                assert not can or found.value.address6 in prefix
        clouds = self.memory.under(keys.cloud_overrides_of(GROUP))
        assert clouds.keys() <= informations.keys()
        for host, found in rules.items():
            if informations[host].value.public_key == found.value.public_key:  # else it keeps its rule as it was
                assert found.value.cloud == (clouds[host].value.cloud if host in clouds else CloudFacts())
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


def test_a_host_that_comes_back_has_its_address_back_and_another_name_has_not() -> None:
    memory = world_of(host_information("a", "10.0.0.4/24"))
    before = settle(memory)["a"].value.address
    memory.delete(keys.host_information(GROUP, "a"))
    assert settle(memory) == {}
    memory.put(keys.host_information(GROUP, "b"), host_information("b", "10.0.0.5/24"))
    assert settle(memory)["b"].value.address == before + 1
    # Installed anew: another key, the same name, which enrolment gives to one host at a time.
    memory.put(keys.host_information(GROUP, "a"), host_information("a", "10.0.0.6/24", key="new"))
    assert settle(memory)["a"].value.address == before
    assert not memory.under(keys.released_of(GROUP))


def test_a_plan_made_before_an_address_was_used_and_released_is_not_carried_out_after() -> None:
    memory = world_of(host_information("b", "10.0.0.5/24"))
    stale = plan(look(memory))
    memory.put(keys.host_information(GROUP, "a"), host_information("a", "10.0.0.4/24"))
    assert memory.carry_out(plan(look(memory))[0])  # a has its address, and this controller dies before b has one
    (address,) = addresses_of(memory)
    memory.delete(keys.host_information(GROUP, "a"))
    drop = next(step for step in plan(look(memory)) if step.why == "drop the rule of a")
    assert memory.carry_out(drop)
    # For all that the plan is about, nothing has changed since it was made.
    assert [step.why for step in stale] == [f"give the rule of b at {address}"]
    assert not memory.carry_out(stale[0])
    rest = memory.under(keys.released_of(GROUP))[str(address)].value
    assert rest == ReleasedAddress(host="a", released_at=NOON)
