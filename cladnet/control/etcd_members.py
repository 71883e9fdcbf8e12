"""etcd's members: the calls of its Cluster service, and what each member says of itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from etcd3 import etcdrpc
from google.protobuf.unknown_fields import UnknownFieldSet

from cladnet.etcd.cluster import Cluster, Endpoint

_AS_LEARNER = b"\x10\x01"
"""`isLearner: true`, field 2 of MemberAddRequest (etcd 3.4, rpc.proto). The library's stubs are older than learners;
what they do not know of a message they pass on as it is."""
_MEMBER_IS_LEARNER = 5
_STATUS_ERRORS, _STATUS_IS_LEARNER = 8, 10
_PROMOTE = "/etcdserverpb.Cluster/MemberPromote"


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdMember:
    """One member of etcd as the others know it."""

    id: int
    name: str
    """Empty until it started for the first time."""
    peer_urls: tuple[str, ...]
    client_urls: tuple[str, ...]
    is_learner: bool
    """It receives everything and has no vote yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdStatus:
    """What a member says of itself."""

    member: int
    leader: int
    """0 while there is none: it does not reach a majority."""
    version: str
    db_bytes: int
    is_learner: bool
    errors: tuple[str, ...]


class EtcdMembers:
    """Who is a member of etcd, and the changes of it, which take root's certificate.

    etcd itself refuses a change that would lose the majority: `strict-reconfig-check`, on by default.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def list(self) -> tuple[EtcdMember, ...]:
        """Return the members as one of them knows them."""
        return _members(self._call("list etcd's members", "MemberList", etcdrpc.MemberListRequest()).members)

    def add_learner(self, peer_url: str) -> EtcdMember:
        """Let a member without a vote in, before it starts for the first time.

        Raises:
            Conflict: it is one already, or another learner has not been promoted yet.
            Unavailable: a member does not answer, or not for long enough yet.
        """
        request = etcdrpc.MemberAddRequest(peerURLs=[peer_url])
        request.MergeFromString(_AS_LEARNER)
        [member] = _members([self._call(f"add {peer_url} to etcd", "MemberAdd", request).member])
        return member

    def promote(self, member: int) -> None:
        """Give a learner its vote; Conflict while it lags behind the leader, or if it has it already."""
        request = etcdrpc.MemberRemoveRequest(ID=member)  # of the same form: uint64 ID = 1

        def call(endpoint: Endpoint, seconds: float) -> None:
            promote = endpoint.channel.unary_unary(
                _PROMOTE,
                request_serializer=etcdrpc.MemberRemoveRequest.SerializeToString,
                response_deserializer=etcdrpc.MemberListResponse.FromString,
            )
            promote(request, timeout=seconds)

        self._cluster.call(f"give member {member:x} of etcd its vote", call)

    def move(self, member: int, peer_url: str) -> None:
        """Tell the others where a member is now."""
        request = etcdrpc.MemberUpdateRequest(ID=member, peerURLs=[peer_url])
        self._call(f"move member {member:x} of etcd", "MemberUpdate", request)

    def remove(self, member: int) -> None:
        """Take a member out for good; NotFound if it is none."""
        request = etcdrpc.MemberRemoveRequest(ID=member)
        self._call(f"remove member {member:x} from etcd", "MemberRemove", request)

    def status(self) -> EtcdStatus:
        """Return what the one member says that this connection leads to."""
        answer, _ = self._cluster.call(
            "ask etcd how it is",
            lambda end, seconds: end.maintenance.Status(etcdrpc.StatusRequest(), timeout=seconds),
        )
        return EtcdStatus(
            member=answer.header.member_id,
            leader=answer.leader,
            version=answer.version,
            db_bytes=answer.dbSize,
            is_learner=any(_unknown(answer, _STATUS_IS_LEARNER)),
            errors=tuple(each.decode(errors="replace") for each in _unknown(answer, _STATUS_ERRORS)),
        )

    def _call(self, doing: str, method: str, request: Any) -> Any:
        answer, _ = self._cluster.call(
            doing,
            lambda end, seconds: getattr(etcdrpc.ClusterStub(end.channel), method)(request, timeout=seconds),
        )
        return answer


def _members(found: Sequence[Any]) -> tuple[EtcdMember, ...]:
    return tuple(
        EtcdMember(
            id=each.ID,
            name=each.name,
            peer_urls=tuple(each.peerURLs),
            client_urls=tuple(each.clientURLs),
            is_learner=any(_unknown(each, _MEMBER_IS_LEARNER)),
        )
        for each in found
    )


def _unknown(message: Any, number: int) -> list[Any]:
    """The values of a field that the library's stubs are too old to know."""
    return [field.data for field in UnknownFieldSet(message) if field.field_number == number]
