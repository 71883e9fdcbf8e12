"""Live events over TLS, as served on an appliance: who may listen, what arrives, what happens when things break."""

import contextlib
import json
import re
import selectors
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import requests
import websocket

from cladnet import keys, networks, status_tests
from cladnet.enrol import authority
from cladnet.enrol.authority import Authority
from cladnet.etcd.store import Store
from cladnet.model import TestSpecification
from cladnet.quality import Alarm, AlarmKind
from web import accounts, server
from web.outbox import OUTBOX_MESSAGES
from web.roles import AccountRole
from web.server import THREADS

PASSWORD = "correct-horse-battery"
PATIENCE_S = 30
PAGES = 500
LISTEN_S = 0.3  # less than the pause between two pings, so that silence is noticed


class Console:
    """A served console and somebody who is logged in there."""

    def __init__(self, url: str, ca: Path, user: str = "admin") -> None:
        self.url = url
        self.ca = ca
        self.session = requests.Session()
        self.session.trust_env = False  # its bundle would win over `verify`
        self.session.verify = str(ca)
        page = self.session.get(f"{url}/login", timeout=PATIENCE_S)
        self.csrf = self._csrf(page.text)
        form = {"user": user, "password": PASSWORD, "csrf_token": self.csrf}
        answer = self.session.post(f"{url}/login", data=form, headers={"Referer": f"{url}/login"}, timeout=PATIENCE_S)
        assert answer.status_code == 200, answer.text
        self.csrf = self._csrf(answer.text)

    @staticmethod
    def _csrf(page: str) -> str:
        found = re.search(r'name="csrf-token" content="([^"]+)"', page)
        assert found
        return found[1]

    def listen(
        self, *, origin: str | None = None, cookie: bool = True, buffer: int | None = None
    ) -> websocket.WebSocket:
        """Open the page's WebSocket as a browser would; `buffer`: so many bytes are kept unread."""
        cookies = "; ".join(f"{each.name}={each.value}" for each in self.session.cookies) if cookie else None
        listener = websocket.create_connection(
            self.url.replace("https", "wss") + "/v1/events", origin=origin or self.url, cookie=cookies,
            timeout=PATIENCE_S, sslopt={"ca_certs": str(self.ca), "cert_reqs": ssl.CERT_REQUIRED},
            sockopt=((socket.SOL_SOCKET, socket.SO_RCVBUF, buffer),) if buffer else (),
        )  # fmt: skip
        listener.settimeout(LISTEN_S)
        return listener


def until(listener: websocket.WebSocket, kind: str) -> dict[str, object]:
    """Return the next message of that type."""
    for message in heard(listener):
        if message["type"] == kind:
            return message
    raise AssertionError("the console hung up")


def heard(listener: websocket.WebSocket) -> Iterator[dict[str, object]]:
    """Yield messages until the console hangs up."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            said = listener.recv()
        except websocket.WebSocketTimeoutException:
            continue
        if not said:
            return
        yield json.loads(said)
    raise AssertionError("nothing was heard")


def wait_until_watching(listener: websocket.WebSocket, store: Store) -> None:
    """Return when changes of etcd arrive, those of tests as well: each prefix has a watch of its own."""
    deadline = time.monotonic() + PATIENCE_S
    missing = {"status-cleared", "other"}
    while missing and time.monotonic() < deadline:
        store.put(keys.presence("probe", "host"), "host")
        store.put(keys.status("probe", "host"), "no row")
        try:
            message = json.loads(listener.recv())
        except websocket.WebSocketTimeoutException:
            continue
        if message.get("cladnet") == "probe":
            missing.discard(message["type"] if message["type"] == "status-cleared" else "other")
    assert not missing, "no change of etcd arrived"


@pytest.fixture
def console(
    console_etcd: str, console_store: Store, tmp_path: Path, serve_console: Callable[..., str]
) -> Iterator[Console]:
    ca = Authority.found(tmp_path / "ca")
    key = authority.new_key()
    certificate = ca.issue_server(key.public_key(), common_name="console", addresses=[IPv4Address("127.0.0.1")])
    (tmp_path / "console.pem").write_text(certificate.pem)
    (tmp_path / "console.key").write_bytes(authority.key_pem(key))
    (tmp_path / "ca.pem").write_text(ca.certificate_pem)
    url = serve_console(
        "--certificate", tmp_path / "console.pem", "--key", tmp_path / "console.key",
        etcd=console_etcd, password=PASSWORD,
    )  # fmt: skip
    console = Console(url, tmp_path / "ca.pem")
    yield console
    console.session.close()


def test_a_tenant_hears_of_its_own_cladnets_alone(console: Console, console_store: Store) -> None:
    own, foreign = (networks.create(console_store, name=name).id for name in ("own", "foreign"))
    accounts.create(console_store, "kim", PASSWORD, AccountRole.TENANT, (own,))
    with contextlib.closing(console.listen()) as everything:
        wait_until_watching(everything, console_store)
    kim = Console(console.url, console.ca, "kim")
    with contextlib.closing(kim.session), contextlib.closing(kim.listen()) as listener:
        assert json.loads(listener.recv()) == {"type": "resync"}
        for group in (foreign, own, foreign):
            console_store.put(keys.presence(group, "a"), "a")
        assert until(listener, "hosts")["cladnet"] == own
        networks.delete(console_store, foreign)
        networks.delete(console_store, own)
        assert until(listener, "cladnets")["cladnet"] == own


def test_what_changes_in_etcd_arrives(console: Console, console_store: Store, agents) -> None:
    with_everything = console.listen()
    assert json.loads(with_everything.recv()) == {"type": "resync"}
    wait_until_watching(with_everything, console_store)
    group = networks.create(console_store, name="shop").id
    assert until(with_everything, "cladnets")["cladnet"] == group
    agents.join(group, "aws-1", 0)
    while until(with_everything, "hosts")["cladnet"] != group:
        pass  # the probes
    test = status_tests.request(console_store, group)
    assert until(with_everything, "status-test")["test"]["id"] == test.id  # type: ignore[index]
    agents.answer(group, test, {"aws-1": {"gcp-1": 3.55}})
    row = until(with_everything, "status")["row"]
    assert (row["host"], row["latencies"][0]["avg_ms"]) == ("aws-1", 3.55)  # type: ignore[index]
    lost = Alarm(kind=AlarmKind.UNREACHABLE, destination="gcp-1", since=test.asked_at, evidence="3 echoes were lost")
    agents.raise_alarms(group, "aws-1", lost)
    told = until(with_everything, "alarms")
    assert (told["host"], [alarm["destination"] for alarm in told["alarms"]]) == ("aws-1", ["gcp-1"])  # type: ignore[attr-defined]
    console_store.delete_prefix(keys.statuses_of(group))
    assert until(with_everything, "status-cleared")["cladnet"] == group
    with_everything.close()


def test_a_broken_row_of_one_host_does_not_stop_the_news(console: Console, console_store: Store, agents) -> None:
    group = networks.create(console_store, name="shop").id
    listener = console.listen()
    wait_until_watching(listener, console_store)
    console_store.put(keys.status(group, "liar"), {"host": "<b>", "latencies": 7})
    until(listener, "status-cleared")
    agents.answer(group, status_tests.request(console_store, group), {"honest": {"b": 1.0}})
    assert until(listener, "status")["row"]["host"] == "honest"  # type: ignore[index]
    listener.close()


def test_several_pages_hear_the_same(console: Console, console_store: Store) -> None:
    listeners = [console.listen() for _ in range(5)]
    for listener in listeners:
        wait_until_watching(listener, console_store)
    group = networks.create(console_store, name="shop").id
    assert [until(listener, "cladnets")["cladnet"] for listener in listeners] == [group] * 5
    for listener in listeners:
        listener.close()


def test_pages_of_others_and_strangers_hear_nothing(console: Console) -> None:
    for origin in ("https://evil.example", console.url.replace("https", "http"), "null"):
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            console.listen(origin=origin)
        assert refused.value.status_code == 403
    with pytest.raises(websocket.WebSocketBadStatusException) as unknown:
        console.listen(cookie=False)
    assert unknown.value.status_code == 401


def test_an_ended_session_hears_no_more(console: Console, console_store: Store) -> None:
    listener = console.listen()
    until(listener, "resync")
    accounts.set_password(console_store, "admin", "another-good-password")
    assert all(message["type"] in ("resync", "hosts") for message in heard(listener))
    listener.shutdown()


def test_a_page_may_change_things_only_from_here(console: Console, console_store: Store) -> None:
    headers = {"X-CSRFToken": console.csrf}
    path = f"{console.url}/v1/cladnets"
    for referrer in (None, "https://evil.example/"):
        said = {**headers, **({"Referer": referrer} if referrer else {})}
        answer = console.session.post(path, json={"name": "shop"}, headers=said, timeout=PATIENCE_S)
        assert answer.status_code == 400
    assert networks.list_all(console_store) == ()
    headers["Referer"] = f"{console.url}/cladnets"
    assert console.session.post(path, json={"name": "shop"}, headers=headers, timeout=PATIENCE_S).status_code == 201


def test_old_tls_is_refused(console: Console) -> None:
    cookie = next(iter(console.session.cookies))
    assert cookie.name == "__Host-larva"
    assert cookie.secure
    host, port = console.url.removeprefix("https://").split(":")
    context = ssl.create_default_context(cafile=str(console.ca))
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError), socket.create_connection((host, int(port)), timeout=PATIENCE_S) as raw:
        context.wrap_socket(raw, server_hostname=host)


def test_a_page_that_never_reads_costs_nobody_else(console: Console, console_store: Store, agents) -> None:
    group = networks.create(console_store, name="shop").id
    lazy, awake = console.listen(), console.listen()
    wait_until_watching(awake, console_store)
    test = TestSpecification(id="t", trials=1, asked_at=status_tests.request(console_store, group).asked_at)
    row = {f"host-{number}": 1.0 for number in range(200)}
    for number in range(300):
        agents.answer(group, test, {f"host-{number}": row})
    deadline, heard_of = time.monotonic() + PATIENCE_S, None
    while heard_of != group:  # it is behind itself: what it is not told yet may become "read everything"
        assert time.monotonic() < deadline, "no news arrived"
        console_store.put(keys.presence(group, "last"), "last")
        with contextlib.suppress(websocket.WebSocketTimeoutException):
            message = json.loads(awake.recv())
            heard_of = message["cladnet"] if message["type"] == "hosts" else None
    lazy.close()
    awake.close()


def test_more_pages_than_the_console_has_threads_hear_the_same(console: Console, console_store: Store) -> None:
    with contextlib.ExitStack() as stack:
        opened, pages = stack.enter_context(selectors.DefaultSelector()), []
        for _ in range(PAGES):
            page = stack.enter_context(contextlib.closing(console.listen()))
            opened.register(page.sock, selectors.EVENT_READ, page)
            pages.append(page)
            for key, _ in opened.select(0):  # who answers no ping while the others open is gone by the time all are
                key.data.recv_data(control_frame=True)
        wait_until_watching(pages[-1], console_store)
        group = networks.create(console_store, name="shop").id
        assert [until(page, "cladnets")["cladnet"] for page in pages] == [group] * PAGES


def test_a_page_that_reads_late_is_told_to_read_everything_and_then_the_news(
    console: Console, console_store: Store, agents
) -> None:
    group = networks.create(console_store, name="shop").id
    test = TestSpecification(id="t", trials=1, asked_at=status_tests.request(console_store, group).asked_at)
    row = {f"host-{number}": 1.0 for number in range(200)}
    with contextlib.closing(console.listen(buffer=4096)) as late:
        wait_until_watching(late, console_store)
        for number in range(OUTBOX_MESSAGES + 100):
            agents.answer(group, test, {f"host-{number}": row})
        heard_first = []
        for message in heard(late):
            heard_first.append(message["type"])
            if message["type"] == "resync" and "status" in heard_first:
                break
        assert heard_first.count("status") < OUTBOX_MESSAGES
        networks.create(console_store, name="second")
        assert until(late, "cladnets")


@pytest.mark.parametrize(
    "beginning",
    [None, b"POST /v1/enrol HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"],
    ids=["half a TLS greeting", "half a request"],
)
def test_who_never_finishes_speaking_keeps_nobody_out(console: Console, beginning: bytes | None) -> None:
    """More of them than the server has threads: each would hold one for ever."""
    address = ("127.0.0.1", int(console.url.rsplit(":", 1)[1]))
    context = ssl.create_default_context(cafile=str(console.ca))
    with contextlib.ExitStack() as stack:
        for _ in range(THREADS + 4):
            plain = stack.enter_context(socket.create_connection(address, timeout=PATIENCE_S))
            if beginning is None:
                plain.sendall(b"\x16\x03")
                continue
            try:
                speaking = stack.enter_context(context.wrap_socket(plain, server_hostname="127.0.0.1"))
            except OSError:
                break  # every thread is taken
            speaking.sendall(beginning)
        late = stack.enter_context(socket.create_connection(address, timeout=2 * server.UNFINISHED_S + PATIENCE_S))
        asking = stack.enter_context(context.wrap_socket(late, server_hostname="127.0.0.1"))
        asking.sendall(b"GET /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert asking.recv(20).startswith(b"HTTP/1.1 200")


def test_who_has_the_answer_and_stays_on_the_line_keeps_nobody_out(console: Console) -> None:
    """So many that waiting for each to hang up, one after another, would take longer than anybody's patience."""
    address = ("127.0.0.1", int(console.url.rsplit(":", 1)[1]))
    context = ssl.create_default_context(cafile=str(console.ca))
    with contextlib.ExitStack() as stack:
        lines = []
        for _ in range(THREADS - 4):
            plain = stack.enter_context(socket.create_connection(address, timeout=PATIENCE_S))
            lines.append(stack.enter_context(context.wrap_socket(plain, server_hostname="127.0.0.1")))
        for line in lines:
            line.sendall(b"GET /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for line in lines:
            while line.recv(1 << 16):
                pass
        late = stack.enter_context(socket.create_connection(address, timeout=PATIENCE_S))
        asking = stack.enter_context(context.wrap_socket(late, server_hostname="127.0.0.1"))
        asking.sendall(b"GET /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert asking.recv(20).startswith(b"HTTP/1.1 200")


def test_who_takes_nothing_of_the_answer_keeps_nobody_out(console: Console) -> None:
    """More of them than the server has threads, and each is sent more than is taken in before anybody reads."""
    address = ("127.0.0.1", int(console.url.rsplit(":", 1)[1]))
    context = ssl.create_default_context(cafile=str(console.ca))
    with contextlib.ExitStack() as stack:
        for _ in range(THREADS + 4):
            plain = stack.enter_context(socket.socket())
            plain.settimeout(PATIENCE_S)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)  # else loopback's large ones, well buffered
            plain.connect(address)
            try:
                asking = stack.enter_context(context.wrap_socket(plain, server_hostname="127.0.0.1"))
            except OSError:
                break  # every thread is taken
            asking.sendall(b"GET /static/vendor/cytoscape.mjs HTTP/1.1\r\nHost: x\r\n\r\n")
        late = stack.enter_context(socket.create_connection(address, timeout=2 * server.UNTAKEN_S + PATIENCE_S))
        asking = stack.enter_context(context.wrap_socket(late, server_hostname="127.0.0.1"))
        asking.sendall(b"GET /login HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert asking.recv(20).startswith(b"HTTP/1.1 200")
