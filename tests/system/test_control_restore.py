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
from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from cladnet import keys, network_hosts, networks
from cladnet.control import aftercare, backup, restore, vault
from cladnet.enrol import enrolment, joining
from cladnet.enrol.join_file import Join, JoinFile
from cladnet.enrol.membership import enrolled_hosts
from cladnet.etcd.store import Store
from cladnet.member import Member
from cladnet.model import Command, EnrolledHost, NetworkingRule, Role
from larva.errors import Conflict, HostUnfit, MalformedData, Refused

PATIENCE_S = 90.0
LARVA = Path(sys.executable).with_name("larva")
SECRET = vault.Passphrase("correct horse battery")
AGENT = """
    # The real agent on a data path that only writes down what it is told.
    import json, os, signal, sys, threading
    from ipaddress import IPv4Address, IPv4Interface
    from pathlib import Path
    from cladnet.agent import agent, datapath_keeper, discovery
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
    datapath_keeper.take = lambda kind, interface, encryption: datapath
    datapath_keeper.clear = lambda interface: None
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
        self._agents: dict[str, subprocess.Popen[bytes]] = {}

    def start_controller(self, node: Any) -> subprocess.Popen[bytes]:
        """Run `larva controller` on a control node."""
        argv = [str(LARVA), "controller", "--grace", "1", "--metrics", "off"]
        return self._start(argv, node.directory, self.directory / "controller.log")

    def join(self, host: str, node: Any, token: str, *, anew: bool = False) -> None:
        """Enrol a host."""
        with self._as_host(self.directory / host):
            join = Join(server=node.server, ca=node.authority().fingerprint(), token=token)
            joining.enrol(JoinFile(host=host, join=join), patience_s=20, anew=anew)

    def start_agent(self, host: str) -> None:
        """Run its agent; a new one if it runs."""
        if host in self._agents:
            end(self._agents[host])
        number = self._numbers.setdefault(host, 10 + len(self._numbers))
        argv = [sys.executable, "-c", textwrap.dedent(AGENT), str(number)]
        self._agents[host] = self._start(argv, self.directory / host, self.directory / f"{host}.log")

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
    for host in ("a", "b", "c"):
        fleet.join(host, node, token)
        fleet.start_agent(host)
    addresses = {host: fleet.wait_address(host) for host in ("a", "b", "c")}
    for host in ("a", "b", "c"):
        fleet.wait_peers(host, *({"a", "b", "c"} - {host}))

    with node.store() as store:  # as if c had its rule from yesterday
        rule = store.get(keys.rule(mesh, "c"), NetworkingRule)
        store.replace(rule, replace(rule.value, valid_until=rule.value.valid_until - timedelta(days=1)))
    saved = tmp_path / "system.backup"
    manifest = take(node, as_host, saved)
    assert saved.stat().st_mode & 0o777 == 0o600
    assert (manifest.control_nodes, manifest.cladnets, manifest.hosts) == (("control-1",), ("mesh",), 4)
    assert backup.show(saved, SECRET) == manifest
    fingerprint = node.authority().fingerprint()

    fleet.join("late", node, token)  # after the backup: the restored system will know nothing of it
    fleet.start_agent("late")
    addresses["late"] = fleet.wait_address("late")
    for host in ("a", "b", "late"):
        fleet.wait_peers(host, *({"a", "b", "c", "late"} - {host}))
    with node.store() as store:  # agents know a younger rule of c than the backup has, and one that says otherwise
        network_hosts.control(store, mesh, "c", Command.DOWN)
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
    for host in ("a", "b", "c"):  # they find the restored system by themselves, and drop whom it does not know
        fleet.wait_peers(host, *({"a", "b", "c"} - {host}))
    (fleet.directory / "late/state/datapath.json").unlink()
    fleet.start_agent("late")  # it reboots while etcd refuses it, and comes up as it was
    until("late comes up from its cache", lambda: fleet.told("late") == before["late"])
    until("late is refused, and says so", lambda: "does not allow" in (fleet.directory / "late.log").read_text())
    with node.store() as store:
        until(
            "those of the backup are seen again",
            lambda: {keys.last_segment(key) for key in store.revisions(keys.presences_of(mesh))} == {"a", "b", "c"},
        )
        with pytest.raises(Refused, match="not known"):
            fleet.join("thief", node, token)  # the backup's tokens may have been revoked after it
        fresh = enrolment.create_token(store, group=mesh, roles=(Role.MEMBER,), ttl_s=3600, uses=9)
    fleet.join("new", node, fresh)
    fleet.start_agent("new")
    addresses["new"] = fleet.wait_address("new")
    assert len(set(addresses.values())) == 5, addresses  # late still uses the address that looks free

    fleet.join("late", node, fresh, anew=True)
    fleet.start_agent("late")  # as `larva join` does
    for host in ("a", "b"):
        until(f"{host} has late as a peer", lambda host=host: len(fleet.told(host)["peers"]) == 4)
    until("late has its new address", lambda: fleet.told("late")["address"] not in (None, str(addresses["late"])))
    addresses["late"] = fleet.wait_address("late")
    everybody = {"a", "b", "c", "late", "new"}
    for host in everybody:
        fleet.wait_peers(host, *(everybody - {host}))
    for host in ("a", "b"):
        assert fleet.told(host)["downs"] == 0, "no tunnel was ever taken down"
    assert len(set(addresses.values())) == 5, addresses
    assert {host: fleet.wait_address(host) for host in addresses} == addresses
    with node.store() as store:
        assert aftercare.release(store, "mesh") == ("mesh",)
        assert aftercare.release(store, None) == ()
        assert networks.find(store, "mesh").withheld_to is None
        rules = store.children(keys.rules_of(mesh), NetworkingRule)
        assert {host: rule.value.address for host, rule in rules.items()} == addresses


def test_a_backup_by_the_command_is_whole_or_not_there_and_the_last_ones_are_kept(
    control_node: Any, tmp_path: Path
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    key = tmp_path / "backup.key"

    def larva(*words: object, ok: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        moved = {"LARVA_STATE": str(control_node.directory / "state"), **environment}
        argv = [str(LARVA), "control", *map(str, words)]
        done = subprocess.run(
            argv, env={**os.environ, **moved}, capture_output=True, text=True, timeout=PATIENCE_S,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert (done.returncode == 0) == ok, done.stderr
        assert "horse" not in done.stderr + done.stdout
        return done

    public = larva("backup-key", key).stdout.strip()
    assert key.stat().st_mode & 0o777 == 0o600
    assert "there already" in larva("backup-key", key, ok=False).stderr
    made = [Path(larva("backup", "--to", shelf, "--keep", 2, "--recipient", public).stdout.strip()) for _ in range(3)]
    assert sorted(shelf.iterdir()) == made[1:]
    shown = json.loads(larva("backup-show", made[-1], "--key-file", key, "--json").stdout)
    assert (shown["host"], shown["control_nodes"]) == ("control-1", ["control-1"])
    assert {part["name"] for part in shown["parts"]} >= {"ca/ca.key", "ca/members/ca.key", "revoked.pem", "etcd.db"}
    assert "public key" in larva("backup-show", made[-1], ok=False, LARVA_BACKUP_PASSPHRASE=SECRET.text).stderr
    assert "nobody is there to ask" in larva("backup", tmp_path / "x", ok=False).stderr

    one = tmp_path / "one.backup"
    larva("backup", one, LARVA_BACKUP_PASSPHRASE=SECRET.text)
    assert "control-1" in larva("backup-show", one, LARVA_BACKUP_PASSPHRASE=SECRET.text).stdout
    wrong = larva("backup-show", one, ok=False, LARVA_BACKUP_PASSPHRASE="another passphrase")
    assert "passphrase is not the one" in wrong.stderr

    left = set(shelf.iterdir())
    killed = textwrap.dedent("""
        import os, sys
        from larva.cli import main
        from cladnet.control.archive import Packer
        Packer.finish = lambda *_: os._exit(9)
        sys.argv = ["larva", "control", "backup", "--to", sys.argv[1], "--keep", "1", "--recipient", sys.argv[2]]
        main()
    """)
    moved = {"LARVA_STATE": str(control_node.directory / "state")}
    assert subprocess.run([sys.executable, "-c", killed, shelf, public], env={**os.environ, **moved}).returncode == 9
    [half] = set(shelf.iterdir()) - left
    assert half.name.startswith(".")
    assert half.stat().st_mode & 0o777 == 0o600
    newest = Path(larva("backup", "--to", shelf, "--recipient", public).stdout.strip())
    assert set(shelf.iterdir()) == {*left, newest}, "what the killed one left is gone, and nothing else"


@pytest.mark.root
def test_a_full_disk_costs_no_earlier_backup(control_node: Any, tmp_path: Path, as_host: Any) -> None:
    from click.testing import CliRunner

    from cladnet.commands.control_backup import backup as command
    from larva.errors import SystemRefused

    full = tmp_path / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "larva-test", full], check=True)
    try:
        earlier = full / "larva-00000000-000001-20260101T000000Z.backup"
        earlier.write_bytes(b"earlier")
        with as_host(control_node.directory):
            told = CliRunner().invoke(
                command, ["--to", str(full), "--keep", "1"], env={"LARVA_BACKUP_PASSPHRASE": SECRET.text}
            )
        assert isinstance(told.exception, SystemRefused), told.output
        assert "No space left" in told.exception.message
        assert list(full.iterdir()) == [earlier]
    finally:
        subprocess.run(["umount", full], check=True)


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_what_cannot_be_restored_changes_nothing(
    control_node: Any, control_node_factory: Any, as_host: Any, tmp_path: Path, fast_passphrases: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    saved = tmp_path / "system.backup"
    with control_node.store() as store:
        networks.create(store, name="some")
        record = replace(store.get(keys.enrolled_host("control-1"), EnrolledHost).value, host="aws-1", groups=())
        store.create(keys.enrolled_host("aws-1"), replace(record, roles=(Role.MEMBER,), user="aws-1.x"))
    take(control_node, as_host, saved)
    whole = saved.read_bytes()
    (tmp_path / "cut.backup").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "changed.backup").write_bytes(whole[:-9000] + b"x" + whole[-8999:])
    (tmp_path / "other.backup").write_bytes(b"something else")

    def install(node: Any, path: Path, secret: vault.Secret = SECRET, **changed: Any) -> restore.Restored:
        with as_host(node.directory):
            return restore.install(
                path, secret, replace(node.wanted, **changed), replace_old=False, stop_services=node.close,
                ports=node.ports,
            )  # fmt: skip

    fresh = control_node_factory()
    for path, secret, error, told in (
        (saved, vault.Passphrase("another passphrase"), Refused, "passphrase is not"),
        (tmp_path / "cut.backup", SECRET, MalformedData, "cut"),
        (tmp_path / "changed.backup", SECRET, MalformedData, "changed"),
        (tmp_path / "other.backup", SECRET, MalformedData, "not a backup"),
    ):
        with pytest.raises(error, match=told):
            install(fresh, path, secret)
        assert contents(fresh.directory) == {}
    with pytest.raises(Conflict, match="aws-1 that is no control node"):
        install(fresh, saved, host="aws-1")
    assert contents(fresh.directory) == {}
    monkeypatch.setattr(restore, "_etcd_here", lambda: "3.3.27")
    with pytest.raises(HostUnfit, match=r"3\.3\.27"):
        install(fresh, saved)
    assert contents(fresh.directory) == {}
    before = control_node.authority().fingerprint()
    with pytest.raises(Conflict, match="has a control plane already"):
        install(control_node, saved)
    with control_node.store() as store:
        assert networks.find(store, "some").name == "some"
    assert control_node.authority().fingerprint() == before
    member = control_node_factory()
    with as_host(control_node.directory):
        elsewhere = Member.load()
    with as_host(member.directory):
        (member.directory / "state").mkdir()
        elsewhere.save()
    with pytest.raises(Conflict, match="is a member of the system at"):
        install(member, saved)


def test_another_machine_with_another_name_and_address_takes_over(
    control_node_factory: Any, fleet: Fleet, as_host: Any, tmp_path: Path, fast_passphrases: None
) -> None:
    old, saved = control_node_factory(), tmp_path / "system.backup"
    old.found()
    old.start_console()
    with old.store() as store:
        mesh = networks.create(store, name="mesh", cidr="10.77.0.0/29").id
        token = enrolment.create_token(store, group=mesh, roles=(Role.MEMBER,), ttl_s=3600, uses=1)
    fleet.join("a", old, token)
    take(old, as_host, saved)
    with old.store() as store:
        certificate = store.get(keys.enrolled_host("control-1"), EnrolledHost).value.certificate_serial
    destroy(old)

    new = control_node_factory()  # it booted as an appliance does, and founded a system of its own
    new.wanted = replace(
        new.wanted, host="control-9", control=replace(new.wanted.control, public_address=IPv4Address("127.0.0.2"))
    )
    new.found()
    with new.store() as store:
        networks.create(store, name="unwanted")
    stranger = new.authority().fingerprint()
    done = bring_back(new, as_host, saved, replace_old=True)
    assert done.moved_to == new.directory / "state/replaced.1"
    assert done.cared is not None
    assert done.cared.dropped_control_nodes == ("control-1",)
    assert {path.name for path in done.moved_to.iterdir()} == {"ca", "etcd", "revoked.pem"}
    assert new.authority().fingerprint() == done.manifest.ca != stranger
    new.start_console()
    with new.store() as store:
        assert [each.name for each in networks.list_all(store)] == ["mesh"]
        assert {host.host: host.roles for host in enrolled_hosts(store)} == {
            "a": (Role.MEMBER,), "control-9": (Role.CONTROL,),
        }  # fmt: skip
        assert store.exists(keys.revoked(certificate))
        place = enrolment.control_plane(store)
        assert place.etcd_endpoints == (f"https://127.0.0.2:{new.ports.client}",)
        assert [node.host for node in place.nodes] == ["control-9"]

    with as_host(fleet.directory / "a"):  # `larva join --server …` with what its join.toml has
        join = Join(server=new.server, ca=done.manifest.ca, token=token)
        key = (fleet.directory / "a/state/tls/client.key").read_bytes()
        member = joining.enrol(JoinFile(host="a", join=join), patience_s=20, anew=True)
        assert (fleet.directory / "a/state/tls/client.key").read_bytes() == key
        assert (member.server, member.etcd_endpoints) == (join.server, place.etcd_endpoints)
        with Store.of_this_host() as store:
            assert store.get(keys.enrolled_host("a"), EnrolledHost).value.groups == (mesh,)
    new.close()


KILLED = """
    # Restores, and dies at the n-th renaming: of what was there, of what comes, of the mark that it is not complete.
    import os, sys
    from pathlib import Path
    from cladnet.control import restore, vault
    from cladnet.control.etcd_config import Ports
    from cladnet.enrol.join_file import JoinFile

    left, real = [int(sys.argv[2])], Path.rename

    def rename(path, target):
        if "state/" in str(target):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
        return real(path, target)

    Path.rename = rename
    wanted = restore.as_founder(JoinFile(), host="control-1", public_address=None)
    restore.install(
        Path(sys.argv[1]), vault.Passphrase("correct horse battery"), wanted,
        replace_old=True, stop_services=lambda: None,
        ports=Ports(client=int(sys.argv[3]), peer=int(sys.argv[4]), console=int(sys.argv[5])),
    )
"""


@pytest.mark.parametrize("renaming", [1, 3, 4, 6, 7])
def test_a_restore_that_is_killed_is_completed_by_the_next(
    control_node_factory: Any, as_host: Any, tmp_path: Path, fast_passphrases: None, renaming: int
) -> None:
    node, saved = control_node_factory(), tmp_path / "system.backup"
    node.found()
    with node.store() as store:
        networks.create(store, name="kept")
    take(node, as_host, saved)
    with node.store() as store:
        networks.create(store, name="later")
    node.close()
    state = node.directory / "state"
    before = (state / "ca/ca.key").read_bytes()
    ports = [str(port) for port in (node.ports.client, node.ports.peer, node.ports.console)]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(saved), str(renaming), *ports],
        env={**os.environ, "LARVA_STATE": str(state)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 9, done.stderr
    with pytest.raises(Conflict, match="stopped in the middle"):  # a reboot now must not found upon half of it
        node.found()
    again = bring_back(node, as_host, saved)
    assert again.cared is not None
    with node.store() as store:
        assert [each.name for each in networks.list_all(store)] == ["kept"]
    assert (state / "ca/ca.key").read_bytes() == before
    assert before in [path.read_bytes() for path in state.glob("replaced.*/ca/ca.key")], "what was there is kept"
    assert not (state / ".restoring").exists()
    with pytest.raises(Conflict, match="has a control plane already"):  # it is complete: another one is another one
        bring_back(node, as_host, saved)
    node.close()


def test_a_restore_that_was_not_founded_upon_goes_on_there(
    control_node_factory: Any, as_host: Any, tmp_path: Path, fast_passphrases: None
) -> None:
    node, saved = control_node_factory(), tmp_path / "system.backup"
    node.found()
    take(node, as_host, saved)
    destroy(node)
    with as_host(node.directory):
        restore.install(saved, SECRET, node.wanted, replace_old=False, stop_services=node.close, ports=node.ports)
    data = node.directory / "state/etcd/data"
    made = data.stat().st_ino
    assert bring_back(node, as_host, saved).cared is None
    assert data.stat().st_ino == made
    assert not (node.directory / "state/restore-installed").exists()
    node.close()
