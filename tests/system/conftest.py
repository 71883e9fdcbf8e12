"""Fixtures for tests on real parts: etcd clusters that can be killed, frozen and restarted."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from mesh import Mesh
from small_ceph import Image, SmallCeph, image, running

from cladnet.control import accession, founding
from cladnet.control.etcd_config import Ports
from cladnet.enrol import console_client
from cladnet.enrol.authority import Authority, key_pem, new_key, signing_request
from cladnet.enrol.join_file import Control, Join, JoinFile
from cladnet.etcd.cluster import TlsFiles
from cladnet.etcd.store import Store
from cladnet.member import Member
from cladnet.model import Role
from cladnet.trust.trust import Trust
from larva import ports
from larva.errors import LarvaError, Refused, Unavailable

START_S = 60.0


def _need(program: str) -> None:
    if shutil.which(program) is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{program} is not installed: run `make setup`")


@dataclass(frozen=True)
class _Node:
    name: str
    client: str
    peer: str
    directory: Path


def _all_stopped(pid: int) -> bool:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return all((task / "stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)


class EtcdCluster:
    """A real etcd cluster; nodes are killed, frozen and restarted by number.

    Args:
        address: where it listens, and `netns` the namespace in which that address is.
        authority: makes it a TLS cluster that wants client certificates of this authority.
    """

    def __init__(
        self, directory: Path, *, size: int, address: str, netns: str | None, authority: Authority | None
    ) -> None:
        self._directory = directory
        self._netns = netns
        self._authority = authority
        scheme = "https" if authority else "http"
        free = ports.free(2 * size)
        self._nodes = [
            _Node(
                f"node{number}",
                f"{scheme}://{address}:{free[2 * number]}",
                f"http://{address}:{free[2 * number + 1]}",
                directory / f"node{number}",
            )
            for number in range(size)
        ]
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self.tls: TlsFiles | None = None
        self._server: TlsFiles | None = None
        if authority is not None:
            key = new_key()
            certificate = authority.issue_server(
                key.public_key(), common_name="etcd", addresses=[IPv4Address(address)], also_client=True
            )
            self._server = self._write("server", key_pem(key), certificate.pem)
            self.tls = self.client_files("tester")

    @property
    def endpoints(self) -> list[str]:
        """Client URLs of every node."""
        return [node.client for node in self._nodes]

    @property
    def authority_directory(self) -> Path:
        """Where the CA of a TLS cluster is."""
        return self._directory / "ca"

    def client_files(self, host: str) -> TlsFiles:
        """Certificate and key of a client."""
        assert self._authority is not None
        key = new_key()
        signed = self._authority.sign_client(signing_request(key, host), host)
        return self._write(f"client-{host}", key_pem(key), signed.pem)

    def user_files(self, user: str) -> TlsFiles:
        """Certificate and key of a user of etcd, named as told."""
        assert self._authority is not None
        key = new_key()
        return self._write(
            f"user-{user}", key_pem(key), self._authority.sign_user(signing_request(key, user), user).pem
        )

    def _write(self, name: str, key: bytes, certificate: str) -> TlsFiles:
        assert self._authority is not None
        files = TlsFiles(
            ca=self._directory / "ca.pem",
            certificate=self._directory / f"{name}.pem",
            key=self._directory / f"{name}.key",
            authority=self.authority_directory,
        )
        files.ca.write_text(self._authority.certificate_pem)
        files.certificate.write_text(certificate)
        files.key.write_bytes(key)
        return files

    def start(self, *numbers: int) -> None:
        """Start these nodes, all without numbers, and wait until the cluster answers."""
        for number in numbers or range(len(self._nodes)):
            self._spawn(number)
        self.wait()

    def _spawn(self, number: int) -> None:
        node = self._nodes[number]
        argv = [
            "etcd", "--name", node.name, "--data-dir", str(node.directory), "--log-level", "error",
            "--listen-client-urls", node.client, "--advertise-client-urls", node.client,
            "--listen-peer-urls", node.peer, "--initial-advertise-peer-urls", node.peer,
            "--initial-cluster", ",".join(f"{each.name}={each.peer}" for each in self._nodes),
            "--heartbeat-interval", "100", "--election-timeout", "1000", "--enable-grpc-gateway=false",
        ]  # fmt: skip
        if self._server is not None:
            argv += [
                "--client-cert-auth", "--trusted-ca-file", str(self._server.ca),
                "--cert-file", str(self._server.certificate), "--key-file", str(self._server.key),
            ]  # fmt: skip
        if self._netns is not None:
            argv = ["ip", "netns", "exec", self._netns, *argv]
        with (self._directory / f"{node.name}.log").open("ab") as log:
            self._running[number] = subprocess.Popen(argv, stdout=log, stderr=log)

    def wait(self) -> None:
        """Return when the cluster answers."""
        deadline = time.monotonic() + START_S
        while not self._answers():
            for number, process in self._running.items():
                log = self._directory / f"node{number}.log"
                assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "etcd does not answer"
            time.sleep(0.05)

    def _answers(self) -> bool:
        if self._netns is not None:
            health = self._nodes[next(iter(self._running))].client
            argv = ["ip", "netns", "exec", self._netns, "etcdctl", f"--endpoints={health}", "endpoint", "health"]
            if self.tls is not None:
                argv += [f"--cacert={self.tls.ca}", f"--cert={self.tls.certificate}", f"--key={self.tls.key}"]
            return subprocess.run(argv, env={**os.environ, "ETCDCTL_API": "3"}, capture_output=True).returncode == 0
        with self.store(timeout=2) as store:
            try:
                store.get("there-is-none", str)
            except Unavailable:
                return False
            except Refused:
                return True
            return True

    def store(self, *, timeout: float = 5.0) -> Store:
        """A new connection to all nodes."""
        return Store(self.endpoints, tls=self.tls, timeout=timeout)

    def kill(self, *numbers: int) -> None:
        """Kill nodes, all without numbers, as a crash would."""
        for number in numbers or tuple(self._running):
            process = self._running.pop(number)
            process.kill()
            process.wait(timeout=20)

    def freeze(self, number: int) -> None:
        """Stop a node without closing its connections, as a machine that hangs would."""
        process = self._running[number]
        process.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + START_S
        while not _all_stopped(process.pid):  # the signal is sent, but a thread on the other processor may still answer
            assert time.monotonic() < deadline, "etcd does not stop"
            time.sleep(0.01)

    def thaw(self, number: int) -> None:
        """Let it go on."""
        self._running[number].send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill what runs."""
        for process in self._running.values():
            process.kill()
        for process in self._running.values():
            process.wait(timeout=20)


EtcdFactory = Callable[..., EtcdCluster]


@pytest.fixture
def etcd_factory(tmp_path: Path) -> Iterator[EtcdFactory]:
    """make(size=1, tls=False, address="127.0.0.1", netns=None) → a running EtcdCluster, removed after the test."""
    _need("etcd")
    with contextlib.ExitStack() as stack:

        def make(
            *, size: int = 1, tls: bool = False, address: str = "127.0.0.1", netns: str | None = None
        ) -> EtcdCluster:
            directory = tmp_path / f"etcd-{len(list(tmp_path.glob('etcd-*')))}"
            directory.mkdir()
            authority = Authority.found(directory / "ca") if tls else None
            cluster = EtcdCluster(directory, size=size, address=address, netns=netns, authority=authority)
            stack.callback(cluster.close)
            cluster.start()
            return cluster

        yield make


@pytest.fixture
def etcd(etcd_factory: EtcdFactory) -> EtcdCluster:
    """One etcd node on loopback: `.endpoints`, `.store()`, `.kill()`, `.start()`."""
    return etcd_factory()


@pytest.fixture
def mesh(tmp_path: Path, etcd_factory: EtcdFactory) -> Iterator[Mesh]:
    """A control node and a CLADNet `mesh` without hosts."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for program in ("wireguard-go", "ping", "etcdctl"):
        _need(program)
    with contextlib.ExitStack() as stack:
        yield Mesh(tmp_path, etcd_factory, stack)


@contextlib.contextmanager
def _as_host(directory: Path) -> Iterator[None]:
    """Be a host: its state is in `directory`/state, its join file in `directory`/config."""
    moved = {"LARVA_STATE": str(directory / "state"), "LARVA_CONFIG": str(directory / "config")}
    before = {name: os.environ.get(name) for name in moved}
    os.environ.update(moved)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


HostContext = Callable[[Path], contextlib.AbstractContextManager[None]]


@pytest.fixture(scope="session")
def as_host() -> HostContext:
    """as_host(directory): within it, this process is the host whose state and join file are in that directory."""
    return _as_host


class ControlNode:
    """A control node as `larva boot` makes it, with its etcd, console and controller as processes; all on loopback.

    Args:
        number: of several: control-2 is at 127.0.0.2.
    """

    def __init__(self, directory: Path, *, number: int = 1) -> None:
        client, peer, console = ports.free(3)
        self.directory = directory
        self.address = IPv4Address("127.0.0.0") + number
        self.ports = Ports(client=client, peer=peer, console=console)
        self.etcd: subprocess.Popen[bytes] | None = None
        self.console: subprocess.Popen[bytes] | None = None
        self.controller: subprocess.Popen[bytes] | None = None
        self.wanted = JoinFile(
            roles=(Role.CONTROL,), host=f"control-{number}", control=Control(public_address=self.address)
        )

    @property
    def server(self) -> str:
        """The console's URL."""
        return f"https://{self.address}:{self.ports.console}"

    def found(self) -> Member:
        """Found, or find everything there already."""
        with _as_host(self.directory):
            return founding.found(self.wanted, start_etcd=self.start_etcd, ports=self.ports)

    def accede(self, join: Join | None = None, *, patience_s: float = 120.0) -> Member:
        """Become a further control node of the system that `join` or the last one names, or find it all there."""
        if join is not None:
            self.wanted = replace(self.wanted, join=join)
        with _as_host(self.directory):
            return accession.accede(self.wanted, start_etcd=self.start_etcd, ports=self.ports, patience_s=patience_s)

    def start_etcd(self) -> None:
        """Start etcd as its own user, as the unit does; nothing if it runs."""
        if self.etcd is None or self.etcd.poll() is not None:
            self.etcd = self._spawn(
                "etcd", ["etcd", "--config-file", str(self.directory / "state/etcd/etcd.yaml")], user=_etcd_user()
            )

    def start_console(self) -> None:
        """Serve the console and wait until it answers."""
        argv = [
            str(Path(sys.executable).with_name("larva")),
            "console",
            "serve",
            "--listen",
            f"{self.address}:{self.ports.console}",
        ]
        self.console = self._spawn("console", argv)
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(LarvaError):
                console_client.get_unverified(self.server, "/v1/ca.pem")
                return
            assert self.console.poll() is None, (self.directory / "console.log").read_text()
            assert time.monotonic() < deadline, "the console does not answer"
            time.sleep(0.05)

    def start_controller(self) -> None:
        """Run its controller, which keeps rights and the revocation list."""
        argv = [str(Path(sys.executable).with_name("larva")), "controller", "--metrics", "off"]
        self.controller = self._spawn("controller", argv)

    def kill(self) -> None:
        """Kill what runs, as the loss of the machine would; its disk stays."""
        for process in (self.controller, self.console, self.etcd):
            if process is not None:
                process.kill()
                process.wait(timeout=20)
        self.controller = self.console = self.etcd = None

    def stop_console(self) -> None:
        """Stop serving."""
        assert self.console is not None
        self.console.terminate()
        self.console.wait(timeout=20)

    def _spawn(self, name: str, argv: list[str], user: str | None = None) -> subprocess.Popen[bytes]:
        moved = {"LARVA_STATE": str(self.directory / "state"), "LARVA_CONFIG": str(self.directory / "config")}
        with (self.directory / f"{name}.log").open("ab") as log:
            # By a program: Popen(user=…) forks, and gRPC's own threads may crash the child before it is etcd.
            become = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []
            return subprocess.Popen([*become, *argv], stdout=log, stderr=log, env={**os.environ, **moved})

    def store(self) -> Store:
        """A connection with the control node's own certificate."""
        return Store([f"https://127.0.0.1:{self.ports.client}"], tls=self.tls_files())

    def tls_files(self) -> TlsFiles:
        """The control node's own client certificate."""
        tls = self.directory / "state/tls"
        return TlsFiles(
            ca=tls / "ca.pem", certificate=tls / "client.pem", key=tls / "client.key",
            authority=self.directory / "state/ca",
        )  # fmt: skip

    @contextlib.contextmanager
    def play(self, store: Store, host: str) -> Iterator[None]:
        """What is written by a connection of this node's counts meanwhile as that host's own word."""
        own, name = self.directory / "played", f"{host}.pem"
        own.mkdir(exist_ok=True)
        key = new_key()
        (own / name).write_text(self.authority().sign_client(signing_request(key, host), host).pem)
        (own / f"{host}.key").write_bytes(key_pem(key))
        before = store._trust
        store._trust = Trust(replace(self.tls_files(), certificate=own / name, key=own / f"{host}.key"))
        try:
            yield
        finally:
            store._trust = before

    def authority(self) -> Authority:
        """The CA that signs hosts."""
        return Authority.load(self.directory / "state/ca")

    def close(self) -> None:
        """Kill what runs."""
        self.kill()


def _etcd_user() -> str | None:
    try:
        return pwd.getpwnam("etcd").pw_name if os.geteuid() == 0 else None
    except KeyError:
        return None


ControlNodeFactory = Callable[..., ControlNode]


@pytest.fixture(scope="module")
def control_node_factory() -> Iterator[ControlNodeFactory]:
    """make(number=1) → a ControlNode that is not founded yet; removed after the module."""
    _need("etcd")
    with contextlib.ExitStack() as stack:

        def make(*, number: int = 1) -> ControlNode:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="larva-control-")))
            directory.chmod(0o711)  # etcd's user passes through
            node = ControlNode(directory, number=number)
            stack.callback(node.close)
            return node

        yield make


@pytest.fixture(scope="module")
def control_node(control_node_factory: ControlNodeFactory) -> ControlNode:
    """A founded control node whose console answers."""
    node = control_node_factory()
    node.found()
    node.start_console()
    return node


@pytest.fixture(scope="session")
def lab_tree() -> Path:
    """The root tree that the lab's machines run: `$LARVA_TEST_TREE`, or the image pipeline's `full` one."""
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("the lab cloud needs root")
    given = os.environ.get("LARVA_TEST_TREE")
    if given:
        return Path(given)
    from images import pipeline

    return pipeline.tree("full")


@pytest.fixture(scope="session")
def ceph_image() -> Image:
    """What a small Ceph runs: `small_ceph.running(ceph_image, …)`."""
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("a small Ceph needs root")
    return image()


@pytest.fixture(scope="module")
def small_ceph(ceph_image: Image) -> Iterator[SmallCeph]:
    """Three OSDs in three providers, one monitor, the file system made and its metadata server active."""
    with running(ceph_image) as small:
        yield small
