"""`larva bench failover`: how long a writer on a volume waits when something of the storage cluster is lost."""

import contextlib
import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from images.clouds.lab.machine import Machine
from images.clouds.lab.topology import Host
from images.demo.distances import at_distances
from images.demo.story import wait_until
from images.demo.up import Demo
from images.demo.workload import Workload
from larva.bench import Result
from larva.errors import LarvaError

BAR_S = 15.0
"""For the longest pause between two records that were written and synced."""
RECORDS = 40
"""So many more records say that the writer goes on."""
PATIENCE_S = 400.0
MONITOR, SERVER, CLIENT = "ceph-mon@*", "ceph-mds@*", "larva-mount-*"


def failover(*, quick: bool) -> list[Result]:
    """Lose one thing after another of a demo and measure the longest pause of a writer elsewhere, in seconds.

    The peer is the longest pause of the same writer while nothing is lost. Without `quick` all of it is done again with
    40 ms between the clouds.
    """
    return at_distances(lambda demo, rtt_ms: Losses(demo, rtt_ms).measure(), quick=quick)


def _each(machines: Iterable[Machine], doing: Callable[[Machine], None]) -> None:
    for machine in machines:
        doing(machine)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Roles:
    """The storage hosts of the leading monitor and of the active metadata server."""

    leader: str
    active: str
    whole: bool
    """Whether no daemon is missing."""


class Losses:
    """The cases, one after another; each begins and ends with a whole cluster."""

    def __init__(self, demo: Demo, rtt_ms: float) -> None:
        self._demo = demo
        self._rtt_ms = rtt_ms
        self._quiet_s = 0.0

    def measure(self) -> list[Result]:
        """Measure every case."""
        roles = self._when_whole()
        self._quiet_s = self._pause(self._writer_away_from({roles.active}), lambda: None)
        plain = self._lose_cloud("a cloud with a monitor and an OSD", self._plain_cloud())
        monitor = self._crash("the leading monitor", lambda roles: ((roles.leader, MONITOR),))
        server = self._crash("the active metadata server", lambda roles: ((roles.active, SERVER),))
        three = self._crash(
            "leading monitor, active metadata server and a client at once",
            lambda roles: ((roles.leader, MONITOR), (roles.active, SERVER), (roles.active, CLIENT)),
        )
        active = self._demo.topology.host(self._when_whole().active).cloud
        leading = self._lose_cloud("the cloud of the active metadata server and a client", active)
        return [*plain, monitor, server, three, *leading, *self._cut(self._plain_cloud())]

    def _lose_cloud(self, what: str, cloud: str) -> list[Result]:
        machines = [self._demo.lab.machine(host.name) for host in self._demo.topology.hosts_of(cloud)]
        writer = self._writer_away_from(host.name for host in self._demo.topology.hosts_of(cloud))
        try:
            lost_s = self._pause(writer, lambda: _each(machines, Machine.power_off))
        finally:
            back_s = self._pause(writer, lambda: self._until_whole(lambda: _each(machines, Machine.power_on)))
        return [self._result(f"{what} lost", lost_s), self._result(f"{what} back", back_s)]

    def _cut(self, cloud: str) -> list[Result]:
        writer = self._writer_away_from(host.name for host in self._demo.topology.hosts_of(cloud))
        try:
            cut_s = self._pause(writer, lambda: self._demo.lab.cut(cloud))
        finally:
            heal_s = self._pause(writer, lambda: self._until_whole(lambda: self._demo.lab.heal(cloud)))
        return [self._result("a cloud cut off", cut_s), self._result("a cloud joined again", heal_s)]

    def _crash(self, what: str, whom: Callable[[_Roles], Collection[tuple[str, str]]]) -> Result:
        """Crash units, given as host and pattern, all at once."""
        victims = whom(self._when_whole())

        def strike() -> None:
            for host, unit in victims:
                self._demo.run(host, ["systemctl", "kill", "--signal=KILL", unit])

        writer = self._writer_away_from(host for host, _ in victims)
        return self._result(f"{what} crashed", self._pause(writer, strike))

    def _pause(self, writer: Host, strike: Callable[[], object]) -> float:
        """Return the longest pause of a writer from before `strike` until it goes on after it."""
        load = Workload.named(self._demo, writer.name)
        with contextlib.ExitStack() as cleanup:
            cleanup.callback(load.remove)
            load.start()
            self._goes_on(load)
            strike()
            self._goes_on(load)
            # Records of a writer that has not noticed yet prove nothing: with three monitors it has noticed by then.
            self._goes_on(load, RECORDS * 4)
            return load.stop().longest_pause_s

    def _goes_on(self, load: Workload, records: int = RECORDS) -> None:
        before = load.seen().records
        wait_until("the writer goes on", lambda: load.seen().records >= before + records, timeout_s=PATIENCE_S)

    def _result(self, metric: str, value: float) -> Result:
        return Result(
            metric=f"{metric}, {self._rtt_ms:g} ms", unit="s", value=value, bar=BAR_S,
            peer="longest pause of the same writer with nothing lost", peer_value=self._quiet_s,
        )  # fmt: skip

    def _writer_away_from(self, lost: Iterable[str]) -> Host:
        gone = set(lost)
        return next(host for host in self._demo.storage if host.name not in gone)

    def _plain_cloud(self) -> str:
        """A cloud of neither the leader nor the active metadata server."""
        roles = self._when_whole()
        leading = {roles.leader, roles.active}
        return next(host.cloud for host in reversed(self._demo.storage) if host.name not in leading)

    def _until_whole(self, mend: Callable[[], object]) -> None:
        mend()
        self._when_whole()

    def _when_whole(self) -> _Roles:
        roles: list[_Roles] = []

        def whole() -> bool:
            roles[:] = [self._roles()]
            return roles[0].whole

        wait_until("the cluster is whole", whole, timeout_s=PATIENCE_S)
        return roles[0]

    def _roles(self) -> _Roles:
        quorum = self._ask("quorum_status")
        dump = self._ask("fs", "dump")
        servers = [one for fs in dump["filesystems"] for one in fs["mdsmap"]["info"].values()]
        active = [one["name"].removeprefix("mds-") for one in servers if one["state"] == "up:active"]
        osds = self._ask("osd", "dump")["osds"]
        groups = self._ask("pg", "stat")["pg_summary"]["num_pg_by_state"]
        whole = (
            len(quorum["quorum"]) == len(quorum["monmap"]["mons"])
            and len(active) == 1
            and len(servers) + len(dump["standbys"]) == len(self._demo.storage)
            and all(osd["up"] and osd["in"] for osd in osds)
            and {state["name"] for state in groups} == {"active+clean"}
        )
        return _Roles(leader=quorum["quorum_leader_name"], active=active[0] if active else "", whole=whole)

    def _ask(self, *words: str) -> Any:
        """A monitor's answer, on whichever storage host can be asked."""
        last: LarvaError | None = None
        for host in self._demo.storage:
            try:
                return json.loads(self._ceph(host.name, *words, "--format", "json"))
            except LarvaError as error:
                last = error
        raise last or AssertionError("a demo has storage hosts")

    def _ceph(self, host: str, *words: str) -> str:
        return self._demo.run(host, ["ceph", "--connect-timeout", "10", *words], timeout=30)
