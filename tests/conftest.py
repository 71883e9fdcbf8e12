"""Fixtures for tests of the console: a real etcd on loopback, and what agents and storage hosts would write into it."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from cladnet import keys
from cladnet.etcd.store import Store
from cladnet.model import (
    CloudFacts,
    Endpoint,
    EndpointKind,
    HostNetworkInformation,
    HostState,
    HostStatus,
    NetworkingRule,
    PairLatency,
    Role,
    TestSpecification,
)
from cladnet.quality import Alarm, HostQuality
from larva import ports
from larva.errors import Unavailable

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background jobs so, and what tests start would inherit it: Ctrl-C could not be tried.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def need(program: str) -> None:
    """Fail where everything has to be there, skip elsewhere, when a program is missing."""
    if shutil.which(program) is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{program} is not installed: run `make setup`")


@pytest.fixture(scope="session")
def console_etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an etcd of our own."""
    need("etcd")
    directory = tmp_path_factory.mktemp("etcd")
    client, peer = (f"http://127.0.0.1:{port}" for port in ports.free(2))
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                "etcd", "--data-dir", directory / "data", "--log-level", "error", "--name", "console",
                "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster", f"console={peer}",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        _wait_for_etcd(client, process, directory / "log")
        yield client
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_for_etcd(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + 60
    with Store([url], timeout=2) as store:
        while True:
            try:
                store.get("larva/there-is-none", str)
            except Unavailable:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            else:
                return


@pytest.fixture
def console_store(console_etcd: str) -> Iterator[Store]:
    """A connection to an empty etcd."""
    with Store([console_etcd]) as store:
        for root in (keys.ROOT + "/", "cb-storage/", "larva/"):
            store.delete_prefix(root)
        yield store


@pytest.fixture
def serve_console(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Start `larva console serve` on a free port of loopback, in directories of its own; it ends with the test."""
    larva = Path(sys.executable).with_name("larva")
    with contextlib.ExitStack() as undo:

        def serve(*options: str | Path, etcd: str, password: str) -> str:
            address = f"127.0.0.1:{ports.free(1)[0]}"
            for name in ("config", "state"):
                (tmp_path / name).mkdir(exist_ok=True)
            join_file = tmp_path / "config" / "join.toml"
            join_file.write_text(f'roles = ["control"]\n[control]\nadmin_password = "{password}"\n')
            join_file.chmod(0o600)
            log = undo.enter_context((tmp_path / "console.log").open("wb"))
            process = subprocess.Popen(
                [
                    larva, "console", "serve", "--listen", address, "--etcd", etcd, "--cb-network-listen", "off",
                    *options,
                ],
                env={**os.environ, "LARVA_STATE": str(tmp_path / "state"), "LARVA_CONFIG": str(tmp_path / "config")},
                stdout=log, stderr=log,
            )  # fmt: skip
            undo.callback(_stop, process, tmp_path / "console.log")
            _wait_for_port(address, process, tmp_path / "console.log")
            return f"{'http' if '--insecure-http' in options else 'https'}://{address}"

        yield serve


def _stop(process: "subprocess.Popen[bytes]", log: Path) -> None:
    process.terminate()
    process.wait(timeout=20)
    assert process.returncode == 0, log.read_text()
    assert "Traceback" not in log.read_text()


def _wait_for_port(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    host, port = address.split(":")
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        else:
            return


class Agents:
    """Plays the hosts of a CLADNet and its controller: writes what they would write."""

    CLOUDS = (("aws", "ap-southeast-2"), ("gcp", "europe-west2"), ("azure", "koreacentral"), ("aws", "eu-west-2"))

    def __init__(self, store: Store) -> None:
        self._store = store

    def join(self, group: str, host: str, number: int) -> None:
        """A host announces itself and gets its address."""
        provider, region = self.CLOUDS[number % len(self.CLOUDS)]
        cloud = CloudFacts(provider=provider, region=region)
        public = IPv4Address(f"203.0.113.{10 + number}")
        information = HostNetworkInformation(
            host=host, public_address=public, interfaces=(), listen_port=51820, public_key="A" * 43 + "=",
            seal_key="B" * 43 + "=", cloud=cloud, roles=(Role.MEMBER, Role.STORAGE),
        )  # fmt: skip
        rule = NetworkingRule(
            host=host, address=IPv4Address(f"10.77.0.{2 + number}"), public_key=information.public_key,
            endpoints=(Endpoint(kind=EndpointKind.PUBLIC, address=public, port=51820),), cloud=cloud,
            state=HostState.ACTIVE,
        )  # fmt: skip
        self._store.put(keys.host_information(group, host), information)
        self._store.put(keys.rule(group, host), rule)
        self._store.put(keys.presence(group, host), host)

    def answer(self, group: str, test: TestSpecification, latencies: dict[str, dict[str, float | None]]) -> None:
        """The hosts write their rows of the matrix, in milliseconds; None where nothing came back."""
        for host, row in latencies.items():
            cells = tuple(
                PairLatency(
                    destination=peer, destination_address=IPv4Address("10.77.0.9"), sent=test.trials,
                    received=0 if ms is None else test.trials, min_ms=ms, avg_ms=ms, max_ms=ms,
                )
                for peer, ms in row.items()
            )  # fmt: skip
            status = HostStatus(
                host=host, test_id=test.id, measured_at=datetime.now(UTC), interface="cbnet0", datapath="wireguard",
                latencies=cells,
            )  # fmt: skip
            self._store.put(keys.status(group, host), status)

    def raise_alarms(self, group: str, host: str, *alarms: Alarm) -> None:
        """A host tells of its paths."""
        row = HostQuality(host=host, written_at=datetime.now(UTC), pairs=(), alarms=alarms)
        self._store.put(keys.quality(group, host), row)


@pytest.fixture
def agents(console_store: Store) -> Agents:
    """Whoever writes what the agents of a CLADNet would."""
    return Agents(console_store)
