"""A watch on etcd prefixes that never ends by itself: it resumes after any break and says when it had to start anew.

The library's own watcher is not used: it does not resume, and its thread can hang for ever (python-etcd3 issues 291
and 1227).
"""

import logging
import queue
import random
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import grpc
from etcd3 import etcdrpc
from etcd3.utils import prefix_range_end

from cladnet.etcd.cluster import Cluster, Endpoint
from larva.errors import Refused, Unavailable
from larva.metrics import REGISTRY

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 3.0
RESTARTS = REGISTRY.counter("larva_watch_restarts_total", "Watches that broke and were begun anew, by etcd endpoint.")
REQUIRE_LEADER = (("hasleader", "true"),)
"""Makes etcd end the stream when its member lost the quorum, instead of keeping it silent."""


@dataclass(frozen=True, slots=True)
class Event:
    """A key was written, or deleted when `value` is None."""

    key: str
    value: bytes | None
    revision: int


@dataclass(frozen=True, slots=True)
class Relist:
    """Events may have been missed: read the prefix again. Later events of it are newer than `revision`."""

    revision: int
    prefix: str = ""
    """The prefix or key this is about; empty: all that is watched."""


class Watch:
    """Iterate over it to get Events and Relists; iteration ends after close().

    Without `start_revision` the first item is a Relist, given when the watch stands: reading the prefixes then misses
    nothing. A Relist comes again whenever history that was not yet seen has been compacted away, or is another one:
    an etcd that was restored from a backup would wait in silence for a revision that it once had.

    Args:
        prefixes: prefixes, which end with a slash; anything else is one key.
        start_revision: the first revision wanted: a snapshot's revision + 1.

    Raises:
        Refused: while iterating: etcd forbids this client to read one of the prefixes.
    """

    def __init__(self, cluster: Cluster, prefixes: Sequence[str], *, start_revision: int | None = None) -> None:
        self._cluster = cluster
        self._prefixes = tuple(prefixes)
        self._next: list[int | None] = [start_revision] * len(self._prefixes)
        self._cluster_id: int | None = None
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._call: Any = None

    def close(self) -> None:
        """End the iteration, from any thread."""
        with self._lock:
            self._closed.set()
            if self._call is not None:
                self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Event | Relist]:
        pause, broken = FIRST_PAUSE_S, False
        while not (self._closed.is_set() or self._cluster.closed):
            endpoint = self._cluster.preferred()
            try:
                for item in self._stream(endpoint):
                    if broken:
                        log.info("watch resumed on %s", endpoint.url)
                    pause, broken = FIRST_PAUSE_S, False
                    if item is not None:
                        yield item
                reason = "the stream ended"
            except grpc.RpcError as error:
                if error.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED):
                    raise Refused(f"etcd does not allow this host to watch: {error.details()}") from error
                reason = error.details() or error.code().name
            except ValueError as error:  # gRPC's way to say that the channel was closed
                reason = str(error)
            if self._closed.is_set() or self._cluster.closed:
                return
            level = logging.DEBUG if broken else logging.INFO
            log.log(level, "watch on %s broke (%s), trying again", endpoint.url, reason)
            broken = True
            RESTARTS.add(endpoint=endpoint.url)
            self._cluster.leave(endpoint)
            self._closed.wait(random.uniform(pause / 2, pause))  # noqa: S311 - jitter
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def _stream(self, endpoint: Endpoint) -> Iterator[Event | Relist | None]:
        """Items of one connection; None when something came that is only a sign of life."""
        requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for request in self.requests():
            requests.put(request)
        with self._lock:
            if self._closed.is_set():
                return
            self._call = endpoint.watch.Watch(iter(requests.get, None), metadata=REQUIRE_LEADER)
        try:
            dialogue = Dialogue(self)
            with endpoint.streaming(self._call):
                for response in self._call:
                    yield from dialogue.take(response)
                    if dialogue.is_over:
                        return
        finally:
            self._call.cancel()
            requests.put(None)  # ends gRPC's thread that reads the requests

    def requests(self) -> tuple[Any, ...]:
        """What to ask etcd for at the beginning of a connection."""
        return tuple(
            _create_request(prefix, revision) for prefix, revision in zip(self._prefixes, self._next, strict=True)
        )

    def begin_anew(self, position: int | None = None) -> None:
        """Begin with a Relist at the next connection: of one prefix, or of all."""
        for each in range(len(self._prefixes)) if position is None else [position]:
            self._next[each] = None

    def items(self, response: Any, position: int) -> Iterator[Event | Relist | None]:
        """What a response for one of the prefixes says."""
        if response.created:
            if self._next[position] is None:
                self._next[position] = response.header.revision + 1
                yield Relist(response.header.revision, self._prefixes[position])
            else:
                yield None
            return
        if not response.events:  # progress: everything up to this revision has been sent
            self._next[position] = response.header.revision + 1
            yield None
        for event in response.events:
            revision = event.kv.mod_revision
            value = event.kv.value if event.type == event.PUT else None
            yield Event(event.kv.key.decode(errors="surrogateescape"), value, revision)
            self._next[position] = revision  # the rest of a transaction has the same revision: seen twice beats missed
        if response.events:
            self._next[position] = response.events[-1].kv.mod_revision + 1

    def is_another_history(self, header: Any, position: int) -> bool:
        """Whether etcd tells other events than it did before: its data came from a backup.

        A restored cluster has an id of its own, unless it was given its old token; then it is behind what was seen. So
        is a member that merely lags: what all of them agree on tells the two apart.

        Raises:
            Unavailable: it cannot be told now.
        """
        before, after = self._cluster_id, self._next[position]
        if before in (None, header.cluster_id) and (after is None or header.revision >= after - 1):
            self._cluster_id = header.cluster_id
            return False
        if before == header.cluster_id and after is not None:
            request = etcdrpc.RangeRequest(key=self._prefixes[position].encode(), count_only=True)
            answer, _ = self._cluster.call("read etcd's revision", lambda end, s: end.kv.Range(request, timeout=s))
            if answer.header.revision >= after - 1:
                return False
        self._cluster_id = header.cluster_id
        log.warning("etcd at revision %s is not where it was (%s): reading everything again", header.revision, after)
        return True

    def refuse_if_forbidden(self, response: Any) -> None:
        """Raise Refused if that is why etcd ends the watch."""
        reason = response.cancel_reason
        if response.compact_revision == 0 and "permission denied" in reason.lower().replace("permissiondenied", ""):
            raise Refused(f"etcd does not allow this host to watch {', '.join(self._prefixes)}: {reason}")
        log.info("watch was cancelled by etcd: %s", reason or f"compacted at {response.compact_revision}")


class Dialogue:
    """What etcd says over one connection, in its order."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._created = 0
        self._watched: dict[int, int] = {}
        """etcd's watch id → position among the prefixes."""
        self.is_over = False
        """Whether the connection is of no more use."""

    def take(self, response: Any) -> Iterator[Event | Relist | None]:
        """Items of one response; None for one that is only a sign of life. Refused as in Watch."""
        if response.created:  # answers come in the order of the requests
            self._watched[response.watch_id] = self._created
            self._created += 1
        if response.canceled:
            self._watch.refuse_if_forbidden(response)
            self._watch.begin_anew(self._watched[response.watch_id])  # compacted
            self.is_over = True
        elif response.created and self._is_another_history(response.header):
            self.is_over = True
        elif response.watch_id in self._watched:
            yield from self._watch.items(response, self._watched[response.watch_id])

    def _is_another_history(self, header: Any) -> bool:
        """Or whether that cannot be told now: then the next connection will."""
        try:
            if not self._watch.is_another_history(header, self._created - 1):
                return False
        except Unavailable as error:
            log.info("the watch begins again: %s", error.message)
        else:
            self._watch.begin_anew()
        return True


def _create_request(prefix: str, revision: int | None) -> Any:
    key = prefix.encode()
    range_end = prefix_range_end(key) if prefix.endswith("/") else b""  # a host may be allowed to read one key only
    return etcdrpc.WatchRequest(
        create_request=etcdrpc.WatchCreateRequest(
            key=key, range_end=range_end, start_revision=revision or 0, progress_notify=True
        )
    )
