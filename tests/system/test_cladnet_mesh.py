"""Agents, controllers and etcd as real processes, each host a namespace: a mesh forms, changes, outlives its parts."""

import contextlib
import itertools
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from cladnet import keys
from cladnet.enrol import authority
from cladnet.member import Member
from cladnet.model import CloudFacts, ControlNode, ControlPlane, EnrolledHost, Role
from cladnet.quality import HostQuality, Window
from cladnet.trust.trust import Trust
from larva import codec

pytestmark = pytest.mark.root

PATIENCE_S = 90.0
LARVA = Path(sys.executable).with_name("larva")
WHOAMI = """
import http.server, json
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"address": self.client_address[0]}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("203.0.113.1", 8080), Handler).serve_forever()
"""
READ = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=20).read().decode())"


def until(what: str, condition: Callable[[], object]) -> None:
    """Poll until the condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"not so in time: {what}"
        time.sleep(0.1)


class Mesh:
    """Namespaces on one bridge: `control` with etcd and a controller, and hosts with agents."""

    def __init__(self, directory: Path, etcd_factory, stack: contextlib.ExitStack) -> None:
        self.directory = directory
        self.run_id = f"cnt-{secrets.token_hex(2)}"
        self._stack = stack
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._hosts: list[str] = []
        self.settle_s = 1.0
        self._add_namespace("net")
        self.ip("net", "link", "add", "br0", "type", "bridge")
        self.ip("net", "link", "set", "br0", "up")
        self._add_namespace("control")
        self._plug("control", "203.0.113.1/24")
        stack.callback(self._end_processes)
        self.etcd = etcd_factory(tls=True, address="203.0.113.1", netns=self.ns("control"))
        self._enrol("control", (Role.CONTROL,))
        self._found()
        self.spawn("whoami", "control", [sys.executable, "-c", WHOAMI])
        self.start_controller()
        self.group = self.larva("create", "10.77.0.0/24", "--name", "mesh")["id"]

    def ns(self, name: str) -> str:
        return f"{self.run_id}-{name}"

    def ip(self, name: str, *words: str) -> str:
        return run("ip", "-n", self.ns(name), *words)

    def inside(self, name: str, *words: object, check: bool = True) -> str:
        return run("ip", "netns", "exec", self.ns(name), *(str(word) for word in words), check=check)

    def _add_namespace(self, name: str) -> None:
        run("ip", "netns", "add", self.ns(name))
        self._stack.callback(run, "ip", "netns", "del", self.ns(name), check=False)
        self.ip(name, "link", "set", "lo", "up")

    def _plug(self, name: str, address: str) -> None:
        port = f"p{len(self._hosts)}-{name}"[:15]
        run("ip", "link", "add", "eth0", "netns", self.ns(name), "type", "veth", "peer", port, "netns", self.ns("net"))
        self.ip("net", "link", "set", port, "master", "br0", "up")
        self.ip(name, "addr", "add", address, "dev", "eth0")
        self.ip(name, "link", "set", "eth0", "up")

    def state(self, name: str) -> Path:
        return self.directory / f"state-{name}"

    def _enrol(self, host: str, roles: tuple[Role, ...], groups: tuple[str, ...] = ()) -> None:
        """What enrolment leaves behind on a host and in etcd."""
        state = self.state(host)
        (state / "tls").mkdir(parents=True)
        (state / "sockets").mkdir()
        files = self.etcd.client_files(host)
        shutil.copy(files.ca, state / "tls" / "ca.pem")
        shutil.copy(files.certificate, state / "tls" / "client.pem")
        shutil.copy(files.key, state / "tls" / "client.key")
        if Role.CONTROL in roles:
            shutil.copytree(self.etcd.authority_directory, state / "ca")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LARVA_STATE", str(state))
            Member(
                host=host, groups=groups, roles=roles, server="http://203.0.113.1:8080",
                etcd_endpoints=tuple(self.etcd.endpoints),
                cloud=CloudFacts(provider="test", region=f"region-{host}", network_id="vpc-1"),
            ).save()  # fmt: skip
        certificate = authority.read_certificate(files.certificate.read_text(), source=host)
        record = EnrolledHost(
            host=host, groups=groups, roles=roles, certificate_serial=f"{certificate.serial_number:x}",
            enrolled_at=datetime.now(UTC), user=authority.common_name(certificate),
            key_digest=authority.key_digest(certificate.public_key()),
        )  # fmt: skip
        key = keys.enrolled_host(host)
        self.etcdctl("put", key, Trust(files).encode(key, record).decode())

    def _found(self) -> None:
        """What the first boot of a control node records of it."""
        endpoint, server = self.etcd.endpoints[0], "http://203.0.113.1:8080"
        node = ControlNode(host="control", server=server, etcd_endpoint=endpoint, peer_url="http://203.0.113.1:2380")
        plane = ControlPlane(server=server, ca="sha256:none", etcd_endpoints=(endpoint,), nodes=(node,))
        trust = Trust(self.etcd.client_files("founder"))
        self.etcdctl("put", keys.CONTROL_PLANE, trust.encode(keys.CONTROL_PLANE, plane).decode())

    def etcdctl(self, *words: str) -> str:
        tls = self.state("control") / "tls"
        return self.inside(
            "control", "env", "ETCDCTL_API=3", "etcdctl", f"--endpoints={self.etcd.endpoints[0]}",
            f"--cacert={tls}/ca.pem", f"--cert={tls}/client.pem", f"--key={tls}/client.key", *words,
        )  # fmt: skip

    def is_refused(self, host: str, prefix: str) -> bool:
        """Whether etcd refuses the host to read a prefix."""
        tls = self.state(host) / "tls"
        argv = [
            "ip", "netns", "exec", self.ns(host), "etcdctl", f"--endpoints={self.etcd.endpoints[0]}",
            f"--cacert={tls}/ca.pem", f"--cert={tls}/client.pem", f"--key={tls}/client.key", "get", "--prefix", prefix,
        ]  # fmt: skip
        done = subprocess.run(argv, env={**os.environ, "ETCDCTL_API": "3"}, capture_output=True, text=True)
        assert done.returncode == 0 or "permission denied" in done.stderr, done.stderr
        return done.returncode != 0

    def spawn(self, key: str, name: str, argv: list[object]) -> None:
        """Start a process in a namespace, with the host's state and its own place for sockets."""
        sockets = self.state(name) / "sockets"
        script = 'mkdir -p /run/wireguard && mount --bind "$0" /run/wireguard && exec "$@"'
        with (self.directory / f"{key}.log").open("ab") as log:
            self._processes[key] = subprocess.Popen(
                ["ip", "netns", "exec", self.ns(name), "sh", "-c", script, sockets, *map(str, argv)],
                stdout=log, stderr=log, env={**os.environ, "LARVA_STATE": str(self.state(name))},
            )  # fmt: skip

    def end(self, key: str, number: int = signal.SIGKILL) -> None:
        process = self._processes.pop(key)
        process.send_signal(number)
        process.wait(timeout=PATIENCE_S)

    def start_controller(self) -> None:
        self.spawn("controller", "control", [LARVA, "controller", "--grace", "2"])

    def start_agent(self, host: str) -> None:
        self.spawn(f"agent-{host}", host, [LARVA, "agent", "--key-settle", self.settle_s])

    def add_host(self, host: str, number: int) -> None:
        self._hosts.append(host)
        self._add_namespace(host)
        self._plug(host, f"203.0.113.{number}/24")
        self._enrol(host, (Role.MEMBER,), (self.group,))
        self._stack.callback(run, "ip", "-n", self.ns(host), "link", "del", "cbnet0", check=False)
        self.start_agent(host)

    def larva(self, *words: str) -> object:
        """`larva net …` on the control node, its JSON read."""
        environment = ("env", f"LARVA_STATE={self.state('control')}")
        return json.loads(self.inside("control", *environment, LARVA, "net", *words, "--json"))

    def run_larva(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """`larva …` in a namespace, with what it says besides its answer."""
        argv = ["ip", "netns", "exec", self.ns(name), "env", f"LARVA_STATE={self.state(name)}", LARVA, *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stderr
        return done

    def larva_plain(self, *words: str) -> str:
        return self.inside("control", "env", f"LARVA_STATE={self.state('control')}", LARVA, "net", *words)

    def on(self, host: str, *words: str) -> dict[str, Any]:
        """`larva …` on a host, its JSON read; an exit code of 1 is an answer too."""
        script = 'mount --bind "$0" /run/wireguard && exec "$@"'
        done = subprocess.run(
            [
                "ip", "netns", "exec", self.ns(host), "sh", "-c", script, self.state(host) / "sockets",
                "env", f"LARVA_STATE={self.state(host)}", LARVA, *words, "--json",
            ],
            capture_output=True, text=True, timeout=PATIENCE_S,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        answer = json.loads(done.stdout)
        assert (done.returncode == 0) == answer.get("healthy", True)
        return answer

    def doctor(self, host: str) -> dict[str, Any]:
        return self.on(host, "doctor")

    def agent_status(self, host: str) -> dict[str, Any]:
        return self.on(host, "agent", "status")

    def views(self) -> dict[str, dict[str, object]]:
        return {view["host"]: view for view in self.larva("hosts", "mesh")}

    def reaches(self, source: str, address: object) -> bool:
        argv = ["ip", "netns", "exec", self.ns(source), "ping", "-I", "cbnet0", "-c1", "-W2", str(address)]
        return subprocess.run(argv, capture_output=True).returncode == 0

    def wait_mesh(self, *hosts: str) -> dict[str, str]:
        """Return the hosts' addresses when each reaches each."""
        until("every host has an address", lambda: all(self.views().get(h, {}).get("address") for h in hosts))
        addresses = {host: self.views()[host]["address"] for host in hosts}
        for source in hosts:
            for target in hosts:
                if source != target:
                    until(
                        f"{source} reaches {target}\n{self.log(source)}",
                        lambda source=source, target=target: self.reaches(source, addresses[target]),
                    )
        return addresses

    def log(self, host: str) -> str:
        return (self.directory / f"agent-{host}.log").read_text()[-3000:]

    def has_interface(self, host: str) -> bool:
        return "cbnet0" in self.ip(host, "-o", "link")

    @contextlib.contextmanager
    def traffic(self, source: str, address: str) -> Iterator[None]:
        """Ping ten times a second meanwhile, and lose nothing."""
        ping = subprocess.Popen(
            ["ip", "netns", "exec", self.ns(source), "ping", "-i", "0.1", "-W", "2", address],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            yield
        finally:
            time.sleep(0.5)  # a few more answers
            ping.send_signal(signal.SIGINT)
            output, _ = ping.communicate(timeout=PATIENCE_S)
        found = re.search(r"(\d+) packets transmitted, (\d+) received", output)
        assert found, output
        sent, received = int(found[1]), int(found[2])
        assert sent >= 5
        assert sent - received <= 1, output[-500:]  # one may be on its way when ping is told to end

    def _end_processes(self) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.wait(timeout=PATIENCE_S)


def run(*argv: object, check: bool = True) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0 or not check, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def mesh(tmp_path: Path, etcd_factory) -> Iterator[Mesh]:
    """A control node and a CLADNet `mesh` without hosts."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    for program in ("wireguard-go", "ping", "etcdctl"):
        if shutil.which(program) is None:
            (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{program} is not installed: run `make setup`")
    with contextlib.ExitStack() as stack:
        yield Mesh(tmp_path, etcd_factory, stack)


def test_hosts_form_a_mesh_and_come_go_and_move_while_it_runs(mesh: Mesh) -> None:
    for number, host in enumerate(("a", "b", "c"), start=10):
        mesh.add_host(host, number)
    addresses = mesh.wait_mesh("a", "b", "c")
    assert set(addresses.values()) == {"10.77.0.1", "10.77.0.2", "10.77.0.3"}
    assert {view["public_address"] for view in mesh.views().values()} == {f"203.0.113.{n}" for n in (10, 11, 12)}
    until("all are seen", lambda: all(view["present"] for view in mesh.views().values()))

    rows = mesh.larva("status", "mesh", "--trials", "2", "--wait", "60")
    assert {row["host"] for row in rows} == {"a", "b", "c"}
    for row in rows:
        assert {cell["destination"] for cell in row["latencies"]} == {"a", "b", "c"} - {row["host"]}
        for cell in row["latencies"]:
            assert (cell["sent"], cell["received"]) == (2, 2)
            assert 0 < cell["min_ms"] <= cell["avg_ms"] <= cell["max_ms"]
        assert (row["interface"], row["datapath"]) == ("cbnet0", "wireguard-go")

    with mesh.traffic("a", addresses["b"]):  # a fourth host joins and leaves: the others notice nothing
        mesh.add_host("d", 13)
        addresses |= mesh.wait_mesh("a", "d")
        mesh.larva_plain("leave", "mesh", "d")
        until("d's interface is gone", lambda: not mesh.has_interface("d"))
        until("d's rule is gone", lambda: "d" not in mesh.views())
    assert not mesh.reaches("a", addresses["d"])

    mesh.ip("c", "addr", "del", "203.0.113.12/24", "dev", "eth0")
    mesh.ip("c", "addr", "add", "203.0.113.99/24", "dev", "eth0")
    until("c's new address is known", lambda: mesh.views()["c"]["public_address"] == "203.0.113.99")
    assert mesh.wait_mesh("a", "b", "c")["c"] == addresses["c"]

    mesh.larva_plain("down", "mesh", "b")
    until("b is down", lambda: not mesh.has_interface("b"))
    mesh.larva_plain("up", "mesh", "b")
    assert mesh.wait_mesh("a", "b")["b"] == addresses["b"]

    mesh.larva_plain("delete", "mesh", "--yes")
    for host in ("a", "b", "c"):
        until(f"{host}'s interface is gone", lambda host=host: not mesh.has_interface(host))
    assert mesh.larva("list") == []
    assert keys.ROOT not in mesh.etcdctl("get", "--prefix", "--keys-only", keys.ROOT)


def test_a_removed_host_is_out_at_once_whoever_runs(mesh: Mesh) -> None:
    for number, host in enumerate(("a", "b", "c"), start=10):
        mesh.add_host(host, number)
    addresses = mesh.wait_mesh("a", "b", "c")
    environment = ("env", f"LARVA_STATE={mesh.state('control')}")
    with mesh.traffic("a", addresses["c"]):
        mesh.inside("control", *environment, LARVA, "enrol", "remove", "b")
        until("no rule is left", lambda: "b" not in mesh.views())
        until("its agent left by itself", lambda: not mesh.has_interface("b"))
        until("no peer knows it", lambda: not mesh.reaches("a", addresses["b"]))
    assert mesh.is_refused("b", keys.rules_of(mesh.group))
    mesh.end("controller")
    mesh.inside("control", *environment, LARVA, "enrol", "remove", "c")
    assert mesh.is_refused("c", keys.rules_of(mesh.group))
    assert not mesh.is_refused("a", keys.rules_of(mesh.group))


def test_a_rule_type_and_a_larger_range_are_taken_up_without_losing_a_packet(mesh: Mesh) -> None:
    mesh.ip("net", "link", "add", "br1", "type", "bridge")
    mesh.ip("net", "link", "set", "br1", "up")
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    addresses = mesh.wait_mesh("a", "b")
    for number, host in enumerate(("a", "b"), start=10):  # a private wire between them, besides the public one
        run(
            "ip",
            "link",
            "add",
            "eth1",
            "netns",
            mesh.ns(host),
            "type",
            "veth",
            "peer",
            f"q-{host}",
            "netns",
            mesh.ns("net"),
        )
        mesh.ip("net", "link", "set", f"q-{host}", "master", "br1", "up")
        mesh.ip(host, "addr", "add", f"10.9.0.{number}/24", "dev", "eth1")
        mesh.ip(host, "link", "set", "eth1", "up")

    def endpoint(host: str) -> str:
        return mesh.agent_status(host)["cladnets"][0]["peers"][0]["endpoint"][0]

    until("a takes the private wire, which costs nothing", lambda: endpoint("a") == "10.9.0.11")
    with mesh.traffic("a", addresses["b"]):
        assert mesh.larva("update", "mesh", "--rule", "basic")["rule_type"] == "basic"
        until("a takes the public wire", lambda: endpoint("a") == "203.0.113.11")
        until("b takes the public wire", lambda: endpoint("b") == "203.0.113.10")
        mesh.larva("update", "mesh", "--rule", "cost-prioritized")
        until("a takes the private wire again", lambda: endpoint("a") == "10.9.0.11")

        assert mesh.larva("update", "mesh", "--cidr", "10.77.0.0/16", "--name", "wide")["cidr"] == "10.77.0.0/16"
        for host in ("a", "b"):
            wide = f"{addresses[host]}/16"
            until(f"{host} has {wide}", lambda host=host, wide=wide: wide in mesh.ip(host, "addr", "show", "cbnet0"))
            assert f"{addresses[host]}/24" not in mesh.ip(host, "addr", "show", "cbnet0")
    assert mesh.doctor("a")["healthy"], mesh.doctor("a")


def test_the_doctor_and_the_metrics_tell_what_is_so(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    mesh.wait_mesh("a", "b")
    until(
        "both are seen",
        lambda: all(view["present"] and view["state"] == "active" for view in mesh.views().values()),
    )
    lines = mesh.larva_plain("status", "mesh", "--csv", "--watch").splitlines()
    assert lines[0].startswith("source,destination,")
    assert {tuple(line.split(",")[:2]) for line in lines[1:]} == {("a", "b"), ("b", "a")}
    assert {line.split(" → ")[0] for line in mesh.larva_plain("status", "mesh", "--watch").splitlines()} == {"a", "b"}

    report = mesh.doctor("a")
    assert report["healthy"], report
    assert any("wireguard-go" in finding["what"] for finding in report["findings"])

    def metrics_of(host: str) -> str:
        return mesh.inside(host, sys.executable, "-c", READ, "http://127.0.0.1:9101/metrics")

    metrics = metrics_of("a")
    for name in ("peer_handshake_age_seconds", "peer_received_bytes_total", "status_test_rtt_seconds"):
        value = re.search(rf'^larva_{name}{{cladnet="{mesh.group}",peer="b"}} ([0-9.e+-]+)$', metrics, re.M)
        assert value, metrics
        assert float(value[1]) >= 0
    assert f'larva_status_test_loss_ratio{{cladnet="{mesh.group}",peer="b"}} 0\n' in metrics
    until("the path is measured", lambda: "larva_peer_rtt_seconds{" in metrics_of("a"))
    assert f'larva_alarms{{cladnet="{mesh.group}",kind="unreachable"}} 0\n' in metrics_of("a")
    assert f'larva_reconcile_lag_seconds{{reconciler="network {mesh.group}"}}' in metrics
    controller = mesh.inside("control", sys.executable, "-c", READ, "http://127.0.0.1:9102/metrics")
    assert re.search(r'^larva_controller_steps_total{result="done"} [1-9]', controller, re.M), controller
    assert re.search(r'^larva_reconcile_handled_revision{reconciler="controller"} [1-9]', controller, re.M), controller

    mesh.end("agent-b")
    mesh.ip("b", "link", "set", "eth0", "down")  # b can no longer be reached
    mesh.end("agent-a")
    mesh.ip("a", "link", "del", "cbnet0")
    report = mesh.doctor("a")
    assert not report["healthy"]
    assert any("cbnet0 is not there" in finding["what"] for finding in report["findings"]), report
    mesh.start_agent("a")
    until(
        "a says that nothing comes",
        lambda: any("UDP port 51820" in each["what"] for each in mesh.doctor("a")["findings"]),
    )

    mesh.etcd.kill()
    report = mesh.doctor("a")
    (told,) = [finding["what"] for finding in report["findings"] if finding["about"] == "etcd"]
    assert f"{mesh.etcd.endpoints[0]}: Connection refused" in told
    status = mesh.agent_status("a")["cladnets"][0]
    assert (status["from_cache"], [peer["host"] for peer in status["peers"]]) == (True, ["b"])


def test_traffic_outlives_controller_etcd_and_agents(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    addresses = mesh.wait_mesh("a", "b")

    with mesh.traffic("a", addresses["b"]):
        mesh.end("controller")
        mesh.etcd.kill()
        for host in ("a", "b"):  # a restarting agent adopts what runs, from its cache, with etcd down
            mesh.end(f"agent-{host}", signal.SIGTERM)
            mesh.start_agent(host)
            until(f"{host} is up from its cache", lambda host=host: "up from the cached rules" in mesh.log(host))
        mesh.end("agent-b", signal.SIGKILL)
        mesh.etcd.start()
        mesh.start_controller()
        until("b is called unreachable", lambda: mesh.views()["b"]["state"] == "unreachable")
        mesh.start_agent("b")
        until("b is back", lambda: mesh.views()["b"]["state"] == "active" and mesh.views()["b"]["present"] is True)
    assert mesh.wait_mesh("a", "b") == addresses


def test_a_rebooted_host_comes_up_with_etcd_down(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    addresses = mesh.wait_mesh("a", "b")
    mesh.end("agent-b", signal.SIGKILL)
    mesh.etcd.kill()
    mesh.ip("b", "link", "del", "cbnet0")  # what a reboot leaves: the disk only
    mesh.start_agent("b")
    until("b is reached", lambda: mesh.reaches("a", addresses["b"]))
    assert (mesh.state("b") / "rules" / f"{mesh.group}.json").stat().st_mode & 0o777 == 0o600


def test_a_crashed_tunnel_program_is_started_again(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    addresses = mesh.wait_mesh("a", "b")
    mesh.ip("b", "link", "del", "cbnet0")
    until("b has its interface again", lambda: mesh.has_interface("b"))
    until("b is reached", lambda: mesh.reaches("a", addresses["b"]))


def test_a_host_whose_own_network_overlaps_is_told_and_not_cut_off(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.wait_mesh("a")
    mesh._hosts.append("x")
    mesh._add_namespace("x")
    mesh._plug("x", "203.0.113.20/24")
    mesh.ip("x", "link", "add", "lan0", "type", "bridge")
    mesh.ip("x", "addr", "add", "10.77.0.50/16", "dev", "lan0")
    mesh.ip("x", "link", "set", "lan0", "up")
    mesh._enrol("x", (Role.MEMBER,), (mesh.group,))
    mesh.start_agent("x")
    until("the collision is shown", lambda: "10.77.0.0/16" in str(mesh.views().get("x", {}).get("problem")))
    assert mesh.views()["x"]["address"] is None
    assert not mesh.has_interface("x")


def test_an_agent_that_cannot_write_its_disk_still_follows_the_network(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    mesh.wait_mesh("a", "b")
    mesh.end("agent-b", signal.SIGKILL)
    state = mesh.state("b")
    shutil.rmtree(state / "rules")
    (state / "rules").write_text("no directory")  # what a full or read-only disk does to root in a test: OSError
    (state / "groups.json").unlink()
    (state / "groups.json").mkdir()
    mesh.start_agent("b")
    mesh.add_host("c", 12)
    mesh.wait_mesh("a", "b", "c")
    mesh.larva_plain("leave", "mesh", "b")
    until("b's interface is gone", lambda: not mesh.has_interface("b"))


def test_an_agent_keeps_its_tunnel_up_whatever_stands_in_etcd(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    addresses = mesh.wait_mesh("a", "b")
    mesh.etcdctl("put", keys.command(mesh.group, "b"), "rubbish")
    mesh.etcdctl("put", keys.test_specification(mesh.group), "rubbish")
    until("b has read it", lambda: "rules known" in mesh.log("b"))
    mesh.ip("b", "link", "del", "cbnet0")
    until("b has its interface again", lambda: mesh.has_interface("b"))
    until("b is reached", lambda: mesh.reaches("a", addresses["b"]))


def test_an_interface_of_the_same_name_gives_way(mesh: Mesh) -> None:
    mesh.add_host("a", 10)
    mesh.add_host("b", 11)
    mesh.wait_mesh("a", "b")
    mesh.end("agent-b", signal.SIGKILL)
    mesh.ip("b", "link", "del", "cbnet0")
    mesh.ip("b", "link", "add", "cbnet0", "type", "bridge")
    mesh.ip("b", "addr", "add", "192.0.2.1/24", "dev", "cbnet0")
    mesh.start_agent("b")
    mesh.wait_mesh("a", "b")
    assert "192.0.2.1" not in mesh.ip("b", "-4", "addr", "show", "dev", "cbnet0")


def test_ipv6_is_turned_on_and_off_without_losing_a_packet_of_ipv4(mesh: Mesh) -> None:
    for number, host in enumerate(("a", "b", "c"), start=10):
        mesh.add_host(host, number)
    mesh.inside("c", "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    addresses = mesh.wait_mesh("a", "b", "c")
    with mesh.traffic("a", addresses["b"]):
        prefix = str(mesh.larva("update", "mesh", "--ipv6")["cidr6"])
        until("a and b have a second address", lambda: all(mesh.views()[host]["address6"] for host in ("a", "b")))
        second = {host: str(mesh.views()[host]["address6"]) for host in ("a", "b")}
        assert all(address.startswith(prefix.removesuffix(":/64")) for address in second.values())
        until(f"a reaches b by IPv6\n{mesh.log('a')}", lambda: mesh.reaches("a", second["b"]))
        until("b reaches a by IPv6", lambda: mesh.reaches("b", second["a"]))
    until("c tells why it has none", lambda: "kernel has none" in mesh.views()["c"]["ipv6_problem"])
    assert mesh.reaches("a", addresses["c"])
    found = mesh.doctor("c")["findings"]
    assert [each for each in found if each["severity"] == "note" and "disable_ipv6" in each["what"]], found
    assert mesh.doctor("a")["healthy"], mesh.doctor("a")
    assert mesh.agent_status("a")["cladnets"][0]["address6"] == second["a"]
    until("the cache has it", lambda: second["b"] in (mesh.state("a") / "rules" / f"{mesh.group}.json").read_text())

    mesh.larva("update", "mesh", "--ipv6", "off")
    for host in ("a", "b"):
        until("it is gone", lambda host=host: second[host] not in mesh.ip(host, "addr", "show", "cbnet0"))
        assert mesh.views()[host]["address6"] is None
    assert not mesh.reaches("a", second["b"])
    assert mesh.wait_mesh("a", "b", "c") == addresses


def test_a_cut_host_raises_alarms_that_clear_when_it_heals_and_a_restart_keeps_what_was_measured(mesh: Mesh) -> None:
    for number, host in enumerate(("a", "b", "c"), start=10):
        mesh.add_host(host, number)
    mesh.wait_mesh("a", "b", "c")

    def rows() -> dict[str, HostQuality]:
        told = mesh.etcdctl("get", "--prefix", "--print-value-only", keys.qualities_of(mesh.group)).splitlines()
        found = [codec.decode(line, HostQuality, source="etcd") for line in told if line]
        return {row.host: row for row in found}

    def alarms(host: str) -> set[tuple[str, str]]:
        return {(alarm.kind, alarm.destination) for alarm in rows()[host].alarms}

    until("every host tells of both its peers", lambda: [len(row.pairs) for row in rows().values()] == [2, 2, 2])
    paths = mesh.larva("quality", "mesh", "--window", "24h")
    assert {(path["source"], path["destination"]) for path in paths} == set(itertools.permutations("abc", 2))
    assert all(path["sent"] >= path["received"] > 0 < path["avg_ms"] for path in paths)
    lines = mesh.larva_plain("quality", "mesh", "--csv").splitlines()
    assert (len(lines), lines[0].split(",")[:3]) == (7, ["source", "destination", "window"])
    assert mesh.larva("alarms", "mesh") == {"summary": [], "alarms": []}
    port = f"p{mesh._hosts.index('c') + 1}-c"
    mesh.ip("net", "link", "set", port, "down")
    for host in ("a", "b"):
        until(f"{host} raises the alarm", lambda host=host: alarms(host) == {("unreachable", "c")})
    (told,) = [line for line in mesh.larva("alarms", "mesh")["summary"] if line["destination"] == "c"]
    assert (told["kind"], told["sources"], told["alarms"]) == ("unreachable", ["a", "b"], 2)
    assert re.search(r"unreachable +c +a, b ", mesh.larva_plain("alarms", "mesh"))
    until("a has it on disk", lambda: mesh.agent_status("a")["cladnets"][0]["alarms"])
    since = rows()["a"].alarms[0].since

    mesh.end("agent-a", signal.SIGTERM)
    kept = mesh.state("a") / "probes" / f"{mesh.group}.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    sent = max(pair.over(Window.DAY).sent for pair in rows()["a"].pairs)
    written = rows()["a"].written_at
    mesh.start_agent("a")
    until("a tells again", lambda: rows()["a"].written_at > written)
    assert rows()["a"].alarms[0].since == since, "an agent that is restarted knows since when"
    assert max(pair.over(Window.DAY).sent for pair in rows()["a"].pairs) >= sent

    mesh.ip("net", "link", "set", port, "up")
    for host in ("a", "b", "c"):
        until(f"{host} is content", lambda host=host: alarms(host) == set())


def test_encryption_is_turned_off_and_on_while_hosts_are_there(mesh: Mesh) -> None:
    for number, host in enumerate(("a", "b", "c"), start=10):
        mesh.add_host(host, number)
    mesh.larva("update", "mesh", "--ipv6")
    addresses = mesh.wait_mesh("a", "b", "c")
    second = {host: str(mesh.views()[host]["address6"]) for host in addresses}

    def carried(host: str) -> str:
        return str(mesh.agent_status(host)["cladnets"][0]["datapath"])

    warned = mesh.run_larva("control", "net", "update", "mesh", "--encryption", "off")
    assert "reads and forges" in warned.stderr
    for host in addresses:
        until(f"{host} has changed over\n{mesh.log(host)}", lambda host=host: carried(host) == "vxlan")
    assert mesh.wait_mesh("a", "b", "c") == addresses
    until("b is reached by IPv6", lambda: mesh.reaches("a", second["b"]))
    assert "mtu 1450" in mesh.ip("a", "link", "show", "cbnet0")
    assert mesh.doctor("a")["healthy"], mesh.doctor("a")
    assert "encryption is off" in str(mesh.doctor("a")["findings"])
    peers = mesh.agent_status("a")["cladnets"][0]["peers"]
    assert [(peer["host"], peer["endpoint"], peer["answers"]) for peer in peers] == [
        ("b", ["203.0.113.11", 51820], True), ("c", ["203.0.113.12", 51820], True),
    ]  # fmt: skip
    mesh.end("agent-a")  # the network outlives the agent, and the next one adopts it
    assert mesh.reaches("b", addresses["a"])
    mesh.start_agent("a")
    with mesh.traffic("b", addresses["a"]):
        mesh.ip("c", "addr", "del", "203.0.113.12/24", "dev", "eth0")
        mesh.ip("c", "addr", "add", "203.0.113.99/24", "dev", "eth0")
        until("c's new address is known", lambda: mesh.views()["c"]["public_address"] == "203.0.113.99")
        mesh.wait_mesh("a", "b", "c")

    mesh.larva("update", "mesh", "--encryption", "on")
    for host in addresses:
        until(f"{host} has changed back\n{mesh.log(host)}", lambda host=host: carried(host) == "wireguard-go")
        assert mesh.inside(host, "nft", "list", "tables") == ""
    assert mesh.wait_mesh("a", "b", "c") == addresses


SERVE = """
import hashlib, socket, sys
listener = socket.create_server((sys.argv[1], 7000))
print("ready", flush=True)
connection, _ = listener.accept()
told = hashlib.sha256()
while data := connection.recv(1 << 16):
    told.update(data)
print(told.hexdigest())
"""
SEND = """
import hashlib, os, select, socket, sys
connection = socket.create_connection((sys.argv[1], 7000), timeout=60)
told = hashlib.sha256()
while not select.select([sys.stdin], [], [], 0.005)[0]:
    data = os.urandom(1 << 12)
    connection.sendall(data)
    told.update(data)
connection.close()
print(told.hexdigest())
"""


@contextlib.contextmanager
def counted(mesh: Mesh, source: str, address: str) -> Iterator[list[int]]:
    """Ping a hundred times a second meanwhile; gives what was sent and what came back, once it is over."""
    ping = subprocess.Popen(
        ["ip", "netns", "exec", mesh.ns(source), "ping", "-i", "0.01", "-W", "5", address],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    counts: list[int] = []
    try:
        yield counts
    finally:
        ping.send_signal(signal.SIGINT)
        output, _ = ping.communicate(timeout=PATIENCE_S)
    found = re.search(r"(\d+) packets transmitted, (\d+) received", output)
    assert found, output
    counts += [int(found[1]), int(found[2])]


@contextlib.contextmanager
def stream(mesh: Mesh, source: str, target: str, address: str) -> Iterator[None]:
    """One TCP connection carries data meanwhile, and all of it arrives."""

    def spawn(name: str, script: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            ["ip", "netns", "exec", mesh.ns(name), sys.executable, "-c", script, address],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    server = spawn(target, SERVE)
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    client = spawn(source, SEND)
    try:
        yield
    finally:
        sent, _ = client.communicate("end\n", timeout=PATIENCE_S)
        received, _ = server.communicate(timeout=PATIENCE_S)
    assert sent == received != ""
    assert client.returncode == server.returncode == 0


def test_a_hosts_key_is_replaced_while_traffic_flows(mesh: Mesh) -> None:
    for number, host in enumerate(("a", "b", "c"), start=10):
        mesh.add_host(host, number)
    addresses = mesh.wait_mesh("a", "b", "c")
    key_file = mesh.state("a") / "identity" / "wireguard.key"
    old = key_file.read_text()

    def key_of_a(host: str) -> object:
        rules = json.loads((mesh.state(host) / "rules" / f"{mesh.group}.json").read_text())["rules"]
        return next(rule["public_key"] for rule in rules if rule["host"] == "a")

    with (
        counted(mesh, "a", addresses["b"]) as out,
        counted(mesh, "b", addresses["a"]) as back,
        stream(mesh, "a", "c", addresses["c"]),
        stream(mesh, "b", "a", addresses["a"]),
    ):
        new = mesh.on("a", "agent", "rotate-key")["next_public_key"]
        assert (mesh.state("a") / "identity" / "wireguard.next").stat().st_mode & 0o777 == 0o600
        until("everybody goes by the new key", lambda: all(key_of_a(host) == new for host in ("a", "b", "c")))
        until("the old one is gone", lambda: not key_file.with_suffix(".next").exists())
        for peer in ("b", "c"):
            assert mesh.reaches("a", addresses[peer])
            assert mesh.reaches(peer, addresses["a"])
    assert key_file.read_text() != old
    print("sent and received:", out, back)
    for sent, received in (out, back):
        assert sent > 100
        assert sent - received <= 3, "one may be on its way at the end, and one at each end of the change"


def test_a_host_that_is_cut_off_from_etcd_notices_that_a_peer_uses_its_next_key(mesh: Mesh) -> None:
    mesh.settle_s = 20.0  # b's lease lasts longer than half of it: b was there long enough to have heard of the key
    for number, host in enumerate(("a", "b"), start=10):
        mesh.add_host(host, number)
    addresses = mesh.wait_mesh("a", "b")
    until("both are seen", lambda: all(view["present"] for view in mesh.views().values()))
    new = mesh.on("a", "agent", "rotate-key")["next_public_key"]
    rules = mesh.state("b") / "rules" / f"{mesh.group}.json"
    until("b knows the next key", lambda: new in rules.read_text())
    mesh.ip("b", "route", "add", "unreachable", "203.0.113.1/32")
    key_file = mesh.state("a") / "identity" / "wireguard.key"
    until(f"a uses it\n{mesh.log('a')}", lambda: not key_file.with_suffix(".next").exists())
    until("a reaches b", lambda: mesh.reaches("a", addresses["b"]))
    assert mesh.reaches("b", addresses["a"])
    assert f'"next_public_key":"{new}"' in rules.read_text(), "nobody told b"
    mesh.ip("b", "route", "del", "unreachable", "203.0.113.1/32")
    until("b is told", lambda: f'"public_key":"{new}"' in rules.read_text())
    assert mesh.reaches("b", addresses["a"])
