"""The typed store on etcd: values are dataclasses, writes are guarded by revisions, every call is bounded in time."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

from etcd3 import etcdrpc
from etcd3.utils import prefix_range_end

from cladnet import keys
from cladnet.etcd.cluster import Cluster, Endpoint, TlsFiles
from cladnet.etcd.watch import Event, Relist, Watch
from cladnet.member import Member, tls_files
from cladnet.model import Role
from larva import codec
from larva.errors import Conflict, MalformedData, NotFound

__all__ = [
    "Condition", "Delete", "Event", "Lease", "Operation", "Put", "Relist", "Snapshot", "Store", "TlsFiles", "Versioned",
    "Watch",
]  # fmt: skip

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Versioned(Generic[T]):
    """A value as it was read; `revision` is the key's mod_revision."""

    key: str
    value: T
    revision: int


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[T]):
    """Every value under a prefix at one revision of the whole store; a watch goes on at `revision + 1`."""

    revision: int
    items: tuple[Versioned[T], ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """The key was last written at this revision; 0: it does not exist."""

    key: str
    revision: int


class Lease:
    """What keys can be bound to: they vanish when nobody refreshed it for `ttl_s` seconds."""

    def __init__(self, cluster: Cluster, lease_id: int, ttl_s: int) -> None:
        self.id = lease_id
        self.ttl_s = ttl_s
        self._cluster = cluster

    def refresh(self) -> bool:
        """Start the time anew; False when the lease is gone. Unavailable when etcd does not answer."""

        def keep_alive(endpoint: Endpoint, seconds: float) -> int:
            stream = endpoint.lease.LeaseKeepAlive(iter([etcdrpc.LeaseKeepAliveRequest(ID=self.id)]), timeout=seconds)
            try:
                answer = next(stream, None)
                return int(answer.TTL) if answer is not None else 0  # ended without a word
            finally:
                stream.cancel()

        ttl, _ = self._cluster.call("refresh a lease", keep_alive)
        return ttl > 0

    def revoke(self) -> None:
        """End it and delete its keys at once; a lease that is gone already is no error."""
        request = etcdrpc.LeaseRevokeRequest(ID=self.id)
        try:
            self._cluster.call("revoke a lease", lambda end, seconds: end.lease.LeaseRevoke(request, timeout=seconds))
        except NotFound:
            log.debug("lease %x was gone already", self.id)


@dataclass(frozen=True, slots=True)
class Put:
    """Write a value; bound to a lease if one is given."""

    key: str
    value: object
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete a key; no error when it does not exist."""

    key: str


Operation = Put | Delete


class Store:
    """etcd with types; safe to share between threads.

    Args:
        endpoints: URLs, `https://10.0.0.4:2379`; tried in turn when one fails.
        tls: CA, client certificate and key; without them the endpoints are plain `http`.
        timeout: seconds that bound every call, all endpoints together.
        first: ask the first endpoint first; otherwise one drawn at random, so that many clients spread over them.

    With `tls`, values are signed as they are written and checked as they are read (`cladnet/trust/`): what lacks the
    signature that its kind needs is taken for what cannot be read.

    Every call raises Unavailable when no endpoint answers, and Refused when etcd forbids it.
    """

    def __init__(
        self, endpoints: Sequence[str], *, tls: TlsFiles | None = None, timeout: float = 5.0, first: bool = False
    ) -> None:
        self._cluster = Cluster(endpoints, tls=tls, timeout=timeout, first=first)
        self._trust = None
        if tls is not None:
            from cladnet.trust.trust import Trust  # whose cryptography plain connections, as in tests, need not load

            self._trust = Trust(tls)

    @property
    def cluster(self) -> Cluster:
        """The connection, for the parts of etcd's API that are not about keys."""
        return self._cluster

    @classmethod
    def of_this_host(cls) -> Self:
        """The store that this host is enrolled with.

        Raises:
            NotFound: it is not enrolled.
        """
        me = Member.load()
        return cls(me.etcd_endpoints, tls=tls_files(), first=Role.CONTROL in me.roles)

    @property
    def is_signed(self) -> bool:
        """Whether values carry signatures here: always, but for connections without TLS."""
        return self._trust is not None

    def encode(self, key: str, value: object) -> bytes:
        """Return a value as it is written under a key, signed if its kind needs it; Refused if we may not."""
        return self._trust.encode(key, value) if self._trust is not None else codec.encode(value)

    def decode(self, key: str, raw: bytes, kind: type[T]) -> T:
        """Return what a key holds, as from a watch's event; MalformedData if it is no `kind` or lacks its signature."""
        return self._trust.decode(key, raw, kind) if self._trust is not None else codec.decode(raw, kind, source=key)

    def get(self, key: str, kind: type[T]) -> Versioned[T] | None:
        """Return the value of a key, or None; MalformedData if it is not a `kind`."""
        response = self._range(f"get {key}", etcdrpc.RangeRequest(key=_bytes(key)))
        for item in response.kvs:
            return Versioned(key, self.decode(key, item.value, kind), item.mod_revision)
        return None

    def list(self, prefix: str, kind: type[T]) -> Snapshot[T]:
        """Return every value under a prefix, by key; one that is not a `kind` is left out with a warning.

        A host writes its own information: what one host writes must not stop the work for the others.
        """
        return self.between(prefix, prefix_range_end(prefix.encode()), kind)

    def between(self, start: str, range_end: bytes, kind: type[T]) -> Snapshot[T]:
        """As list(), of every key from `start` up to `range_end`."""
        found = self.raw(start, range_end=range_end)
        items = []
        for item in found.items:
            try:
                items.append(Versioned(item.key, self.decode(item.key, item.value, kind), item.revision))
            except MalformedData as error:
                log.warning("left out: %s", error)
        return Snapshot(found.revision, tuple(items))

    def raw(self, key: str, *, range_end: bytes = b"") -> Snapshot[bytes]:
        """Return a key, or every key from it up to `range_end`, as etcd has it: for who reads it, whatever it is."""
        response = self._range(f"list {key}", etcdrpc.RangeRequest(key=_bytes(key), range_end=range_end))
        items = tuple(Versioned(_text(item.key), bytes(item.value), item.mod_revision) for item in response.kvs)
        return Snapshot(response.header.revision, items)

    def children(self, prefix: str, kind: type[T]) -> dict[str, Versioned[T]]:
        """Return the values right below a prefix by their name; keys that nobody of us would write are left out."""
        found = {}
        for item in self.list(prefix, kind).items:
            name = keys.child(prefix, item.key)
            if name is None:
                log.warning("left out: nobody should have written %.200r", item.key)
            else:
                found[name] = item
        return found

    def revisions(self, prefix: str) -> dict[str, int]:
        """Return every key under a prefix and the revision of its last writing, whatever its value is."""
        start = prefix.encode()
        request = etcdrpc.RangeRequest(key=start, range_end=prefix_range_end(start), keys_only=True)
        return {_text(item.key): item.mod_revision for item in self._range(f"list {prefix}", request).kvs}

    def exists(self, key: str) -> bool:
        """Return whether a key is there, whatever its value is."""
        return bool(self._range(f"get {key}", etcdrpc.RangeRequest(key=_bytes(key), count_only=True)).count)

    def create(self, key: str, value: object, *, lease: Lease | None = None) -> int:
        """Write a key that must not exist yet and return its revision; Conflict if it does."""
        revision = self.commit([Condition(key, 0)], [Put(key, value, lease)])
        if revision is None:
            raise Conflict(f"{key} exists already")
        return revision

    def replace(self, current: Versioned[T], value: T) -> int:
        """Write a key that nobody wrote since `current` was read; Conflict otherwise. Its lease is dropped."""
        revision = self.commit([Condition(current.key, current.revision)], [Put(current.key, value)])
        if revision is None:
            raise Conflict(f"somebody else changed {current.key} meanwhile", hint="read it again and retry")
        return revision

    def put(self, key: str, value: object, *, lease: Lease | None = None) -> int:
        """Write a key whatever it holds and return its revision."""
        revision = self.commit([], [Put(key, value, lease)])
        if revision is None:
            raise AssertionError("a transaction without conditions always succeeds")
        return revision

    def delete(self, key: str, *, revision: int | None = None) -> bool:
        """Delete a key and return whether it was there.

        Args:
            revision: delete only what was last written at this revision; Conflict if the key is there but newer.
        """
        if revision is None:
            request = etcdrpc.DeleteRangeRequest(key=_bytes(key))
            return self._delete(f"delete {key}", request) > 0
        if self.commit([Condition(key, revision)], [Delete(key)]) is not None:
            return True
        if self.exists(key):
            raise Conflict(f"somebody else changed {key} meanwhile", hint="read it again and retry")
        return False

    def delete_prefix(self, prefix: str) -> int:
        """Delete every key under a prefix and return how many there were."""
        start = prefix.encode()
        request = etcdrpc.DeleteRangeRequest(key=start, range_end=prefix_range_end(start))
        return self._delete(f"delete {prefix}", request)

    def transact(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> bool:
        """Do all operations in one step if all conditions hold; return whether they did."""
        return self.commit(conditions, operations) is not None

    def commit(self, conditions: Sequence[Condition], operations: Sequence[Operation]) -> int | None:
        """transact(), but return the revision of the transaction, or None if a condition does not hold.

        It is 0 where nobody can tell: an answer was lost, and what was to be deleted is gone.
        """
        requests = [self._request(operation) for operation in operations]
        request = etcdrpc.TxnRequest(compare=[_compare(condition) for condition in conditions], success=requests)
        names = ", ".join(operation.key for operation in operations)
        response, uncertain = self._cluster.call(
            f"write {names}", lambda end, seconds: end.kv.Txn(request, timeout=seconds)
        )
        if response.succeeded:
            return int(response.header.revision)
        # The answer to an earlier attempt was lost: what stands there may be our own writing.
        return self._standing(requests) if uncertain else None

    def lease(self, ttl_s: int) -> Lease:
        """Return a new lease that lasts `ttl_s` seconds from each refresh."""
        request = etcdrpc.LeaseGrantRequest(TTL=ttl_s)
        response, _ = self._cluster.call(
            "get a lease", lambda end, seconds: end.lease.LeaseGrant(request, timeout=seconds)
        )
        return Lease(self._cluster, response.ID, response.TTL)

    def watch(self, prefixes: Sequence[str], *, start_revision: int | None = None) -> Watch:
        """Watch prefixes, ending with a slash, and keys from `start_revision` on; without it from now on."""
        return Watch(self._cluster, prefixes, start_revision=start_revision)

    def compact(self, revision: int) -> None:
        """Drop the history before a revision."""
        request = etcdrpc.CompactionRequest(revision=revision, physical=True)
        self._cluster.call("compact etcd", lambda end, seconds: end.kv.Compact(request, timeout=seconds))

    def close(self) -> None:
        """Close every connection; watches end and waiting calls raise Unavailable."""
        self._cluster.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _range(self, doing: str, request: Any) -> Any:
        response, _ = self._cluster.call(doing, lambda end, seconds: end.kv.Range(request, timeout=seconds))
        return response

    def _delete(self, doing: str, request: Any) -> int:
        response, _ = self._cluster.call(doing, lambda end, seconds: end.kv.DeleteRange(request, timeout=seconds))
        return int(response.deleted)

    def _request(self, operation: Operation) -> Any:
        key = _bytes(operation.key)
        if isinstance(operation, Delete):
            return etcdrpc.RequestOp(request_delete_range=etcdrpc.DeleteRangeRequest(key=key))
        lease = operation.lease.id if operation.lease else 0
        value = self.encode(operation.key, operation.value)
        return etcdrpc.RequestOp(request_put=etcdrpc.PutRequest(key=key, value=value, lease=lease))

    def _standing(self, requests: Sequence[Any]) -> int | None:
        revision = 0
        for request in requests:
            put = request.WhichOneof("request") == "request_put"
            key = request.request_put.key if put else request.request_delete_range.key
            found = self._range(f"get {_text(key)}", etcdrpc.RangeRequest(key=key)).kvs
            if bool(found) != put or (put and found[0].value != request.request_put.value):
                return None
            revision = max(revision, *(item.mod_revision for item in found), 0)
        return revision


def _text(key: bytes) -> str:
    """A key as text; what is no UTF-8 comes back as it was, so that it can be deleted."""
    return key.decode(errors="surrogateescape")


def _bytes(key: str) -> bytes:
    return key.encode(errors="surrogateescape")


def _compare(condition: Condition) -> Any:
    return etcdrpc.Compare(
        key=_bytes(condition.key), result=etcdrpc.Compare.EQUAL, target=etcdrpc.Compare.MOD,
        mod_revision=condition.revision,
    )  # fmt: skip
