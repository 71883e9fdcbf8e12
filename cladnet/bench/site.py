"""A control node for benches: founded as `larva boot` does, on loopback, with a controller in a process of its own."""

import contextlib
import json
import os
import pwd
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

from cladnet import networks
from cladnet.access.root import root_tls
from cladnet.control import founding
from cladnet.control.etcd_config import Ports
from cladnet.enrol import authority, enrolment
from cladnet.enrol.authority import Authority
from cladnet.enrol.join_file import Control, JoinFile
from cladnet.etcd.cluster import TlsFiles
from cladnet.etcd.store import Store
from cladnet.member import tls_files
from cladnet.model import Role
from larva import ports
from larva.errors import TimedOut

STOP_S = 20.0
_RANGE = "100.96.0.0/20"
"""Of the shared address space (RFC 6598), which no machine's own networks should have."""


@dataclass(frozen=True, slots=True)
class Site:
    """A running control plane and the one CLADNet that is measured."""

    directory: Path
    group: str
    endpoint: str
    tls: TlsFiles
    """The control node's own."""
    root: TlsFiles
    metrics: str

    def store(self, tls: TlsFiles | None = None) -> Store:
        """A connection as the control node, or as somebody else."""
        return Store([self.endpoint], tls=tls or self.tls, timeout=30.0)

    def enrol(self, store: Store, host: str, *, admit: Callable[[str], None] | None = None) -> TlsFiles:
        """Enrol a host as the console does, and return its certificate."""
        secret = enrolment.create_token(store, group=self.group, roles=(Role.MEMBER,), ttl_s=3600, uses=1)
        key = authority.new_key()
        given = enrolment.redeem(
            store, Authority.load(self.directory / "state/ca"), secret=secret, roles=(Role.MEMBER,), host=host,
            csr_pem=authority.signing_request(key, host), admit=admit or (lambda _: None),
        )  # fmt: skip
        directory = self.directory / "hosts" / host
        directory.mkdir(parents=True)
        tls = TlsFiles(ca=directory / "ca.pem", certificate=directory / "client.pem", key=directory / "client.key")
        tls.ca.write_text(given.ca_pem)
        tls.certificate.write_text(given.certificate_pem)
        tls.key.write_bytes(authority.key_pem(key))
        return tls

    def counters(self) -> dict[str, float]:
        """etcd's own counters."""
        with urllib.request.urlopen(f"{self.metrics}/metrics", timeout=10) as answer:  # noqa: S310 - our own etcd
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


@contextlib.contextmanager
def running() -> Iterator[Site]:
    """A control plane that is gone afterwards, with all its files and processes."""
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="larva-bench-")))
        directory.chmod(0o711)  # etcd's own user passes through
        client, peer, console, metrics = ports.free(4)
        stack.enter_context(being({"LARVA_STATE": directory / "state", "LARVA_CONFIG": directory / "config"}))

        def start_etcd() -> None:
            configuration = directory / "state/etcd/etcd.yaml"
            told = json.loads(configuration.read_text())
            told["listen-metrics-urls"] = f"http://127.0.0.1:{metrics}"
            told["listen-client-urls"] = f"https://127.0.0.1:{client}"
            told["listen-peer-urls"] = f"https://127.0.0.1:{peer}"
            configuration.write_text(json.dumps(told))
            _spawn(stack, directory, "etcd", ["etcd", "--config-file", str(configuration)], user=_etcd_user())

        wanted = JoinFile(
            roles=(Role.CONTROL,), host="control-1", control=Control(public_address=IPv4Address("127.0.0.1"))
        )
        founding.found(wanted, start_etcd=start_etcd, ports=Ports(client=client, peer=peer, console=console))
        site = Site(
            directory, "", f"https://127.0.0.1:{client}", tls_files(), root_tls(), f"http://127.0.0.1:{metrics}"
        )
        with site.store() as store:
            site = replace(site, group=networks.create(store, name="bench", cidr=_RANGE).id)
        _spawn(stack, directory, "controller", [sys.executable, "-m", "cladnet.bench.lone_controller"])
        yield site


def _spawn(
    stack: contextlib.ExitStack, directory: Path, name: str, argv: list[str], user: str | None = None
) -> subprocess.Popen[bytes]:
    """Start a program that ends with `stack`; what it says is in a file of its own."""
    log = stack.enter_context((directory / f"{name}.log").open("ab"))
    program = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=user, group=user,
        extra_groups=[] if user else None,
    )  # fmt: skip
    stack.callback(_end, program)
    return program


def _end(program: subprocess.Popen[bytes]) -> None:
    program.terminate()
    try:
        program.wait(timeout=STOP_S)
    except subprocess.TimeoutExpired:
        program.kill()
        program.wait(timeout=STOP_S)


@contextlib.contextmanager
def child(directory: Path, name: str, argv: list[str], **moved: Path | str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of ours that ends with the block; `moved` is put into its environment."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(being(moved))
        yield _spawn(stack, directory, name, argv)


def wait_until(what: str, condition: Callable[[], object], *, patience_s: float = 300.0) -> None:
    """Return when the condition holds; TimedOut when it does not in time."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimedOut(f"not so within {patience_s:g} s: {what}")
        time.sleep(0.05)


@contextlib.contextmanager
def being(moved: Mapping[str, Path | str]) -> Iterator[None]:
    """Have this in the environment meanwhile."""
    before = {name: os.environ.get(name) for name in moved}
    os.environ.update({name: str(path) for name, path in moved.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _etcd_user() -> str | None:
    try:
        return pwd.getpwnam("etcd").pw_name if os.geteuid() == 0 else None
    except KeyError:
        return None
