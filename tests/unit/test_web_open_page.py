"""A page is never waited for: what it does not take is bounded, and it is hung up on when it is none of ours."""

import json
import selectors
import socket
from collections.abc import Iterator

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, Ping, Pong, TextMessage

from web.messages import HostsChanged, Message, Resync
from web.open_page import PING_S, RECORD_BYTES, STALLED_S, OpenPage, PageGone
from web.outbox import Note
from web.roles import AccountRole, Caller, Grant

GREETING = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
ADMIN = Caller(name="ada", grants=(Grant(role=AccountRole.ADMIN),))


class Browser:
    """The other end."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(0)
        self.connection = connection
        self._protocol = Connection(ConnectionType.CLIENT)
        self._greeted = False

    def hear(self) -> list[Event]:
        """Return what has arrived."""
        data = b""
        try:
            while more := self.connection.recv(1_000_000):
                data += more
        except BlockingIOError:
            pass
        if not self._greeted:
            assert data.startswith(GREETING)
            data, self._greeted = data.removeprefix(GREETING), True
        self._protocol.receive_data(data)
        return list(self._protocol.events())

    def told(self) -> list[object]:
        """Return the messages that have arrived."""
        return [json.loads(event.data) for event in self.hear() if isinstance(event, TextMessage)]

    def say(self, event: Event) -> None:
        """Send something."""
        self.connection.send(self._protocol.send(event))


@pytest.fixture
def ends() -> Iterator[tuple[OpenPage, Browser]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield OpenPage(ours, GREETING, caller=ADMIN, session=(), now=0.0), Browser(theirs)


def tell(page: OpenPage, message: Message) -> None:
    page.tell(Note.of(message))


def fill(page: OpenPage, now: float = 0.0) -> int:
    """Tell and send different things until the page takes no more; return how many."""
    told = 0
    while page.interest == selectors.EVENT_READ:
        tell(page, HostsChanged(cladnet=f"net-{told}-{'x' * 1000}"))
        page.write(now)
        told += 1
    return told


def test_it_is_greeted_told_to_read_everything_and_then_the_news(ends: tuple[OpenPage, Browser]) -> None:
    page, browser = ends
    page.write(0.0)
    assert browser.told() == [{"type": "resync"}]
    for name in ("a", "b", "a"):
        tell(page, HostsChanged(cladnet=name))
    page.write(0.0)
    assert browser.told() == [{"type": "hosts", "cladnet": name} for name in ("b", "a")]


def test_a_page_that_takes_nothing_holds_no_more_than_its_bound_and_is_told_to_read_everything(
    ends: tuple[OpenPage, Browser],
) -> None:
    page, browser = ends
    before = fill(page)
    for number in range(2000):
        tell(page, HostsChanged(cladnet=f"later-{number}"))
        page.write(1.0)
    assert len(page._unsent) < 2 * RECORD_BYTES
    assert len(page._outbox) <= 256
    heard = []
    while page.interest != selectors.EVENT_READ:
        heard += browser.told()
        page.write(2.0)
    heard += browser.told()
    assert heard.index({"type": "resync"}, 1) >= before - 40
    assert len(heard) < before + 300
    tell(page, HostsChanged(cladnet="now"))
    page.write(3.0)
    assert browser.told() == [{"type": "hosts", "cladnet": "now"}]


def test_a_page_that_takes_nothing_for_long_is_gone_but_not_one_that_takes_a_little(
    ends: tuple[OpenPage, Browser],
) -> None:
    page, browser = ends
    fill(page)
    page.look(STALLED_S - 1)
    browser.told()
    page.write(STALLED_S)
    fill(page, STALLED_S)
    page.look(2 * STALLED_S - 1)
    with pytest.raises(PageGone):
        page.look(3 * STALLED_S)


def test_a_page_that_does_not_answer_is_gone(ends: tuple[OpenPage, Browser]) -> None:
    page, browser = ends
    page.write(0.0)
    page.look(PING_S + 1)
    page.write(PING_S + 1)
    assert any(isinstance(event, Ping) for event in browser.hear())
    browser.say(Pong())
    page.read(PING_S + 2)
    page.look(2 * PING_S + 3)
    with pytest.raises(PageGone):
        page.look(3 * PING_S + 4)


def test_a_ping_is_answered(ends: tuple[OpenPage, Browser]) -> None:
    page, browser = ends
    page.write(0.0)
    browser.hear()
    browser.say(Ping(payload=b"7"))
    page.read(1.0)
    page.write(1.0)
    assert [event.payload for event in browser.hear() if isinstance(event, Pong)] == [b"7"]


@pytest.mark.parametrize("said", [TextMessage(data="let me in"), CloseConnection(code=1001)])
def test_a_page_that_speaks_or_leaves_is_gone(ends: tuple[OpenPage, Browser], said: Event) -> None:
    page, browser = ends
    page.write(0.0)
    browser.hear()
    browser.say(said)
    with pytest.raises(PageGone):
        page.read(1.0)
    page.hang_up()
    assert any(isinstance(event, CloseConnection) for event in browser.hear())


@pytest.mark.parametrize("noise", [b"", b"\xff" * 40, b"GET / HTTP/1.1\r\n\r\n"])
def test_noise_ends_a_page(ends: tuple[OpenPage, Browser], noise: bytes) -> None:
    page, browser = ends
    browser.connection.send(noise) if noise else browser.connection.shutdown(socket.SHUT_WR)
    with pytest.raises(PageGone):
        page.read(1.0)
    page.hang_up()


def test_a_page_hears_nothing_once_its_session_has_ended(ends: tuple[OpenPage, Browser]) -> None:
    page, browser = ends
    page.write(0.0)
    browser.hear()
    page.caller = None
    tell(page, HostsChanged(cladnet="a"))
    with pytest.raises(PageGone):
        page.write(1.0)
    with pytest.raises(PageGone):
        page.look(1.0)
    assert browser.told() == []


def test_a_tenant_hears_of_its_own_cladnets_and_of_resyncs(ends: tuple[OpenPage, Browser]) -> None:
    page, browser = ends
    page.write(0.0)
    browser.told()
    page.caller = Caller(name="kim", grants=(Grant(role=AccountRole.TENANT, cladnets=("own",)),))
    for name in ("own", "foreign"):
        tell(page, HostsChanged(cladnet=name))
    page.write(0.0)
    assert browser.told() == [{"type": "hosts", "cladnet": "own"}]
    tell(page, Resync())
    page.write(0.0)
    assert browser.told() == [{"type": "resync"}]
