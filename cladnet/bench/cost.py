"""What one agent costs its host: memory and processor time of a real one, from /proc."""

import contextlib
import os
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from cladnet.access.keeper import AccessKeeper
from cladnet.agent import launch
from cladnet.agent.alarms import PathState
from cladnet.agent.cadence import SPREAD, period_s
from cladnet.agent.history import PairHistory
from cladnet.agent.history_file import HistoryFile
from cladnet.agent.record import SavedPath, deflated
from cladnet.agent.rule_cache import NetworkView
from cladnet.bench import site
from cladnet.bench.figures import Alone
from cladnet.bench.site import Site, wait_until
from cladnet.etcd.store import Store
from cladnet.member import Member
from cladnet.model import Role
from larva import codec, ports

READINGS = 3
DAY_S = 86_400.0
MODULE = "cladnet.bench.lone_agent"
_WRITE_COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}


def measure(place: Site, shared: Store, hosts: Sequence[str], *, idle_s: float) -> Alone:
    """Start an agent as `larva agent` does, with these hosts as peers and a day of measurements of each."""
    with place.store(place.root) as root:
        tls = place.enrol(shared, "lone", admit=AccessKeeper(root).admit)
    state = place.directory / "lone"
    state.mkdir()
    tls.ca.parent.rename(state / "tls")
    with console_at_loopback() as console:
        with site.being({"LARVA_STATE": state}):
            Member(
                host="lone", groups=(place.group,), roles=(Role.MEMBER,), server=console,
                etcd_endpoints=(place.endpoint,),
            ).save()  # fmt: skip
            HistoryFile(place.group).save({host: _measured(len(hosts)) for host in hosts})
        return _run(place, state, len(hosts), idle_s)


def _run(place: Site, state: Path, peers: int, idle_s: float) -> Alone:
    (port,) = ports.free(1)
    terms = launch.Terms(metrics_at=f"127.0.0.1:{port}", settle_s=60.0)
    argv = launch.command(terms, module=MODULE, compiled=_compiled(place.directory / "compiled"))
    moved: dict[str, Path | str] = {"LARVA_STATE": state, **_WRITE_COMPILED, **launch.environment({})}
    with site.child(place.directory, "lone", argv, **moved) as agent:
        cache = state / "rules" / f"{place.group}.json"

        def has_all() -> bool:
            if not cache.exists():
                return False
            return len(codec.decode(cache.read_bytes(), NetworkView, source=str(cache)).rules) > peers

        wait_until("the agent has every rule", has_all)
        before = cpu_s(agent.pid)
        time.sleep(idle_s)
        cpu, resident = 100 * (cpu_s(agent.pid) - before) / idle_s, resident_mb(agent.pid)
        for _ in range(READINGS):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
                answer.read()
        return Alone(resident_mb=resident, read_mb=resident_mb(agent.pid), cpu_percent=cpu)


def _compiled(directory: Path) -> Path:
    """Compile what the service imports, as the package does when it is installed."""
    directory.mkdir()
    argv = [sys.executable, *launch.compiled_flags(directory), "-c", "import cladnet.agent.service"]
    subprocess.run(argv, check=True, timeout=300, env={**os.environ, **_WRITE_COMPILED})
    return directory


@contextlib.contextmanager
def console_at_loopback() -> Iterator[str]:
    """Have somebody who tells the agent its public address; gives the URL."""

    class Console(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"address": "203.0.113.9"}')

        def log_message(self, *_: object) -> None:
            """Nothing to tell."""

    with HTTPServer(("127.0.0.1", 0), Console) as server:
        thread = threading.Thread(target=server.serve_forever, name="console")
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _measured(peers: int) -> SavedPath:
    """A path that has been asked as often as one of so many is, for a day."""
    history, now = PairHistory(), time.time()
    at, usual_ms = now - DAY_S, random.choice((1.0, 20.0, 80.0, 200.0))  # noqa: S311 - no secret
    pause = max(period_s(peers), 60.0)
    while at < now:
        history.add(at, usual_ms * random.lognormvariate(0.0, 0.3))
        at += pause * random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311 - no secret
    return SavedPath(history=deflated(history), state=PathState())


def cpu_s(pid: int) -> float:
    """The processor time of a process, its own and that of the programs it has started and that ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf(
        "SC_CLK_TCK"
    )  # proc(5): utime, stime, cutime, cstime: from the 14th


def resident_mb(pid: int) -> float:
    """What a process has in memory, programs' files included (proc(5), VmRSS)."""
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024
