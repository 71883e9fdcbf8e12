"""Calls to an etcd cluster: several endpoints; each call bounded in time, passed on to the next when one fails."""

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import grpc
from etcd3 import etcdrpc

from larva.errors import Conflict, InvalidInput, LarvaError, NotFound, Refused, Unavailable

log = logging.getLogger(__name__)

T = TypeVar("T")

DEFAULT_PORT = 2379
FIRST_ATTEMPT_S = 1.0
"""Least time one endpoint gets; a shorter bound would give up on the far side of the world."""

CHANNEL_OPTIONS = [
    ("grpc.keepalive_time_ms", 10_000),  # etcd's server refuses pings more often than every 5 s
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.http2.ping_timeout_ms", 4_000),  # the bound that counts in present gRPC; its own default is a minute
    ("grpc.http2.max_pings_without_data", 0),  # a quiet watch is still to be proved alive
    ("grpc.initial_reconnect_backoff_ms", 100),
    (
        "grpc.min_reconnect_backoff_ms",
        5_000,
    ),  # also bounds one connection attempt: TCP and TLS over 300 ms take a second
    ("grpc.max_reconnect_backoff_ms", 2_000),  # gRPC's own default is two minutes
    ("grpc.max_receive_message_length", -1),  # etcd bounds what it stores, not what a listing holds
    ("grpc.enable_http_proxy", 0),
]

_OLD_RIGHTS = ("revision of auth store is old", "revision in header is old")
"""What etcd answers, having done nothing, when anybody's rights changed between its check of a request and the deed."""

_TRY_ELSEWHERE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.INTERNAL)

_LATE = ("context deadline exceeded", "context canceled")
"""What a member says, with code UNKNOWN, when its own clock ended a call just before the caller's did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files of a TLS client."""

    ca: Path
    certificate: Path
    key: Path
    authority: Path | None = None
    """Directory of the CA with its key, if this client has it: control nodes sign with it what they write."""


class Endpoint:
    """One etcd server: its channel and the parts of etcd's API that we use.

    Once it is retired nobody begins a call there, streams end, and the last call that runs closes the channel.
    """

    def __init__(self, url: str, tls: TlsFiles | None) -> None:
        self.url = url
        self._lock = threading.Lock()
        self._calls = 0
        self._streams: set[Any] = set()
        self._retired = False
        target = _target(url, secure=tls is not None)
        if tls is None:
            self.channel = grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
        else:
            self.channel = grpc.secure_channel(target, _credentials(tls), options=CHANNEL_OPTIONS)
        self.kv: Any = etcdrpc.KVStub(self.channel)
        self.lease: Any = etcdrpc.LeaseStub(self.channel)
        self.watch: Any = etcdrpc.WatchStub(self.channel)
        self.maintenance: Any = etcdrpc.MaintenanceStub(self.channel)
        self.auth: Any = etcdrpc.AuthStub(self.channel)

    @contextlib.contextmanager
    def call(self) -> Iterator[bool]:
        """Be in a call for as long as it lasts; False once the endpoint is retired."""
        with self._lock:
            if self._retired:
                begun = False
            else:
                begun, self._calls = True, self._calls + 1
        try:
            yield begun
        finally:
            if begun:
                with self._lock:
                    self._calls -= 1
                    last = self._retired and not self._calls
                if last:
                    self.channel.close()

    @contextlib.contextmanager
    def streaming(self, stream: Any) -> Iterator[None]:
        """Have a stream cancelled when the endpoint is retired."""
        with self._lock:
            self._streams.add(stream)
            retired = self._retired
        if retired:
            stream.cancel()
        try:
            yield
        finally:
            with self._lock:
                self._streams.discard(stream)

    def retire(self) -> None:
        """Let nobody come any more and close the channel after the last call."""
        with self._lock:
            self._retired = True
            streams, idle = tuple(self._streams), not self._calls
        for stream in streams:
            stream.cancel()
        if idle:
            self.channel.close()


def _target(url: str, *, secure: bool) -> str:
    scheme = "https" if secure else "http"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORT
        usable = parts.scheme == scheme and bool(host)
    except ValueError:
        usable = False
    if not usable:
        raise InvalidInput(f"etcd endpoint {url!r} is not usable", hint=f"it has to look like {scheme}://ADDRESS:PORT")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _credentials(tls: TlsFiles) -> Any:
    try:
        return grpc.ssl_channel_credentials(
            root_certificates=tls.ca.read_bytes(),
            private_key=tls.key.read_bytes(),
            certificate_chain=tls.certificate.read_bytes(),
        )
    except OSError as error:
        raise NotFound(
            f"cannot read {error.filename}: {error.strerror}", hint="this host has no client certificate; enrol it"
        ) from error


class Cluster:
    """The endpoints of one etcd cluster; safe to share between threads.

    The first endpoint is drawn at random, so that many clients spread over the cluster; one that fails is left for
    the next, and the one that answered is asked first from then on.

    Args:
        urls: at least one, `https://10.0.0.4:2379`; `http` without `tls`.
        timeout: seconds after which a call raises Unavailable whatever happens.
        first: begin with the first endpoint instead.
    """

    def __init__(self, urls: Sequence[str], *, tls: TlsFiles | None, timeout: float, first: bool = False) -> None:
        if not urls:
            raise InvalidInput("no etcd endpoint given", hint="give at least one, as https://10.0.0.4:2379")
        self._tls = tls
        self._first = first
        self._lock = threading.Lock()
        self._opened_with = _identity(tls)
        self.endpoints = tuple(Endpoint(url, tls) for url in urls)
        self.timeout = timeout
        self._preferred = self.endpoints[0] if first else _any_of(self.endpoints)
        self._closed = threading.Event()

    def call(self, doing: str, function: Callable[[Endpoint, float], T]) -> tuple[T, bool]:
        """Return what `function(endpoint, seconds)` returns at the first endpoint that answers.

        Args:
            doing: for the error: "get KEY".

        Returns:
            the result, and whether an earlier attempt ended without an answer: it may have taken effect.

        Raises:
            Unavailable: no endpoint answered within the timeout.
            Refused: etcd knows this client and forbids it.
            NotFound: the lease of the call does not exist.
        """
        deadline = time.monotonic() + self.timeout
        uncertain = False
        reasons: dict[str, str] = {}
        attempt = 0
        while not self._closed.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                break
            endpoint = self.preferred()
            untried = max(1, len(self.endpoints) - attempt)
            seconds = left if untried == 1 else min(left, max(FIRST_ATTEMPT_S, left / untried))
            try:
                with endpoint.call() as begun:
                    if not begun:  # retired this very moment: another one is preferred by now
                        continue
                    return function(endpoint, seconds), uncertain
            except grpc.RpcError as error:
                if any(words in (error.details() or "") for words in _OLD_RIGHTS):
                    reasons[endpoint.url] = error.details()
                    self._closed.wait(random.uniform(0.0, 0.02))  # noqa: S311 - jitter
                    continue
                if error.code() not in _TRY_ELSEWHERE and not _is_late(error):
                    raise _translated(doing, endpoint, error) from error
                uncertain = True
                reasons[endpoint.url] = error.details() or error.code().name
            except ValueError:  # gRPC's way to say that the channel was closed
                if not self._closed.is_set():
                    raise
                break
            self.leave(endpoint)
            attempt += 1
            if attempt % len(self.endpoints) == 0:  # everybody was asked: let them come back
                self._closed.wait(min(random.uniform(0.05, 0.25), max(0.0, deadline - time.monotonic())))  # noqa: S311
        if self._closed.is_set():
            raise Unavailable(f"cannot {doing}: the connection to etcd was closed")
        told = "; ".join(f"{url}: {reason}" for url, reason in reasons.items())
        raise Unavailable(
            f"cannot {doing}: no etcd endpoint answered within {self.timeout:g} s ({told})",
            hint="check that etcd runs there, that its port is open, and that the certificates fit",
        )

    def preferred(self) -> Endpoint:
        """The endpoint that answered last."""
        with self._lock:
            return self._preferred

    def leave(self, endpoint: Endpoint) -> None:
        """Ask another endpoint first from now on, unless somebody moved on already."""
        with self._lock:
            if self._preferred is endpoint:
                position = self.endpoints.index(endpoint)
                self._preferred = self.endpoints[(position + 1) % len(self.endpoints)]

    def replace(self, urls: Sequence[str]) -> bool:
        """Use these endpoints from now on and return whether they differ; running calls end where they are.

        Some clients move to an endpoint that is new, as many as would have begun there; the others stay.

        Raises:
            InvalidInput: an endpoint is not usable; nothing was changed then.
        """
        wanted = tuple(dict.fromkeys(urls))
        if not wanted:
            raise InvalidInput("no etcd endpoint given", hint="give at least one, as https://10.0.0.4:2379")
        with self._lock:
            known = {endpoint.url: endpoint for endpoint in self.endpoints}
            if self._closed.is_set() or tuple(known) == wanted:
                return False
            self.endpoints = tuple(known.get(url) or Endpoint(url, self._tls) for url in wanted)
            gone = [endpoint for url, endpoint in known.items() if url not in wanted]
            added = [endpoint for endpoint in self.endpoints if endpoint.url not in known]
            if self._preferred in gone:
                self._preferred = self.endpoints[0] if self._first else _any_of(self.endpoints)
            elif added and not self._first and random.random() < len(added) / len(self.endpoints):  # noqa: S311 - load
                self._preferred = _any_of(added)
        for endpoint in gone:
            endpoint.retire()
        log.info("etcd is at %s now", ", ".join(wanted))
        return True

    def reopen_if_renewed(self) -> bool:
        """Open every channel anew if the certificate's file is another one; calls that run end where they are.

        Raises:
            NotFound: a file cannot be read; nothing was changed then.
        """
        with self._lock:
            identity = _identity(self._tls)
            if self._closed.is_set() or identity in (None, self._opened_with):
                return False
            old = self.endpoints
            fresh = tuple(Endpoint(endpoint.url, self._tls) for endpoint in old)
            self._preferred = fresh[old.index(self._preferred)]
            self.endpoints, self._opened_with = fresh, identity
        for endpoint in old:
            endpoint.retire()
        log.info("the connections to etcd use the new certificate")
        return True

    def close(self) -> None:
        """Close every channel; calls that wait end with Unavailable."""
        with self._lock:
            self._closed.set()
            endpoints = self.endpoints
        for endpoint in endpoints:
            endpoint.channel.close()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed.is_set()


def _identity(tls: TlsFiles | None) -> tuple[int, int] | None:
    """What tells one certificate file from the one that replaced it; None where there is none to read."""
    if tls is None:
        return None
    try:
        found = tls.certificate.stat()
    except OSError:  # the channels' own reading says what is wrong
        return None
    return found.st_ino, found.st_mtime_ns


def _any_of(endpoints: Sequence[Endpoint]) -> Endpoint:
    return random.choice(endpoints)  # noqa: S311 - spreads load, protects nothing


def _is_late(error: Any) -> bool:
    return error.code() == grpc.StatusCode.UNKNOWN and error.details() in _LATE


def _translated(doing: str, endpoint: Endpoint, error: Any) -> LarvaError:
    code, details = error.code(), error.details()
    if code in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED):
        return Refused(
            f"etcd does not allow this host to {doing}: {details}",
            hint="a host may write its own keys and read its own CLADNets; run this on a control node",
        )
    if code == grpc.StatusCode.NOT_FOUND:
        return NotFound(f"cannot {doing}: {details}")
    if code == grpc.StatusCode.FAILED_PRECONDITION:  # as of users and roles that are there, or are not
        return Conflict(f"cannot {doing}: {details}")
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Unavailable(
            f"cannot {doing}: etcd is full ({details})", hint="compact and defragment etcd, then disarm its alarm"
        )
    if code == grpc.StatusCode.INVALID_ARGUMENT:
        return InvalidInput(f"cannot {doing}: etcd refuses it: {details}", hint="a value may have 1.5 MB at the most")
    return Unavailable(f"cannot {doing}: {endpoint.url} answered {code.name}: {details}")
