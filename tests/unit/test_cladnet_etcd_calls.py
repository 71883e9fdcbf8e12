"""What a call to etcd makes of the answers of single members."""

import grpc
import pytest

from cladnet.etcd.cluster import Cluster, Endpoint
from larva.errors import Unavailable

URLS = ["http://127.0.0.1:1", "http://127.0.0.2:1"]


class Answered(grpc.RpcError):  # type: ignore[misc] # as gRPC's own errors are read: by code() and details()
    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self._answer = code, details

    def code(self) -> grpc.StatusCode:
        return self._answer[0]

    def details(self) -> str:
        return self._answer[1]


@pytest.mark.parametrize("details", ["context deadline exceeded", "context canceled"])
def test_a_member_that_ends_a_call_itself_is_one_that_did_not_answer(details: str) -> None:
    """etcd says so with code UNKNOWN when its clock is a moment ahead of the caller's; the other member is asked."""
    cluster = Cluster(URLS, tls=None, timeout=5.0, first=True)
    asked: list[str] = []

    def ask(endpoint: Endpoint, _seconds: float) -> str:
        asked.append(endpoint.url)
        if endpoint.url == URLS[0]:
            raise Answered(grpc.StatusCode.UNKNOWN, details)
        return "done"

    assert cluster.call("write KEY", ask) == ("done", True), "and the first may have done it"
    assert asked == URLS


def test_a_cluster_whose_members_all_end_calls_themselves_is_away() -> None:
    cluster = Cluster(URLS, tls=None, timeout=0.3, first=True)

    def ask(_endpoint: Endpoint, _seconds: float) -> None:
        raise Answered(grpc.StatusCode.UNKNOWN, "context deadline exceeded")

    with pytest.raises(Unavailable, match=r"no etcd endpoint answered within 0\.3 s .*context deadline exceeded"):
        cluster.call("write KEY", ask)


def test_another_unknown_answer_is_told_as_it_is() -> None:
    cluster = Cluster(URLS, tls=None, timeout=5.0, first=True)

    def ask(_endpoint: Endpoint, _seconds: float) -> None:
        raise Answered(grpc.StatusCode.UNKNOWN, "etcdserver: corrupt cluster")

    with pytest.raises(Unavailable, match="answered UNKNOWN: etcdserver: corrupt cluster"):
        cluster.call("write KEY", ask)
