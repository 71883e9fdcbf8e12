"""`larva bench console`: how soon open pages hear of changes, what the console answers a second, and what it takes."""

import contextlib
import http.client
import re
import secrets
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

from cladnet import keys, network_hosts, networks
from cladnet.bench import cost, site
from cladnet.bench.fleet import Agent
from cladnet.bench.site import Site, wait_until
from cladnet.etcd.store import Store
from cladnet.model import TestSpecification
from larva import codec, ports
from larva.bench import Result
from larva.errors import ProgramFailed
from web import access_tokens, accounts
from web.bench.figures import Measured, Rate, Told, delays_s, results
from web.bench.heard import READY, Heard, Terms
from web.roles import AccountRole

USER = "bench"
ASKING = 8
"""Clients that ask at once, each over one connection."""
PROBE_S = 0.25
PATIENCE_S = 60.0
LIMIT = 200
"""Hosts a page of the list."""


def console(*, quick: bool) -> list[Result]:
    """Measure the console.

    Args:
        quick: few pages and hosts, for a short time.
    """
    pages, hosts, phase_s = (50, 40, 4.0) if quick else (500, 1000, 20.0)
    with site.running() as place, place.store() as store:
        agents = _hosts(place, store, hosts)
        with _served(place, store) as served:
            return results(_measure(served, store, agents, pages=pages, phase_s=phase_s))


class Served:
    """A console that is served, and who is logged in there."""

    def __init__(self, place: Site, store: Store, port: int, pid: int) -> None:
        self.place, self.port = place, port
        self.pid = pid
        """Of the process that serves."""
        self.ca = str(place.tls.ca)
        self._context = ssl.create_default_context(cafile=self.ca)
        password = secrets.token_urlsafe(16)
        accounts.create(store, USER, password, AccountRole.ADMIN)
        self.token = access_tokens.create(store, USER)
        self.cookie = self._log_in(password)

    def connection(self) -> http.client.HTTPSConnection:
        """A connection that is kept."""
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self._context, timeout=PATIENCE_S)

    def _log_in(self, password: str) -> str:
        with contextlib.closing(self.connection()) as connection:
            connection.request("GET", "/login")
            answer = connection.getresponse()
            cookie = (answer.getheader("Set-Cookie") or "").partition(";")[0]
            token = re.search(r'name="csrf-token" content="([^"]+)"', answer.read().decode())
            form = urlencode({"user": USER, "password": password, "csrf_token": token[1] if token else ""})
            here = f"https://127.0.0.1:{self.port}/login"
            said = {"Content-Type": "application/x-www-form-urlencoded", "Referer": here, "Cookie": cookie}
            connection.request("POST", "/login", body=form, headers=said)
            answer = connection.getresponse()
            answer.read()
            return (answer.getheader("Set-Cookie") or "").partition(";")[0]

    def resident_mb(self) -> float:
        """Its memory now."""
        return cost.resident_mb(self.pid)

    def cpu_s(self) -> float:
        """What it has computed so far."""
        return cost.cpu_s(self.pid)


@contextlib.contextmanager
def _served(place: Site, store: Store) -> Iterator[Served]:
    (port,) = ports.free(1)
    larva = str(Path(sys.executable).with_name("larva"))
    argv = [larva, "console", "serve", "--listen", f"127.0.0.1:{port}", "--cb-network-listen", "off"]
    with site.child(place.directory, "console", argv) as console:
        children = Path(f"/proc/{console.pid}/task/{console.pid}/children")

        def serving() -> bool:
            if console.poll() is not None:
                raise ProgramFailed("the console ended", hint=(place.directory / "console.log").read_text()[-2000:])
            answers = http.client.HTTPSConnection(
                "127.0.0.1", port, context=ssl.create_default_context(cafile=str(place.tls.ca)), timeout=PATIENCE_S
            )
            with contextlib.closing(answers), contextlib.suppress(OSError):
                answers.request("GET", "/login")
                return answers.getresponse().status == http.HTTPStatus.OK
            return False

        wait_until("the console serves", serving, patience_s=PATIENCE_S)
        yield Served(place, store, port, int(children.read_text().split()[0]))


def _hosts(place: Site, store: Store, number: int) -> list[Agent]:
    """Enrol hosts and let them say where they are, until the controller has given each its rule."""
    lease, agents = store.lease(3600), []
    for each in range(number):
        agent = Agent(place, store, f"host-{each:04}", each, {})
        store.put(keys.presence(place.group, agent.name), agent.name, lease=lease)
        agent.publish()
        agents.append(agent)
    rules = keys.rules_of(place.group)
    wait_until("every host has a rule", lambda: len(store.revisions(rules)) >= number)
    return agents


def _measure(served: Served, store: Store, agents: list[Agent], *, pages: int, phase_s: float) -> Measured:
    place = served.place
    _rate(served, "/v1/cladnets", 1.0)  # what is imported and opened by the first request belongs to no page
    empty_mb = served.resident_mb()
    with (
        _listening(place, Terms(pages=0)) as watch,
        _listening(place, Terms(pages=pages, port=served.port, ca=served.ca, cookie=served.cookie)) as browsers,
    ):
        open_mb = served.resident_mb()
        quiet = _probe(store, place.group, phase_s / 2)
        before = served.cpu_s(), time.monotonic()
        with _changing(agents, phase_s):
            busy = _probe(store, place.group, phase_s)
        cpu = 100 * (served.cpu_s() - before[0]) / (time.monotonic() - before[1])
        changed_mb = served.resident_mb()
        group = place.group
        some, half_s = min(LIMIT, len(agents)), phase_s / 2
        rates = [
            Rate(
                "list of CLADNets by the API", _rate(served, "/v1/cladnets", half_s),
                "the same read from etcd by a program", _reads(lambda: networks.list_all(store), half_s),
            ),
            Rate(
                f"a page of {some} of {len(agents)} hosts by the API",
                _rate(served, f"/v1/cladnets/{group}/hosts?limit={some}", half_s),
                "all hosts read from etcd by a program", _reads(lambda: network_hosts.views(store, group), half_s),
            ),
        ]  # fmt: skip
        last = _probe(store, group, PROBE_S)[-1]
        told, seen = browsers(last), watch(last)
    return Measured(
        hosts=len(agents), pages=pages, rates=rates, empty_mb=empty_mb, open_mb=open_mb, changed_mb=changed_mb,
        cpu_percent=cpu, resyncs=sum(page.resyncs for page in told),
        missed=sum(not page.probes or page.probes[-1][0] < last for page in told),
        told=[
            Told(
                what, [delay for page in told for delay in delays_s(probes, page)],
                [delay for each in seen for delay in delays_s(probes, each)],
            ) for what, probes in (("nothing else changes", quiet), (f"{len(agents)} hosts change", busy))
        ],
    )  # fmt: skip


@contextlib.contextmanager
def _listening(place: Site, terms: Terms) -> Iterator[Callable[[int], list[Heard]]]:
    """Listeners in a process of their own, once all of them hear; gives what names the last probe to them and waits."""
    argv = [sys.executable, "-m", "web.bench.heard", codec.encode(terms).decode()]
    log = place.directory / f"heard-{terms.pages}.log"
    with (
        log.open("wb") as said,
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said) as program,
    ):
        try:
            if program.stdout is None or program.stdout.readline() != READY:
                raise ProgramFailed("the listeners ended", hint=log.read_text()[-2000:])

            def end(last: int) -> list[Heard]:
                told, _ = program.communicate(str(last).encode(), timeout=PATIENCE_S)
                return codec.decode(told, list[Heard], source="the listeners")

            yield end
        finally:
            program.kill()


def _probe(store: Store, group: str, seconds: float) -> list[int]:
    """Write probes for a while, and return when."""
    written, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        written.append(time.monotonic_ns())
        test = TestSpecification(id=str(written[-1]), trials=1, asked_at=datetime.now(UTC))
        store.put(keys.test_specification(group), test)
        time.sleep(PROBE_S)
    return written


@contextlib.contextmanager
def _changing(agents: list[Agent], seconds: float) -> Iterator[None]:
    """Let each host say once, one after the other, that it is elsewhere."""
    ended = threading.Event()

    def change() -> None:
        began = time.monotonic()
        for number, agent in enumerate(agents):
            if ended.wait(max(0.0, began + seconds * number / len(agents) - time.monotonic())):
                return
            agent.facts.move()
            agent.publish()

    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change)
        try:
            yield
            changing.result(timeout=PATIENCE_S * 5)
        finally:
            ended.set()


def _rate(served: Served, path: str, seconds: float) -> float:
    """Ask for a path by several clients; return the answers a second."""

    def ask() -> int:
        answered, end = 0, time.monotonic() + seconds
        with contextlib.closing(served.connection()) as connection:
            while time.monotonic() < end:
                connection.request("GET", path, headers={"Authorization": f"Bearer {served.token}"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != http.HTTPStatus.OK:
                    raise ProgramFailed(f"the console answered {answer.status} to {path}")
                answered += 1
        return answered

    return _together(ask)


def _reads(read: Callable[[], object], seconds: float) -> float:
    """Read by as many threads; return the readings a second."""

    def ask() -> int:
        done, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            read()
            done += 1
        return done

    return _together(ask)


def _together(ask: Callable[[], int]) -> float:
    began = time.monotonic()
    with ThreadPoolExecutor(ASKING) as pool:
        done = sum(pool.map(lambda _: ask(), range(ASKING)))
    return done / (time.monotonic() - began)
