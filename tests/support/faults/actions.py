"""How each thing is made to go wrong, and what is waited for: nothing here repairs what the system should repair."""

import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from faults.schedule import Event, Kind
from faults.workload import Workload
from images.clouds.lab.topology import Host
from images.demo.up import MOUNT_POINT, Demo
from larva.errors import LarvaError

PATIENCE_S = 400.0
"""For anything to happen; a machine that tests run on may be slow, and no figure is asserted."""
RECORDS = 40
"""A writer goes on when so many more records of it are acknowledged."""
CEPH = ("ceph-mon@*", "ceph-mgr@*", "ceph-mds@*", "ceph-osd@*")
OURS = ("larva-agent.service", "larva-storage.service")
CLIENT = "larva-mount-*"
ETCD = "larva-etcd.service"

# Without a manager: the monitors know daemons, and each placement group's primary knows how it is.
SEEN = """
import json, rados
def ask(prefix, **more):
    code, answer, words = cluster.mon_command(json.dumps({"prefix": prefix, "format": "json", **more}), b"", timeout=10)
    assert code == 0, words
    return json.loads(answer)
cluster = rados.Rados(conffile="/etc/ceph/ceph.conf", name="client.admin", conf={"rados_mon_op_timeout": "10",
    "rados_osd_op_timeout": "10", "client_mount_timeout": "10", "log_to_stderr": "false"})
cluster.connect(timeout=10)
quorum, osds, file_systems = ask("quorum_status"), ask("osd dump"), ask("fs dump")
servers = [one for fs in file_systems["filesystems"] for one in fs["mdsmap"]["info"].values()]
groups = {f"{pool['pool']}.{number:x}" for pool in osds["pools"] for number in range(pool["pg_num"])}
unclean = []
if all(osd["up"] and osd["in"] for osd in osds["osds"]):  # else some would not answer
    for group in sorted(groups):
        command = json.dumps({"prefix": "query", "pgid": group, "format": "json"})
        code, answer, words = cluster.pg_command(group, command, b"", timeout=10)
        state = json.loads(answer)["state"] if code == 0 else words
        if set(state.split("+")) - {"scrubbing", "deep"} != {"active", "clean"}:
            unclean.append(f"{group} {state}")
print(json.dumps({
    "monitors": len(quorum["monmap"]["mons"]) - len(quorum["quorum_names"]),
    "leader": quorum["quorum_leader_name"],
    "osds": [osd["osd"] for osd in osds["osds"] if not (osd["up"] and osd["in"])],
    "active": [one["name"] for one in servers if one["state"] == "up:active"],
    "standby": [one["name"] for one in [*file_systems["standbys"], *servers] if "standby" in one["state"]],
    "unclean": unclean,
}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How a cluster is, as its monitors and placement groups say."""

    monitors: int
    """That are out of quorum."""
    leader: str
    osds: tuple[int, ...]
    """Down or out."""
    active: tuple[str, ...]
    standby: tuple[str, ...]
    unclean: tuple[str, ...]

    def whole(self, servers: int) -> bool:
        """Whether nothing is missing."""
        present = len(self.active) == 1 and len(self.active) + len(self.standby) == servers
        return not self.monitors and not self.osds and not self.unclean and present


def wait(what: str, condition: Callable[[], object]) -> None:
    """Poll until the condition holds; what it raises meanwhile belongs to the trouble it waits out."""
    deadline = time.monotonic() + PATIENCE_S
    last: object = ""
    while True:
        try:
            last = condition()
            if last is True:
                return
        except LarvaError as error:
            last = error.message
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S:g} s: {last}"
        time.sleep(0.5)


class Drill:
    """A demo in which things go wrong while its writers write."""

    def __init__(self, demo: Demo, workload: Workload) -> None:
        self._demo = demo
        self._workload = workload
        self._hosts = {host.name: host for host in demo.topology.hosts}
        self._storage = tuple(host.name for host in demo.storage)

    def carry_out(self, event: Event) -> None:
        """Let it happen, see the others go on meanwhile, undo the cause, and wait until all is as before."""
        match event.kind:
            case Kind.CUT_CLOUD:
                self._cut(event.target)
            case Kind.LOSE_CLOUD:
                self._lose([host for host in self._hosts.values() if host.cloud == event.target])
            case Kind.LOSE_HOST:
                self._lose([self._hosts[event.target]])
            case Kind.CRASH_LEADERS:
                self._crash_leaders()
            case Kind.CRASH_EACH:
                self._crash_each(event.target)
            case Kind.NO_ETCD:
                self._without_etcd(event.target)
            case Kind.OSD_FULL:
                self._fill(event.target)
            case Kind.ALL_OFF:
                self._off(self._hosts.values())
                self._on(self._hosts.values())
        self.wait_whole()

    def wait_whole(self) -> None:
        """Return when every daemon is back, data is where it should be, control answers and every writer goes on."""
        wait("the cluster is whole", self._whole)
        wait("every control node is well", self._control_is_well)
        self._go_on(self._storage)

    def seen(self, host: str) -> Seen:
        """How the cluster is, as a host sees it."""
        answer = self._demo.run(host, ["python3", "-c", SEEN], timeout=90)
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in json.loads(answer).items()}
        return Seen(**values)

    def _whole(self) -> object:
        seen = self.seen(self._storage[0])
        return seen.whole(len(self._storage)) or seen

    def _control_is_well(self) -> object:
        nodes = self._demo.ask("control", "list")
        return all(node["state"] == "healthy" for node in nodes) or nodes

    def _go_on(self, hosts: Iterable[str], records: int = RECORDS) -> None:
        """Wait until each of these writers has more acknowledged."""
        before = {}
        for host in hosts:
            wait(f"{host} answers", lambda host=host: self._workload.count(host) > 0)
            before[host] = self._workload.count(host)
        for host, count in before.items():
            wait(
                f"the writer of {host} goes on",
                lambda host=host, count=count: self._workload.count(host) >= count + records or self._said(host),
            )

    def _said(self, host: str) -> str:
        return f"{self._workload.count(host)} records; {self._workload.words(host)}"

    def _cut(self, cloud: str) -> None:
        self._demo.lab.cut(cloud)
        try:
            self._go_on(name for name in self._storage if self._hosts[name].cloud != cloud)
        finally:
            self._demo.lab.heal(cloud)

    def _lose(self, hosts: list[Host]) -> None:
        gone = {host.name for host in hosts}
        self._off(hosts)
        try:
            self._go_on(name for name in self._storage if name not in gone)
        finally:
            self._on(hosts)

    def _off(self, hosts: Iterable[Host]) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda host: self._demo.lab.machine(host.name).power_off(), hosts))

    def _on(self, hosts: Iterable[Host]) -> None:
        for host in hosts:
            self._demo.lab.machine(host.name).power_on()

    def _crash_leaders(self) -> None:
        seen = self.seen(self._storage[0])
        servers = [(name.removeprefix("mds-"), "ceph-mds@*") for name in seen.active]
        client = next(host for host in reversed(self._storage) if host != seen.leader)
        for host, unit in ((seen.leader, "ceph-mon@*"), *servers, (client, CLIENT)):
            self._crash(host, unit)

    def _crash_each(self, host: str) -> None:
        for unit in (*CEPH, *OURS, CLIENT):
            self._crash(host, unit)
            self._go_on(self._storage)
            wait(f"{unit} of {host} runs again", lambda unit=unit: self._runs(host, unit))

    def _without_etcd(self, host: str) -> None:
        nodes = [node.name for node in self._demo.control_nodes]
        for node in nodes:
            self._demo.run(node, ["systemctl", "stop", ETCD], timeout=150)
        try:
            self._go_on(self._storage)
            self._crash(host, CLIENT)
            self._go_on(self._storage)
        finally:
            for node in nodes:
                self._demo.run(node, ["systemctl", "start", "--no-block", ETCD])

    def _fill(self, host: str) -> None:
        """An OSD says that it is full, as Ceph lets one say it; tests/system/faults/test_full.py fills disks for real.

        Meanwhile writes are refused, and what is there is read and removed.
        """
        osd = next(one["id"] for one in self._demo.ask("storage", "osd", "list") if one["host"] == host)
        files = {name: f"{MOUNT_POINT}/before-{name}" for name in self._storage}
        for name, path in files.items():
            self._demo.run(name, ["sh", "-c", f"echo {name} >{path} && sync {path}"], timeout=PATIENCE_S)
        self._inject_full(osd, "full")
        try:
            wait("a write is refused", self._is_refused)
            wait("storage says that an OSD is full", self._says_full)
            for name, reader in zip(files, reversed(self._storage), strict=True):
                found = self._demo.run(reader, ["cat", files[name]], timeout=PATIENCE_S)
                assert found == f"{name}\n", f"{files[name]} as {reader} reads it"
            for remover, path in zip(self._storage, files.values(), strict=True):
                self._demo.run(remover, ["rm", path], timeout=PATIENCE_S)
        finally:
            self._inject_full(osd, "none")

    def _inject_full(self, osd: int, state: str) -> None:
        words = ["ceph", "--connect-timeout", "20", "tell", f"osd.{osd}", "injectfull", state]
        self._demo.run(self._storage[0], words, timeout=60)

    def _is_refused(self) -> object:
        """Writing, for want of space; or making a file, as not permitted: so a metadata server says it."""
        probe = f"{MOUNT_POINT}/probe"
        words = ["dd", "if=/dev/zero", f"of={probe}", "bs=4k", "count=1", "conv=fsync", "status=none"]
        try:
            self._demo.run(self._storage[0], words, timeout=60)
        except LarvaError as error:
            said = ("No space left on device", "Permission denied")
            return any(words in error.message for words in said) or error.message
        finally:
            self._demo.run(self._storage[0], ["rm", "-f", probe], timeout=60)
        return "it was written"

    def _says_full(self) -> object:
        told = [one["code"] for one in self._demo.ask("storage", "status")["health"]]
        return "OSD_FULL" in told or told

    def _crash(self, host: str, unit: str) -> None:
        self._demo.run(host, ["systemctl", "kill", "--signal=KILL", unit])

    def _runs(self, host: str, unit: str) -> object:
        states = self._demo.run(host, ["systemctl", "show", "--property=ActiveState", "--value", unit]).split()
        return (bool(states) and set(states) == {"active"}) or states
