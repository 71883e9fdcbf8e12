"""The control nodes as values: the record of them, and what is said of each."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cladnet.control import census, record
from cladnet.control.census import NodeState
from cladnet.control.etcd_members import EtcdMember, EtcdStatus
from cladnet.model import ControlNode, ControlPlane
from larva import codec
from larva.errors import Unavailable

HOSTS = ("alpha", "beta", "gamma", "delta")
PLANE = ControlPlane(server="https://alpha:8443", ca="sha256:", etcd_endpoints=("https://alpha:2379",))


def node(host: str, *, ready: bool = True) -> ControlNode:
    return ControlNode(
        host=host, server=f"https://{host}:8443", etcd_endpoint=f"https://{host}:2379", peer_url=f"https://{host}:2380",
        ready=ready,
    )  # fmt: skip


steps = st.lists(st.tuples(st.sampled_from(HOSTS), st.sampled_from(["joining", "ready", "gone"])), max_size=20)


@given(steps)
def test_the_record_sends_clients_to_ready_nodes_and_to_somebody_always(steps: list[tuple[str, str]]) -> None:
    plane, expected = record.with_node(PLANE, node("alpha")), {"alpha": True}
    for host, step in steps:
        if step == "gone":
            expected.pop(host, None)
            plane = record.without_node(plane, host)
        else:
            expected[host] = step == "ready"
            plane = record.with_node(plane, node(host, ready=step == "ready"))
        assert {each.host: each.ready for each in plane.nodes} == expected
        ready = {host for host, is_ready in expected.items() if is_ready}
        if ready:
            assert set(plane.etcd_endpoints) == {f"https://{host}:2379" for host in ready}
            assert set(plane.servers) == {f"https://{host}:8443" for host in ready}
        assert plane.etcd_endpoints
        assert plane.servers[0] == plane.server


@given(st.sampled_from(HOSTS))
def test_recording_twice_changes_nothing(host: str) -> None:
    once = record.with_node(record.with_node(PLANE, node("alpha")), node(host))
    assert record.with_node(once, node(host)) == once
    gone = record.without_node(once, host)
    assert record.without_node(gone, host) == gone


def test_a_record_from_before_nodes_were_kept_is_read() -> None:
    old = {"server": "https://a:8443", "ca": "sha256:", "etcd_endpoints": ["https://a:2379"]}
    plane = codec.decode(codec.encode(old), ControlPlane, source="etcd")
    assert (plane.nodes, plane.servers) == ((), ("https://a:8443",))


def member(host: str, number: int, *, started: bool = True, is_learner: bool = False) -> EtcdMember:
    urls = (f"https://{host}:2379",) if started else ()
    return EtcdMember(
        id=number, name=host if started else "", peer_urls=(f"https://{host}:2380",), client_urls=urls,
        is_learner=is_learner,
    )  # fmt: skip


WELL = EtcdStatus(member=1, leader=1, version="3.4.23", db_bytes=10, is_learner=False, errors=())


@pytest.mark.parametrize(
    ("found", "answer", "state", "votes"),
    [
        (None, None, NodeState.JOINING, False),
        (member("alpha", 1, started=False, is_learner=True), None, NodeState.JOINING, False),
        (member("alpha", 1, is_learner=True), WELL, NodeState.LEARNER, False),
        (member("alpha", 1, is_learner=True), Unavailable("no route"), NodeState.LEARNER, False),
        (member("alpha", 1), WELL, NodeState.HEALTHY, True),
        (member("alpha", 1), Unavailable("no route"), NodeState.SILENT, True),
        (member("alpha", 1), replace(WELL, leader=0), NodeState.UNHEALTHY, True),
        (member("alpha", 1), replace(WELL, errors=("NOSPACE",)), NodeState.UNHEALTHY, True),
    ],
)
def test_each_state_of_a_node_has_its_word(
    found: EtcdMember | None, answer: census.Answer | None, state: NodeState, votes: bool
) -> None:
    members = [found] if found else []
    [view] = census.views([node("alpha")], members, {1: answer} if answer is not None else {})
    assert (view.state, view.votes, view.host, view.address) == (state, votes, "alpha", "alpha")
    assert bool(view.problem) == (answer is not WELL)


def test_a_member_that_nobody_recorded_is_shown() -> None:
    found = census.views([node("alpha")], [member("alpha", 1), member("stranger", 2)], {1: WELL})
    assert [(each.host, each.state) for each in found] == [
        ("alpha", NodeState.HEALTHY), ("stranger", NodeState.SILENT),
    ]  # fmt: skip
