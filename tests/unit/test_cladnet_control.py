"""The control nodes as values: the record of them, and what is said of each."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cladnet import following
from cladnet.control import census, prudence, record, siting
from cladnet.control.census import NodeState
from cladnet.control.etcd_members import EtcdMember, EtcdStatus
from cladnet.member import Member
from cladnet.model import CloudFacts, ControlNode, ControlPlane, Role
from cladnet.placement.candidates import Candidates
from cladnet.placement.model import Candidate, Model, Survive
from larva import codec
from larva.errors import InvalidInput, Unavailable

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


def test_a_host_follows_the_record() -> None:
    host = Member(
        host="h", groups=(), roles=(Role.MEMBER,), server="https://alpha:8443", etcd_endpoints=("https://alpha:2379",)
    )
    three = record.with_node(record.with_node(record.with_node(PLANE, node("alpha")), node("beta")), node("gamma"))
    known = following.updated(host, three)
    assert known.server == "https://alpha:8443"
    assert known.etcd_endpoints == tuple(f"https://{name}:2379" for name in ("alpha", "beta", "gamma"))
    assert known.servers == three.servers
    without = following.updated(known, record.without_node(three, "alpha"))
    assert without.server == "https://beta:8443"
    assert "https://alpha:2379" not in without.etcd_endpoints


def test_a_control_node_keeps_its_own_console_and_its_own_etcd_first() -> None:
    inside = "https://127.0.0.1:2379"
    mine = Member(host="beta", groups=(), roles=(Role.CONTROL,), server="https://beta:8443", etcd_endpoints=(inside,))
    plane = record.with_node(record.with_node(PLANE, node("alpha")), node("beta"))
    known = following.updated(mine, plane)
    assert known.etcd_endpoints == (inside, "https://alpha:2379")
    assert known.server == "https://beta:8443"
    assert following.updated(known, plane) == known


views_ = st.lists(st.sampled_from([NodeState.HEALTHY, NodeState.SILENT, NodeState.LEARNER]), min_size=1, max_size=7)


@given(views_, st.integers(0, 6))
def test_no_removal_takes_the_majority_away(states: list[NodeState], which: int) -> None:
    nodes = [view(f"n{number}", state) for number, state in enumerate(states)]
    host = nodes[which % len(nodes)].host
    if prudence.why_not_remove(nodes, host):
        return
    before = [each for each in nodes if each.votes]
    after = [each for each in before if each.host != host]
    if len(after) < len(before):
        assert after
        for voters, alive in ((before, before), (after, after)):
            assert sum(each.state is NodeState.HEALTHY for each in alive) > len(voters) / 2


@given(views_)
def test_a_node_is_added_when_all_are_well(states: list[NodeState]) -> None:
    why = prudence.why_not_add([view(f"n{number}", state) for number, state in enumerate(states)])
    assert bool(why) == (set(states) != {NodeState.HEALTHY})


def test_an_even_number_is_warned_of() -> None:
    assert prudence.outlook(1) == "1 member survives the loss of none"
    assert prudence.outlook(3) == "3 members survive the loss of 1"
    assert "add another" in prudence.outlook(2)
    assert "the loss of 1, no more than 3 would" in prudence.outlook(4)


def view(host: str, state: NodeState, provider: str = "", region: str = "") -> census.NodeView:
    return census.NodeView(
        host=host, address=host, state=state, leader=False, member_id="1", db_bytes=None, version="",
        etcd_endpoint="", server="", provider=provider, region=region, zone=f"{region}-a", problem="",
    )  # fmt: skip


def test_the_next_node_is_advised_where_none_is_yet() -> None:
    places = [("aws", "ap-southeast-2"), ("gcp", "asia-east1"), ("azure", "uksouth")]
    found = Candidates(
        hosts=tuple(
            Candidate(host=f"{csp}-{n}", cloud=CloudFacts(provider=csp, region=region, zone=f"{region}-a"))
            for csp, region in places
            for n in (1, 2)
        ),
        rtts=(),
        remarks=("no test",),
    )
    nodes: list[census.NodeView] = [view("control", NodeState.HEALTHY, "aws", "ap-southeast-2")]
    for expected in ({"gcp", "azure"}, {"gcp", "azure"}):
        advice = siting.advise(nodes, found)
        assert advice.provider in expected - {each.provider for each in nodes}
        assert advice.survive is Survive.CSP_REGION
        assert advice.model is Model.MULTI_CSP_MULTI_REGION
        assert "no test" in advice.warnings
        nodes.append(view(advice.provider, NodeState.HEALTHY, advice.provider, advice.region))
    with pytest.raises(InvalidInput):
        siting.advise(nodes, Candidates(hosts=found.hosts[:2], rtts=()))


def test_a_member_that_nobody_recorded_is_shown() -> None:
    found = census.views([node("alpha")], [member("alpha", 1), member("stranger", 2)], {1: WELL})
    assert [(each.host, each.state) for each in found] == [
        ("alpha", NodeState.HEALTHY), ("stranger", NodeState.SILENT),
    ]  # fmt: skip
