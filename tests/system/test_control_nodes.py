"""Several control nodes: each with its etcd, console and controller, joined to the first as a VM's user-data would.

Tried here, on one system that lives through it all: two are added; the leader is killed; two are, and come back; one
that is dead is removed and replaced; the first one is removed. The tests run in this order, each begins where the one
before it ended.
"""

import http.client
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cladnet import keys, networks
from cladnet.control import accession
from cladnet.enrol import enrolment, joining
from cladnet.enrol.join_file import Join, JoinFile
from cladnet.etcd.store import Event, Store
from cladnet.following import FollowingStore
from cladnet.member import Member
from cladnet.model import EnrolledHost, Role
from larva.errors import Conflict, Unavailable

LARVA = Path(sys.executable).with_name("larva")
PATIENCE_S = 60.0


def larva(node: Any, *words: str) -> subprocess.CompletedProcess[str]:
    """`larva …` as typed on a control node."""
    here = {"LARVA_STATE": str(node.directory / "state"), "LARVA_CONFIG": str(node.directory / "config")}
    return subprocess.run(
        [LARVA, *words], capture_output=True, text=True, timeout=120, env={**os.environ, **here}, check=False
    )


def ask(node: Any, *words: str) -> Any:
    done = larva(node, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def states(node: Any) -> dict[str, str]:
    return {each["host"]: each["state"] for each in ask(node, "control", "list")}


def eventually(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_S:g} s"
        time.sleep(0.1)


class System:
    """The control nodes by name, and one host that joined when there was only the first of them."""

    def __init__(self, first: Any, make: Callable[..., Any], directory: Path, as_host: Any) -> None:
        self.nodes = {"control-1": first}
        self.directory = directory
        self.as_host = as_host
        self._make = make

    @property
    def all_tls(self) -> Any:
        return next(iter(self.nodes.values())).tls_files()

    def store(self, *, timeout: float = 30.0) -> Store:
        """A connection to every control node, as a control node; a call may last as long as an election."""
        endpoints = [f"https://{node.address}:{node.ports.client}" for node in self.nodes.values()]
        return Store(endpoints, tls=self.all_tls, timeout=timeout)

    def add(self, asked: Any, number: int) -> Any:
        """A new machine with what `larva control add` says on one of the control nodes."""
        new = ask(asked, "control", "add", "--host", f"control-{number}")
        node = self._make(number=number)
        node.accede(Join(server=new["server"], servers=tuple(new["servers"]), ca=new["ca"], token=new["token"]))
        self.run(node)
        self.nodes[new["host"]] = node
        return node

    def run(self, node: Any) -> None:
        node.start_console()
        node.start_controller()

    def leader(self) -> str:
        found = ask(next(iter(self.nodes.values())), "control", "list")
        return next(each["host"] for each in found if each["leader"])

    def token(self, group: str) -> str:
        with self.store() as store:
            return enrolment.create_token(store, group=group, roles=(Role.MEMBER,), ttl_s=600, uses=1)

    def enrol(self, name: str, server: str, group: str) -> Member:
        """A new host joins by one console."""
        ca = next(iter(self.nodes.values())).authority().fingerprint()
        join = Join(server=server, ca=ca, token=self.token(group))
        with self.as_host(self.directory / name):
            return joining.enrol(JoinFile(host=name, join=join), patience_s=PATIENCE_S)


@pytest.fixture(scope="module")
def system(
    control_node: Any, control_node_factory: Any, as_host: Any, tmp_path_factory: pytest.TempPathFactory
) -> System:
    control_node.start_controller()
    return System(control_node, control_node_factory, tmp_path_factory.mktemp("hosts"), as_host)


@pytest.fixture(scope="module")
def group(system: System) -> str:
    with system.store() as store:
        return networks.create(store, name="seoul", cidr="10.77.0.0/16").id


def test_the_first_control_node_is_listed(system: System) -> None:
    first = system.nodes["control-1"]
    [found] = ask(first, "control", "list")
    assert (found["host"], found["state"], found["leader"], found["problem"]) == ("control-1", "healthy", True, "")
    assert found["etcd_endpoint"] == f"https://127.0.0.1:{first.ports.client}"
    assert int(found["member_id"], 16) > 0
    assert found["db_bytes"] > 0
    told = larva(first, "control", "list")
    assert "control-1" in told.stdout
    assert "1 member survives the loss of none" in told.stderr


def test_a_host_that_only_knows_the_first_joins(system: System, group: str) -> None:
    first = system.nodes["control-1"]
    member = system.enrol("early", first.server, group)
    assert member.etcd_endpoints == (f"https://127.0.0.1:{first.ports.client}",)


def test_two_are_added_and_everybody_learns_of_them(system: System, group: str) -> None:
    with system.as_host(system.directory / "early"), closing(FollowingStore.of_this_host()) as running:
        told = larva(system.nodes["control-1"], "control", "add", "--host", "never-comes", "--user-data")
        assert told.stdout.startswith("#cloud-config")
        assert 'host = "never-comes"' in told.stdout
        assert "2 members survive the loss of none, no more than 1 would" in told.stderr
        second = system.add(system.nodes["control-1"], 2)
        third = system.add(second, 3)
        for node in system.nodes.values():
            eventually(
                "each sees three",
                lambda node=node: states(node) == dict.fromkeys(["control-1", "control-2", "control-3"], "healthy"),
            )
        wanted = {f"https://{node.address}:{node.ports.client}" for node in system.nodes.values()}
        eventually("the host uses all", lambda: {each.url for each in running.cluster.endpoints} == wanted)
        eventually("and will after a reboot", lambda: set(Member.load().etcd_endpoints) == wanted)
        assert set(Member.load().servers) == {node.server for node in system.nodes.values()}
    with system.as_host(third.directory):
        mine = Member.load()
    assert mine.etcd_endpoints[0] == f"https://127.0.0.1:{third.ports.client}"
    assert len(mine.etcd_endpoints) == 3
    assert mine.server == third.server
    first = system.nodes["control-1"]
    with system.as_host(first.directory):
        eventually("the first knows the others too", lambda: len(Member.load().etcd_endpoints) == 3)


def test_booting_again_changes_nothing(system: System) -> None:
    with system.store() as store:
        before = enrolment.control_plane(store)
    members = {each["host"]: each["member_id"] for each in ask(system.nodes["control-1"], "control", "list")}
    for name, node in system.nodes.items():
        with system.as_host(node.directory):
            known = Member.load()
        assert (node.found() if name == "control-1" else node.accede()) == known
    with system.store() as store:
        assert enrolment.control_plane(store) == before
    assert {each["host"]: each["member_id"] for each in ask(system.nodes["control-1"], "control", "list")} == members


def test_the_leader_is_killed_and_work_goes_on(system: System, group: str) -> None:
    """A write, a watch from before, a controller's and a console's work; then the node comes back."""
    lost = system.leader()
    others = [name for name in system.nodes if name != lost]
    seen: list[str] = []
    with system.store() as store:
        watch = store.watch(["test/"])

        def follow() -> None:
            seen.extend(item.key if isinstance(item, Event) else "stands" for item in watch)

        watcher = threading.Thread(target=follow)
        watcher.start()
        eventually("the watch stands", lambda: "stands" in seen)
        store.put("test/before", 1)
        eventually("the watch tells", lambda: "test/before" in seen)
        system.nodes[lost].kill()
        store.put("test/after", 2)
        eventually("the watch goes on", lambda: "test/after" in seen)
        watch.close()
        watcher.join(timeout=20)
    member = system.enrol("late", system.nodes[others[0]].server, group)
    with system.as_host(system.directory / "late"), Store.of_this_host() as store:
        assert store.get(keys.enrolled_host("late"), EnrolledHost) is not None, "its rights were given"
    assert len(member.etcd_endpoints) == 3
    found = states(system.nodes[others[0]])
    assert found.pop(lost) == "silent"
    assert set(found.values()) == {"healthy"}
    with pytest.raises(AssertionError, match=f"{lost} is silent"):
        ask(system.nodes[others[0]], "control", "add")

    node = system.nodes[lost]
    with system.as_host(node.directory):
        known = Member.load()
    again = node.found() if lost == "control-1" else node.accede()
    assert again == known
    system.run(node)
    eventually("it is back", lambda: set(states(node).values()) == {"healthy"})


def test_two_are_killed_and_nothing_is_written_until_one_is_back(system: System, group: str) -> None:
    kept, *lost = system.nodes.values()
    for node in lost:
        node.kill()
    with system.store(timeout=5.0) as store, pytest.raises(Unavailable, match="no etcd endpoint answered"):
        store.put("test/lonely", 1)
    done = larva(kept, "control", "list")
    assert done.returncode == 69
    assert "Traceback" not in done.stderr
    lost[0].start_etcd()
    with system.store() as store:
        eventually("a write is possible", lambda: writes(store))
    lost[1].start_etcd()
    for node in lost:
        system.run(node)
    eventually("all are back", lambda: set(states(kept).values()) == {"healthy"})


def writes(store: Store) -> bool:
    try:
        store.put("test/again", 1)
    except Unavailable:
        return False
    return True


def test_a_dead_one_is_removed_and_replaced(system: System, group: str) -> None:
    first = system.nodes["control-1"]
    dead = system.nodes.pop("control-3")
    dead.kill()
    with pytest.raises(AssertionError, match="cannot remove itself"):
        ask(first, "control", "remove", "control-1")
    with pytest.raises(AssertionError, match="nobody could write any more"):
        ask(first, "control", "remove", "control-2")
    assert "larva control remove control-3" in larva(first, "enrol", "remove", "control-3").stderr
    eventually("it is seen to be dead", lambda: states(first)["control-3"] == "silent")
    assert {each["host"] for each in ask(first, "control", "remove", "control-3")} == {"control-1", "control-2"}
    with system.store() as store:
        assert store.get(keys.enrolled_host("control-3"), EnrolledHost) is None
        plane = enrolment.control_plane(store)
    assert f"https://{dead.address}:{dead.ports.client}" not in plane.etcd_endpoints
    assert dead.server not in plane.servers
    assert "there is no control node control-3" in larva(first, "control", "remove", "control-3").stderr

    replacement = system.add(first, 4)
    assert states(replacement) == dict.fromkeys(["control-1", "control-2", "control-4"], "healthy")
    assert_shut_out(system, dead)
    with pytest.raises((Conflict, Unavailable)):
        dead.accede(patience_s=3)


def assert_shut_out(system: System, removed: Any) -> None:
    """None of a removed control node's certificates opens anything: not as itself, not as root, not as a member."""
    state = removed.directory / "state"
    for node in system.nodes.values():
        for certificate in (state / "tls/client.pem", state / "ca/root.pem"):
            ca = state / "tls/ca.pem"
            eventually(
                f"{certificate.name} is refused by {node.address}",
                lambda node=node, certificate=certificate, ca=ca: (
                    not tls_answers(str(node.address), node.ports.client, ca, certificate)
                ),
            )
        peer = state / "etcd/peer.pem"
        assert not tls_answers(str(node.address), node.ports.peer, state / "etcd/peer-ca.pem", peer)
        mine = node.directory / "state/etcd/peer.pem"
        assert tls_answers(str(node.address), node.ports.peer, state / "etcd/peer-ca.pem", mine), "the test can tell"


def tls_answers(address: str, port: int, ca: Path, certificate: Path) -> bool:
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    connection = http.client.HTTPSConnection(address, port, timeout=10, context=context)
    try:
        connection.request("GET", "/version")
        connection.getresponse().read()
    except (ssl.SSLError, ConnectionError, http.client.BadStatusLine):
        return False
    finally:
        connection.close()
    return True


def test_the_first_is_removed_and_who_only_knew_it_goes_on(system: System, group: str) -> None:
    second = system.nodes["control-2"]
    with system.as_host(system.directory / "early"), closing(FollowingStore.of_this_host()) as running:
        assert {each["host"] for each in ask(second, "control", "remove", "control-1")} == {"control-2", "control-4"}
        first = system.nodes.pop("control-1")
        eventually("the host has left it", lambda: all(
            each.url != f"https://127.0.0.1:{first.ports.client}" for each in running.cluster.endpoints
        ))  # fmt: skip
        first.kill()
        assert running.get(keys.enrolled_host("early"), EnrolledHost) is not None
        eventually("its boot will know", lambda: first.server not in Member.load().servers)
        assert Member.load().server in {node.server for node in system.nodes.values()}
    with system.as_host(system.directory / "early"):
        with Store.of_this_host() as store:
            assert store.get(keys.enrolled_host("early"), EnrolledHost) is not None
        join = Join(server=first.server, ca=second.authority().fingerprint(), token="spent")
        assert joining.enrol(JoinFile(host="early", join=join)) == Member.load(), "user-data still names the first"
    assert system.enrol("latest", second.server, group).host == "latest"
    assert_shut_out(system, first)


def test_an_accession_that_nobody_lets_in_ends(system: System, control_node_factory: Any) -> None:
    """While another newcomer is a learner, etcd takes no second one: who waits says so, and ends."""
    second = system.nodes["control-2"]
    with Store(
        [f"https://{second.address}:{second.ports.client}"],
        tls=root_files(second),
    ) as root:
        learner = accession.EtcdMembers(root.cluster).add_learner("https://127.0.0.9:9")
    new = ask(second, "control", "add", "--host", "control-5", "--force")
    join = Join(server=new["server"], servers=tuple(new["servers"]), ca=new["ca"], token=new["token"])
    node = control_node_factory(number=5)
    with pytest.raises(Unavailable):
        node.accede(join, patience_s=2)
    assert states(second)["control-5"] == "joining"
    with Store([f"https://{second.address}:{second.ports.client}"], tls=root_files(second)) as root:
        accession.EtcdMembers(root.cluster).remove(learner.id)
    node.accede()
    assert states(node)["control-5"] == "healthy"


def root_files(node: Any) -> Any:
    from cladnet.etcd.store import TlsFiles

    ca = node.directory / "state/ca"
    return TlsFiles(ca=ca / "ca.pem", certificate=ca / "root.pem", key=ca / "root.key")
