"""What is kept up rule by rule is what the pure function says of all rules, after any changes."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network

from hypothesis import given, settings
from hypothesis import strategies as st

from cladnet.agent.kept_peering import KeptPeering
from cladnet.agent.peering import wanted
from cladnet.agent.rule_cache import NetworkView
from cladnet.datapath.peers import told_anew
from cladnet.datapath.protocol import Peer
from cladnet.model import (
    CladnetSpecification,
    CladnetState,
    CloudFacts,
    Command,
    Endpoint,
    EndpointKind,
    HostState,
    NetworkingRule,
    RuleType,
)

HOSTS = ["a", "b", "c", "d", "e"]
SUBNET = IPv4Network("10.0.0.0/24")
KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(1, 6)]


def specification(number: int = 0, **changes: object) -> CladnetSpecification:
    fields = {
        "id": "g", "name": "g", "cidr": IPv4Network("10.7.0.0/28"), "rule_type": list(RuleType)[number % 2],
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
    }  # fmt: skip
    return CladnetSpecification(**(fields | changes))  # type: ignore[arg-type]


def rule(host: str, key: str, address: int, port: int = 1, state: HostState = HostState.ACTIVE) -> NetworkingRule:
    return NetworkingRule(
        host=host, address=IPv4Address("10.7.0.0") + address, public_key=key, state=state,
        endpoints=(
            Endpoint(kind=EndpointKind.PUBLIC, address=IPv4Address("203.0.113.1"), port=port),
            Endpoint(kind=EndpointKind.PRIVATE, address=IPv4Address("10.0.0.1"), port=port, network=SUBNET),
        ),
        cloud=CloudFacts(provider="x", network_id=str(port % 2)),
    )  # fmt: skip


rules = st.builds(
    rule,
    st.just("?"),
    st.sampled_from([*KEYS, "no key"]),
    st.sampled_from([1, 2, 3, 4, 5, 99]),
    st.integers(1, 4),
    st.sampled_from(HostState),
)
sound_rules = st.builds(rule, st.just("?"), st.just("own"), st.just(0), st.integers(1, 4), st.sampled_from(HostState))
changes = st.dictionaries(st.sampled_from(HOSTS), st.none() | rules | sound_rules, max_size=3)
specifications = st.sampled_from([
    None, specification(), specification(1), specification(0, state=CladnetState.DELETING),
    specification(0, cidr=IPv4Network("10.7.0.0/30")),
])  # fmt: skip
terms = st.tuples(specifications, st.sampled_from([Command.UP, Command.UP, Command.UP, Command.DOWN]))
steps = st.lists(st.tuples(changes, st.booleans(), terms), min_size=1, max_size=12)


def named(host: str, value: NetworkingRule | None) -> NetworkingRule | None:
    """The rule as this host's; one of its own key and address where it may have no other's."""
    if value is None:
        return None
    number = HOSTS.index(host)
    own = value.public_key == "own"
    return NetworkingRule(
        host=host, address=IPv4Address("10.7.0.1") + number if own else value.address,
        public_key=KEYS[number] if own else value.public_key, endpoints=value.endpoints, cloud=value.cloud,
        state=value.state,
    )  # fmt: skip


@settings(max_examples=400)
@given(steps, st.sampled_from(HOSTS))
def test_it_is_what_the_pure_function_says_and_the_deltas_lead_there(
    taken: Sequence[tuple[dict[str, NetworkingRule | None], bool, tuple[CladnetSpecification | None, Command]]],
    me: str,
) -> None:
    known: dict[str, NetworkingRule] = {}
    kept = KeptPeering(me, known, private_key="p", listen_port=5)
    now: tuple[CladnetSpecification | None, Command] = (specification(), Command.UP)
    driver: dict[str, Peer] = {}
    for changed, with_terms, new_terms in taken:
        now = new_terms if with_terms else now
        for host, value in changed.items():
            new = named(host, value)
            if new is None:
                known.pop(host, None)
            else:
                known[host] = new
        delta = kept.update(*now, changed)
        for key in delta.removed:
            del driver[key]
        for peer in delta.changed:
            assert driver.get(peer.public_key) != peer  # what is right is not touched
            driver[peer.public_key] = peer
        view = kept.view(*now)
        assert view == (
            None if now[0] is None
            else NetworkView(specification=now[0], rules=tuple(known[host] for host in sorted(known)), command=now[1])
        )  # fmt: skip
        expected = wanted(view, me, private_key="p", listen_port=5)
        found = kept.wanted()
        assert (found is None) == (expected is None)
        assert driver == {peer.public_key: peer for peer in (expected.peers if expected else ())}
        if found is not None and expected is not None:
            assert found.tunnel == expected.tunnel
            assert {peer.public_key: peer for peer in found.peers} == driver


def test_a_changed_rule_computes_no_other(monkeypatch) -> None:
    known = {host: rule(host, KEYS[number], number + 1) for number, host in enumerate(HOSTS)}
    kept = KeptPeering("a", known, private_key="p", listen_port=5)
    assert len(kept.update(specification(), Command.UP, known).changed) == 4
    computed = []
    monkeypatch.setattr("cladnet.agent.kept_peering.wanted", lambda *_, **__: computed.append("all"))
    monkeypatch.setattr(
        "cladnet.agent.kept_peering.peer_of", lambda mine, other, _: computed.append(other.host) or Peer(
            public_key=other.public_key, endpoint=None, allowed=()
        )
    )  # fmt: skip
    known["c"] = rule("c", KEYS[2], 3, port=9)
    delta = kept.update(specification(), Command.UP, {"c"})
    assert (computed, [peer.public_key for peer in delta.changed], delta.removed) == (["c"], [KEYS[2]], ())


def test_two_hosts_may_change_places_in_one_step() -> None:
    known = {host: rule(host, KEYS[number], number + 1) for number, host in enumerate(HOSTS)}
    kept = KeptPeering("a", known, private_key="p", listen_port=5)
    kept.update(specification(), Command.UP, known)
    known["b"], known["c"] = rule("b", KEYS[2], 3, port=7), rule("c", KEYS[1], 2, port=8)
    delta = kept.update(specification(), Command.UP, {"b", "c"})
    assert {peer.public_key for peer in delta.changed} == {KEYS[1], KEYS[2]}
    assert delta.removed == ()


def test_a_driver_is_told_an_endpoint_only_when_another_is_wanted() -> None:
    endpoint = (IPv4Address("203.0.113.1"), 1)
    peer = Peer(public_key="k", endpoint=endpoint, allowed=())
    roamed = told_anew([peer], ["gone"], {"k": peer})
    assert (roamed.removed, [change.endpoint for change in roamed.changed]) == (("gone",), [None])
    assert [change.endpoint for change in told_anew([peer], [], {}).changed] == [endpoint]
    moved = told_anew([peer], [], {"k": replace(peer, endpoint=(endpoint[0], 2))})
    assert [change.endpoint for change in moved.changed] == [endpoint]


def test_a_driver_is_told_to_replace_what_a_peer_is_allowed_only_when_something_goes() -> None:
    one, other = IPv4Network("10.77.0.1/32"), IPv4Network("10.77.0.2/32")
    before = Peer(public_key="k", endpoint=None, allowed=(one,))
    for allowed, only_adds in (((one,), True), ((one, other), True), ((other,), False), ((), False)):
        (change,) = told_anew([replace(before, allowed=allowed)], [], {"k": before}).changed
        assert change.only_adds == only_adds
    assert not told_anew([before], [], {}).changed[0].only_adds
