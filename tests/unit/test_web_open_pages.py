"""Whatever goes wrong at one page, the others hear the news: one thread serves them all."""

import socket
from collections.abc import Callable, Iterator
from typing import NoReturn

import pytest

from larva.errors import Unavailable
from web import hub, open_pages
from web.messages import HostsChanged
from web.open_page import OpenPage, Session
from web.open_pages import OpenPages
from web.roles import AccountRole, Caller, Grant

PATIENCE_S = 20
ADMIN = Caller(name="ada", grants=(Grant(role=AccountRole.ADMIN),))
BAD, GOOD = (("user", "bad"),), (("user", "good"),)
Open = Callable[[Session], tuple[OpenPage, socket.socket]]


def caller_of(session: Session) -> Caller:
    if session == BAD:
        raise RuntimeError("a defect")
    return ADMIN


@pytest.fixture
def pages() -> Iterator[OpenPages]:
    pages = OpenPages(caller_of)
    yield pages
    pages.close()


@pytest.fixture
def opened() -> Iterator[Open]:
    ends: list[socket.socket] = []

    def open_one(session: Session) -> tuple[OpenPage, socket.socket]:
        ours, theirs = socket.socketpair()
        ends.extend((ours, theirs))
        theirs.settimeout(PATIENCE_S)
        return OpenPage(ours, b"welcome", caller=ADMIN, session=session, now=0.0), theirs

    yield open_one
    for end in ends:
        end.close()


def hears(browser: socket.socket, pages: OpenPages) -> bool:
    """Whether a page still hears what is told from now on."""
    pages.publish(HostsChanged(cladnet="new"))
    heard = b""
    while b'"new"' not in heard:
        more = browser.recv(1 << 16)
        if not more:
            return False
        heard += more
    return True


@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_defect_at_one_page_costs_that_page_only(
    pages: OpenPages, opened: Open, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    (broken, its_browser), (good, browser) = opened(GOOD), opened(GOOD)

    def fail(_: float) -> None:
        raise RuntimeError("a defect")

    if when == "at once":
        monkeypatch.setattr(broken, "write", fail)
    pages.adopt(broken)
    pages.adopt(good)
    assert hears(browser, pages)
    monkeypatch.setattr(broken, "write", fail)
    assert hears(browser, pages)
    while its_browser.recv(1 << 16):
        pass
    assert pages._pages == {good}


def test_a_connection_that_is_gone_before_it_is_served_costs_nobody(pages: OpenPages, opened: Open) -> None:
    (gone, _), (good, browser) = opened(GOOD), opened(GOOD)
    gone.connection.close()
    pages.adopt(gone)
    pages.adopt(good)
    assert hears(browser, pages)
    assert pages._pages == {good}


def test_a_session_that_cannot_be_checked_for_a_defect_of_ours_ends_its_pages_only(
    pages: OpenPages, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_pages, "RECHECK_S", 0.01)
    (bad, its_browser), (good, browser) = opened(BAD), opened(GOOD)
    pages.adopt(bad)
    pages.adopt(good)
    while its_browser.recv(1 << 16):
        pass
    assert hears(browser, pages)
    (late, its_browser) = opened(BAD)
    pages.adopt(late)
    while its_browser.recv(1 << 16):
        pass
    assert pages._pages == {good}


def test_a_defect_at_one_change_of_etcd_does_not_end_the_news(
    pages: OpenPages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "FIRST_WAIT_S", 0.01)
    asked = []

    def store() -> NoReturn:
        asked.append(None)
        if len(asked) == 1:
            raise RuntimeError("a defect")
        followed.close()
        raise Unavailable("etcd is away")

    followed = hub.Hub(store, pages.publish)
    followed.begin()
    assert followed._thread is not None
    followed._thread.join(PATIENCE_S)
    assert len(asked) == 2
