"""A CLADNet of real processes: a namespace for each host, agents, a controller and etcd on one bridge."""

import contextlib
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
from cladnet.trust.trust import Trust

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

    def mapped(self, key: str) -> set[str]:
        """The names of the files that a process has in its memory."""
        lines = Path(f"/proc/{self._processes[key].pid}/maps").read_text().splitlines()
        return {line.rpartition("/")[2] for line in lines if "/" in line}

    def stop(self, key: str) -> None:
        """Have a process do nothing, as on a machine that sleeps, until it is told to go on."""
        self._processes[key].send_signal(signal.SIGSTOP)

    def go_on(self, key: str) -> None:
        self._processes[key].send_signal(signal.SIGCONT)

    def start_controller(self) -> None:
        self.spawn("controller", "control", [LARVA, "controller", "--grace", "2"])

    def start_agent(self, host: str) -> None:
        self.spawn(f"agent-{host}", host, [LARVA, "agent", "--key-settle", self.settle_s])

    def add_host(self, host: str, number: int, groups: tuple[str, ...] = ()) -> None:
        """Add a host that was enrolled into these CLADNets, `mesh` alone when not told, and start its agent."""
        self._hosts.append(host)
        self._add_namespace(host)
        self._plug(host, f"203.0.113.{number}/24")
        groups = groups or (self.group,)
        self._enrol(host, (Role.MEMBER,), groups)
        for index in range(len(groups)):
            self._stack.callback(run, "ip", "-n", self.ns(host), "link", "del", f"cbnet{index}", check=False)
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

    def views(self, cladnet: str = "mesh") -> dict[str, dict[str, object]]:
        return {view["host"]: view for view in self.larva("hosts", cladnet)}

    def reaches(self, source: str, address: object, *, interface: str = "cbnet0") -> bool:
        argv = ["ip", "netns", "exec", self.ns(source), "ping", "-I", interface, "-c1", "-W2", str(address)]
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

    def has_interface(self, host: str, interface: str = "cbnet0") -> bool:
        return interface in self.ip(host, "-o", "link")

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
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self._processes.values():
            process.wait(timeout=PATIENCE_S)


def run(*argv: object, check: bool = True) -> str:
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0 or not check, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout
