"""Clients that a metadata server which takes over for a lost one need not wait for: their sessions are ended.

They are those of the lost host and those that have not come back to the new server, if their hosts answer no echo
either: hosts that were lost with it. At the end of the wait the server would end them all the same.

It speaks with the server while it is taking over. libcephfs may wait without end, so it runs in a child process that
can be killed: `python -m cbstorage.leading.shut_out ADDRESS`. Only the appliance has the module `cephfs`.
"""

import json
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from cbstorage.ceph import cephx
from cbstorage.host import local
from larva import codec, process
from larva.errors import LarvaError, ProgramFailed

log = logging.getLogger(__name__)

BOUND_S = 30.0
WAIT_S = 20.0
"""For a server to come so far that it waits for clients."""
POLL_S = 0.1
ECHO_S = 2
"""Seven echoes to a host that answers none."""
AGAIN_S = 1
"""Four more, to one that answered none before the server waited for it."""
_NO_ECHO = 1
"""ping(8): its exit code when nobody answered; 2 when it failed itself."""
AT_ONCE = 32
"""Hosts."""
REPLAY, RECONNECT = "up:replay", "up:reconnect"
_BEFORE = ("up:standby", "up:standby-replay", REPLAY, "up:resolve", "up:boot", "up:creating", "up:starting")


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A metadata server's `status`."""

    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionAddress:
    """From where a session comes, `10.0.0.5:0`."""

    addr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEntity:
    """Whose a session is."""

    addr: SessionAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One line of `session ls`."""

    id: int
    entity: SessionEntity
    reconnecting: bool = False
    """Whether the server waits for it."""

    @property
    def address(self) -> str:
        """From where it came: what a client says of itself is not asked."""
        return self.entity.addr.addr.rsplit(":", 1)[0]


def carry_out(address: IPv4Address) -> None:
    """End the sessions lost with the host of an address once the rank's new server waits; what fails is logged."""
    argv = [sys.executable, "-m", "cbstorage.leading.shut_out", str(address)]
    try:
        said = process.run(argv, timeout=BOUND_S)
    except LarvaError as error:  # then it waits for them as long as Ceph is told to
        log.warning("clients of %s that was lost are waited for: %s", address, error.message)
        return
    if said:
        log.warning("clients that were lost with %s are shut out: %s", address, " ".join(said.split()))


def of_hosts(sessions: Iterable[Session], cladnet: IPv4Network) -> tuple[Session, ...]:
    """Leave out who comes from outside a CLADNet: he may be there and answer no echo."""
    return tuple(one for one in sessions if _is_in(one.address, cladnet))


def _is_in(address: str, cladnet: IPv4Network) -> bool:
    try:
        return IPv4Address(address) in cladnet
    except ValueError:  # IPv6, which no client of a host comes from
        return False


def awaited(sessions: Iterable[Session]) -> dict[str, list[int]]:
    """The ids of the sessions that a server waits for, by the addresses they came from."""
    found: dict[str, list[int]] = {}
    for one in sorted(sessions, key=lambda one: one.id):
        if one.reconnecting:
            found.setdefault(one.address, []).append(one.id)
    return found


class _Server:
    """Rank 0's metadata server, whoever that is."""

    def __init__(self) -> None:
        import cephfs

        self._fs: Any = cephfs.LibCephFS(
            conffile=str(local.CONFIGURATION),
            auth_id=cephx.ADMIN.removeprefix("client."),
            conf={"keyring": str(local.keyring_of(cephx.ADMIN)), "client_mount_timeout": "15", "log_file": ""},
        )
        self._fs.init()

    def ask(self, prefix: str, **more: object) -> bytes:
        """Run one of its commands."""
        code, answer, words = self._fs.mds_command("0", json.dumps({"prefix": prefix, "format": "json", **more}), "")
        if code != 0:
            raise ProgramFailed(f"mds.0 {prefix}: {words or code}")
        return bytes(answer)

    def sessions(self) -> tuple[Session, ...]:
        """Its clients on hosts of the CLADNet, which is the network that ceph.conf names."""
        found = codec.decode(self.ask("session ls"), tuple[Session, ...], source="mds.0 session ls")
        return of_hosts(found, IPv4Network(self._fs.conf_get("public_network")))

    def end(self, ids: Iterable[int]) -> None:
        """End sessions and shut the addresses out from which they came."""
        for one in ids:
            self.ask("session evict", filters=[f"id={one}"])
            print(one, flush=True)  # noqa: T201


def _state(server: _Server) -> str:
    try:
        return codec.decode(server.ask("status"), Status, source="mds.0 status").state
    except LarvaError:  # nobody holds the rank yet
        return _BEFORE[0]


def _clients(server: _Server) -> set[str]:
    """From where its clients came, as far as it can tell yet."""
    try:
        return {one.address for one in server.sessions()}
    except LarvaError:
        return set()


class Echoes:
    """Which hosts answer; each is asked in the background."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._asked: dict[str, Future[bool]] = {}

    def ask(self, addresses: Iterable[str]) -> None:
        """Begin to ask those that were not asked yet."""
        for one in addresses:
            if one not in self._asked:
                self._asked[one] = self._pool.submit(answers, one, ECHO_S)

    def ask_again(self, addresses: Iterable[str]) -> None:
        """Begin to ask those anew that were silent: what broke a path for a moment may be over."""
        for one in addresses:
            earlier = self._asked.get(one)
            if earlier is not None and earlier.done() and not earlier.result():
                self._asked[one] = self._pool.submit(answers, one, AGAIN_S)

    def silent(self, addresses: Iterable[str]) -> Iterator[str]:
        """Yield those that answer none, each as soon as that is known; all must have been asked."""
        asked = {self._asked[one]: one for one in addresses}
        for future in as_completed(asked):
            if not future.result():
                yield asked[future]


def main(address: IPv4Address) -> None:
    """Wait until the server waits for clients, and end those that are lost.

    It knows its predecessor's clients as soon as it begins to read the journal: they are asked meanwhile.
    """
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        echoes = Echoes(pool)
        echoes.ask([str(address)])
        server = _Server()
        deadline = time.monotonic() + WAIT_S
        while (state := _state(server)) in _BEFORE:
            if time.monotonic() > deadline:
                raise ProgramFailed(f"mds.0 is {state} for {WAIT_S:g} s")
            if state == REPLAY:
                echoes.ask(_clients(server))
            time.sleep(POLL_S)
        if state != RECONNECT:
            return
        waiting = awaited(server.sessions())
        echoes.ask_again(set(waiting) - {str(address)})  # of the lost host itself the monitors and OSDs told
        echoes.ask(waiting)
        for where in echoes.silent(waiting):
            server.end(awaited(server.sessions()).get(where, []))


def answers(address: str, seconds: int) -> bool:
    """Whether one of several echoes comes back; a ping that cannot be sent says nothing of the host."""
    argv = ["ping", "-n", "-q", "-c", "1", "-i", "0.3", "-w", str(seconds), address]
    try:
        said = process.run(argv, timeout=seconds + 5, ok_codes=(0, _NO_ECHO))
    except LarvaError as error:
        log.warning("whether %s is there is not known: %s", address, error.message)
        return True
    return " 0 received" not in said


if __name__ == "__main__":
    main(IPv4Address(sys.argv[1]))
