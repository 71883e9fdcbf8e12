"""Fixtures for tests of the console: a real etcd on loopback, and what agents and storage hosts would write into it."""

import base64
import contextlib
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from cbstorage import keys as storage_keys
from cbstorage.model import (
    ClusterSpecification,
    ClusterState,
    Daemon,
    DaemonKind,
    Health,
    HealthCheck,
    HostDaemons,
    OsdState,
)
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
from cladnet.quality import Alarm, Figures, HostQuality, PairQuality, Window
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

    def join(
        self, group: str, host: str, number: int, network: str = "10.77.0.0/24", cloud: CloudFacts | None = None
    ) -> None:  # fmt: skip
        """A host announces itself and gets its address."""
        provider, region = self.CLOUDS[number % len(self.CLOUDS)]
        cloud = cloud or CloudFacts(provider=provider, region=region)
        public = IPv4Address("203.0.113.10") + number
        key = base64.b64encode(hashlib.sha256(host.encode()).digest()).decode()
        information = HostNetworkInformation(
            host=host, public_address=public, interfaces=(), listen_port=51820, public_key=key,
            seal_key="B" * 43 + "=", cloud=cloud, roles=(Role.MEMBER, Role.STORAGE),
        )  # fmt: skip
        rule = NetworkingRule(
            host=host, address=IPv4Network(network)[2 + number], public_key=information.public_key,
            endpoints=(Endpoint(kind=EndpointKind.PUBLIC, address=public, port=51820),), cloud=cloud,
            state=HostState.ACTIVE,
        )  # fmt: skip
        self._store.put(keys.host_information(group, host), information)
        self._store.put(keys.rule(group, host), rule)
        self._store.put(keys.presence(group, host), host)

    def stop(self, group: str, host: str) -> None:
        """Its agent ends: the presence vanishes, and the controller says so."""
        rule = self._store.get(keys.rule(group, host), NetworkingRule)
        assert rule is not None
        self._store.delete(keys.presence(group, host))
        self._store.put(keys.rule(group, host), replace(rule.value, state=HostState.UNREACHABLE))

    def measure(
        self, group: str, host: str, paths: dict[str, tuple[float | None, float]], *alarms: Alarm
    ) -> None:  # fmt: skip
        """A host tells of its paths over the last ten minutes: milliseconds and the lost part, by peer."""
        pairs = tuple(
            PairQuality(
                destination=peer, measured_at=self.now(),
                windows={Window.TEN_MINUTES: Figures(
                    sent=100, received=round(100 * (1 - loss)), min_ms=ms, avg_ms=ms, p95_ms=ms, jitter_ms=0.1,
                )},
            )
            for peer, (ms, loss) in paths.items()
        )  # fmt: skip
        row = HostQuality(host=host, written_at=self.now(), pairs=pairs, alarms=alarms)
        self._store.put(keys.quality(group, host), row)

    def found_storage(
        self, group: str, *, monitors: tuple[str, ...], osds: dict[str, int], checks: tuple[HealthCheck, ...] = (),
        off_cladnet: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        """The storage hosts have made their cluster, with so many OSDs a host."""
        specification = ClusterSpecification(
            group=group, fsid="6f1c1d5e-6e5b-4a0e-8f2c-3f4f6a9b1c2d", cidr=IPv4Network("10.77.0.0/24"),
            mon_hosts=monitors, mgr_hosts=monitors[:1], mds_hosts=monitors[:2], created_at=self.now(),
        )  # fmt: skip
        places = [host for host, count in osds.items() for _ in range(count)]
        state = ClusterState(
            health=max((check.health for check in checks), key=list(Health).index, default=Health.OK), checks=checks,
            quorum=monitors, monitors=monitors, manager=monitors[0], active_mds=monitors[:1], standby_mds=monitors[1:2],
            osds=tuple(
                OsdState(
                    id=number, host=host, up=True, is_in=True, addresses=(IPv4Address("10.77.0.2"),),
                    on_cladnet=host not in off_cladnet,
                )
                for number, host in enumerate(places)
            ),
            total_bytes=len(places) << 33, used_bytes=5 << 30, clean=True, observed_at=self.now(),
            room_bytes=len(places) << 31,
        )  # fmt: skip
        self._store.put(storage_keys.cluster(group), specification)
        self._store.put(storage_keys.cluster_state(group), state)
        for host in dict.fromkeys([*monitors, *places]):
            daemons = [
                Daemon(kind=DaemonKind.OSD, id=str(n), running=True, device="/dev/vdb")
                for n, its in enumerate(places)
                if its == host
            ]
            daemons += [Daemon(kind=DaemonKind.MON, id=host, running=True)] * (host in monitors)
            self._store.put(
                storage_keys.daemons(group, host),
                HostDaemons(host=host, address=IPv4Address("10.77.0.2"), daemons=tuple(daemons)),
            )

    @staticmethod
    def now() -> datetime:
        """The time, as agents write it."""
        return datetime.now(UTC)

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
