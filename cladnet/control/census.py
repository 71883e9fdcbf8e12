"""The control nodes as they are: who is recorded, who is a member of etcd, and what each says of itself."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from cladnet.access.root import root_tls
from cladnet.control.etcd_members import EtcdMember, EtcdMembers, EtcdStatus
from cladnet.enrol.enrolment import control_plane
from cladnet.etcd.store import Store
from cladnet.member import Member
from cladnet.model import ControlNode
from larva.errors import LarvaError

ANSWER_S = 3.0
"""So long a member may take to say how it is."""


class NodeState(StrEnum):
    """How a control node is, in a word."""

    HEALTHY = "healthy"
    """A member with a vote, in touch with the leader."""
    LEARNER = "learner"
    """It receives everything, and will get its vote when it has caught up."""
    JOINING = "joining"
    """Recorded, but it has not started etcd yet."""
    UNHEALTHY = "unhealthy"
    """It answers, and says what is wrong."""
    SILENT = "silent"
    """It does not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """One control node as `larva control list` shows it."""

    host: str
    """Empty for a member of etcd that nobody recorded."""
    address: str
    state: NodeState
    leader: bool
    member_id: str
    """Hexadecimal, as etcd's own tools show it; empty when it is no member."""
    db_bytes: int | None
    version: str
    etcd_endpoint: str
    server: str
    provider: str
    region: str
    zone: str
    problem: str
    """In etcd's or the network's words; empty when it is well."""

    @property
    def votes(self) -> bool:
        """Whether it is a member of etcd with a vote, be it dead or alive."""
        return bool(self.member_id) and self.state not in (NodeState.LEARNER, NodeState.JOINING)


Answer = EtcdStatus | LarvaError
"""What a member said, or why it said nothing."""


def look(root: Store, member: Member) -> tuple[NodeView, ...]:
    """Return every control node; root's certificate is needed.

    Raises:
        Unavailable: no member of etcd answers, or together they are no majority.
    """
    plane = control_plane(root)
    members = EtcdMembers(root.cluster).list()
    return views(plane.nodes, members, _ask(members, member))


def views(
    nodes: Iterable[ControlNode], members: Iterable[EtcdMember], answers: Mapping[int, Answer]
) -> tuple[NodeView, ...]:
    """Put together what is recorded, what etcd knows, and what its members say of themselves, by member id."""
    left = {each.id: each for each in members}
    found = []
    for node in nodes:
        mine = next((each for each in left.values() if belongs(each, node)), None)
        if mine is not None:
            del left[mine.id]
        found.append(_view(node, mine, answers))
    return (*found, *(_view(None, each, answers) for each in left.values()))


def belongs(member: EtcdMember, node: ControlNode) -> bool:
    """Whether a member of etcd is that control node: by its name or, before its first start, by its address."""
    return member.name == node.host if member.name else node.peer_url in member.peer_urls


def _view(node: ControlNode | None, member: EtcdMember | None, answers: Mapping[int, Answer]) -> NodeView:
    answer = answers.get(member.id) if member is not None else None
    status = answer if isinstance(answer, EtcdStatus) else None
    state, problem = _state(member, answer)
    endpoint = node.etcd_endpoint if node is not None else next(iter(member.client_urls if member else ()), "")
    return NodeView(
        host=node.host if node is not None else member.name if member is not None else "",
        address=urlsplit(endpoint or next(iter(member.peer_urls if member else ()), "")).hostname or "",
        state=state,
        leader=status is not None and status.leader == status.member,
        member_id=f"{member.id:x}" if member is not None else "",
        db_bytes=status.db_bytes if status is not None else None,
        version=status.version if status is not None else "",
        etcd_endpoint=endpoint,
        server=node.server if node is not None else "",
        provider=node.cloud.provider if node is not None else "",
        region=node.cloud.region if node is not None else "",
        zone=node.cloud.zone if node is not None else "",
        problem=problem,
    )


def _state(member: EtcdMember | None, answer: Answer | None) -> tuple[NodeState, str]:
    if member is None:
        return NodeState.JOINING, "it is recorded and no member of etcd: its boot has not come that far"
    if isinstance(answer, EtcdStatus):
        if member.is_learner:
            return NodeState.LEARNER, ""
        problems = (*answer.errors, *(() if answer.leader else ("it reaches no leader",)))
        return (NodeState.UNHEALTHY if problems else NodeState.HEALTHY), "; ".join(problems)
    why = answer.message if answer is not None else "it has told no address"
    if not member.name:
        return NodeState.JOINING, "it has not started etcd yet"
    return (NodeState.LEARNER if member.is_learner else NodeState.SILENT), why


def _ask(members: Iterable[EtcdMember], me: Member) -> dict[int, Answer]:
    """What every member says of itself, asked all at once; this host's own where it is sure to be reached."""
    asked = [each for each in members if each.client_urls]
    tls = root_tls()

    def ask(member: EtcdMember) -> Answer:
        urls = me.etcd_endpoints[:1] if member.name == me.host else member.client_urls
        try:
            with Store(urls, tls=tls, timeout=ANSWER_S) as store:
                return EtcdMembers(store.cluster).status()
        except LarvaError as error:
            return error

    return _together(asked, ask)


def _together(asked: list[EtcdMember], ask: Callable[[EtcdMember], Answer]) -> dict[int, Answer]:
    with ThreadPoolExecutor(max_workers=max(1, len(asked))) as pool:
        return dict(zip((each.id for each in asked), pool.map(ask, asked), strict=True))
