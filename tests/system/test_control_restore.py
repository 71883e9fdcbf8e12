"""A control plane that is lost as a whole comes back from a backup: same CA, same addresses, and the hosts notice."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from cladnet import keys, networks
from cladnet.control import aftercare, backup, restore, vault
from cladnet.enrol import enrolment, joining
from cladnet.enrol.join_file import Join, JoinFile
from cladnet.model import NetworkingRule, Role
from larva.errors import Refused

PATIENCE_S = 90.0
LARVA = Path(sys.executable).with_name("larva")
SECRET = vault.Passphrase("correct horse battery")
AGENT = """
    # The real agent on a data path that only writes down what it is told.
    import json, os, signal, sys, threading
    from ipaddress import IPv4Address, IPv4Interface
    from pathlib import Path
    from cladnet.agent import agent, attachment, discovery
    from cladnet.etcd.store import Store
    from cladnet.member import Identity, Member
    from cladnet.model import CloudFacts, DatapathKind, NetworkInterface
    from larva import files

    state, number = Path(os.environ["LARVA_STATE"]), int(sys.argv[1])

    class Recorded:
        kind, interface = DatapathKind.WIREGUARD, "cbnet0"
        told = {"address": None, "peers": {}, "downs": 0}

        def up(self, tunnel):
            self.note(address=str(tunnel.addresses[0].ip))

        def sync(self, peers):
            self.note(peers={peer.public_key: str(peer.allowed[0].network_address) for peer in peers})

        def stats(self):
            return ()

        def down(self):
            self.note(downs=self.told["downs"] + 1)

        def note(self, **changed):
            self.told.update(changed)
            files.write_whole(state / "datapath.json", json.dumps(self.told))

    datapath = Recorded()
    attachment.choose = lambda kind, interface: datapath
    discovery.metadata = lambda: discovery.Metadata(public_address=None, cloud=CloudFacts(provider="test"))
    eth0 = NetworkInterface(name="eth0", mtu=1500, addresses=(IPv4Interface(f"192.0.2.{number}/24"),))
    discovery.interfaces = lambda: (eth0,)
    discovery.public_address = lambda *_, **__: IPv4Address(f"203.0.113.{number}")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with Store.of_this_host() as store:
        agent.Agent(store, Member.load(), Identity.load()).run(stop)
"""


def until(what: str, condition: Callable[[], object]) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not so in time: {what}"
        time.sleep(0.05)


class Fleet:
    """Hosts with agents as processes, and what runs on the control node besides etcd and the console."""

    def __init__(self, directory: Path, as_host: Any, stack: contextlib.ExitStack) -> None:
        self.directory = directory
        self._as_host = as_host
        self._stack = stack
        self._numbers: dict[str, int] = {}

    def start_controller(self, node: Any) -> subprocess.Popen[bytes]:
        """Run `larva controller` on a control node."""
        argv = [str(LARVA), "controller", "--grace", "1", "--metrics", "off"]
        return self._start(argv, node.directory, self.directory / "controller.log")

    def join(self, host: str, node: Any, token: str, *, anew: bool = False) -> None:
        """Enrol a host."""
        with self._as_host(self.directory / host):
            join = Join(server=node.server, ca=node.authority().fingerprint(), token=token)
            joining.enrol(JoinFile(host=host, join=join), patience_s=20, anew=anew)

    def start_agent(self, host: str) -> subprocess.Popen[bytes]:
        """Run its agent."""
        number = self._numbers.setdefault(host, 10 + len(self._numbers))
        argv = [sys.executable, "-c", textwrap.dedent(AGENT), str(number)]
        return self._start(argv, self.directory / host, self.directory / f"{host}.log")

    def _start(self, argv: list[str], home: Path, log_file: Path) -> subprocess.Popen[bytes]:
        environment = {"LARVA_STATE": str(home / "state"), "LARVA_CONFIG": str(home / "config")}
        with log_file.open("ab") as log:
            process = subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, **environment})
        self._stack.callback(end, process)
        return process

    def told(self, host: str) -> dict[str, Any]:
        """What its data path was told last."""
        try:
            return dict(json.loads((self.directory / host / "state/datapath.json").read_text()))
        except FileNotFoundError:
            return {"address": None, "peers": {}, "downs": 0}

    def wait_peers(self, host: str, *peers: str) -> None:
        """Wait until its data path has exactly these peers."""
        wanted = {str(self.told(peer)["address"]) for peer in peers}
        until(
            f"{host} has the peers {peers}, not {self.told(host)}",
            lambda: set(self.told(host)["peers"].values()) == wanted,
        )

    def wait_address(self, host: str) -> IPv4Address:
        """Return its address when it has one."""
        until(f"{host} has an address", lambda: self.told(host)["address"])
        return IPv4Address(self.told(host)["address"])


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(timeout=20)


@pytest.fixture
def fleet(tmp_path: Path, as_host: Any) -> Iterator[Fleet]:
    with contextlib.ExitStack() as stack:
        yield Fleet(tmp_path, as_host, stack)


@pytest.fixture
def fast_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2's least cost: what it is good for is not tried here."""
    monkeypatch.setattr(vault, "OPERATIONS", 1)
    monkeypatch.setattr(vault, "MEMORY_BYTES", 1 << 13)


def take(node: Any, as_host: Any, path: Path, lock: vault.Lock = SECRET) -> Any:
    """`larva control backup` without its command line."""
    from cladnet.access.root import open_root

    with as_host(node.directory), open_root() as root:
        return backup.take(root, "control-1", path, lock)


def bring_back(node: Any, as_host: Any, path: Path, **options: Any) -> restore.Restored:
    """`larva control restore` without systemd."""
    with as_host(node.directory):
        done = restore.install(
            path, SECRET, node.wanted,
            **{"replace_old": False, "stop_services": node.close, "ports": node.ports} | options,
        )  # fmt: skip
        node.found()
        restore.finish()
    return done


def destroy(node: Any) -> None:
    """The control node's machine is gone."""
    node.close()
    node.console = node.etcd = None
    for part in ("state", "config"):
        shutil.rmtree(node.directory / part, ignore_errors=True)


def test_hosts_outlive_the_loss_of_everything_and_find_the_restored_system(
    control_node_factory: Any, fleet: Fleet, as_host: Any, tmp_path: Path, fast_passphrases: None
) -> None:
    node = control_node_factory()
    node.found()
    node.start_console()
    controller = fleet.start_controller(node)
    with node.store() as store:
        mesh = networks.create(store, name="mesh", cidr="10.77.0.0/24").id
        token = enrolment.create_token(store, group=mesh, roles=(Role.MEMBER,), ttl_s=3600, uses=9)
    for host in ("a", "b"):
        fleet.join(host, node, token)
        fleet.start_agent(host)
    addresses = {host: fleet.wait_address(host) for host in ("a", "b")}
    fleet.wait_peers("a", "b")
    fleet.wait_peers("b", "a")

    saved = tmp_path / "system.backup"
    manifest = take(node, as_host, saved)
    assert saved.stat().st_mode & 0o777 == 0o600
    assert (manifest.control_nodes, manifest.cladnets, manifest.hosts) == (("control-1",), ("mesh",), 3)
    assert backup.show(saved, SECRET) == manifest
    fingerprint = node.authority().fingerprint()

    fleet.join("late", node, token)  # after the backup: the restored system will know nothing of it
    fleet.start_agent("late")
    addresses["late"] = fleet.wait_address("late")
    for host in ("a", "b", "late"):
        fleet.wait_peers(host, *({"a", "b", "late"} - {host}))
    before = {host: fleet.told(host) for host in addresses}

    end(controller)
    destroy(node)
    restored = bring_back(node, as_host, saved)
    assert restored.moved_to is None
    assert restored.cared is not None
    assert restored.cared.dropped_tokens == 1
    assert node.authority().fingerprint() == fingerprint
    assert {host: fleet.told(host) for host in before} == before, "nobody's data path was touched"

    node.start_console()
    fleet.start_controller(node)
    fleet.wait_peers("a", "b")  # they found the restored system by themselves, and dropped whom it does not know
    fleet.wait_peers("b", "a")
    until("late is refused, and told so", lambda: "going on with" in (fleet.directory / "late.log").read_text())
    with node.store() as store:
        until(
            "a and b are seen again",
            lambda: {keys.last_segment(key) for key in store.revisions(keys.presences_of(mesh))} == {"a", "b"},
        )
        with pytest.raises(Refused, match="not known"):
            fleet.join("thief", node, token)  # the backup's tokens may have been revoked after it
        fresh = enrolment.create_token(store, group=mesh, roles=(Role.MEMBER,), ttl_s=3600, uses=9)
    fleet.join("new", node, fresh)
    fleet.start_agent("new")
    addresses["new"] = fleet.wait_address("new")
    assert len(set(addresses.values())) == 4, addresses  # late still uses the address that looks free

    fleet.join("late", node, fresh, anew=True)
    for host in ("a", "b"):
        until(f"{host} has late as a peer", lambda host=host: len(fleet.told(host)["peers"]) == 3)
    until("late has its new address", lambda: fleet.wait_address("late") != addresses["late"])
    addresses["late"] = fleet.wait_address("late")
    everybody = {"a", "b", "late", "new"}
    for host in everybody:
        fleet.wait_peers(host, *(everybody - {host}))
        assert fleet.told(host)["downs"] == 0, "no tunnel was ever taken down"
    assert len(set(addresses.values())) == 4, addresses
    assert {host: fleet.wait_address(host) for host in ("a", "b")} == {host: addresses[host] for host in ("a", "b")}
    with node.store() as store:
        assert aftercare.release(store, "mesh") == ("mesh",)
        assert aftercare.release(store, None) == ()
        assert networks.find(store, "mesh").withheld_to is None
        rules = store.children(keys.rules_of(mesh), NetworkingRule)
        assert {host: rule.value.address for host, rule in rules.items()} == addresses
