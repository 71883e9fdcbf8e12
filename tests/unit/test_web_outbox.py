"""A page that reads slowly never costs more than its bound, and never misses what it has to know."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cladnet import keys
from cladnet.etcd.store import Event
from cladnet.model import HostStatus, TestSpecification
from cladnet.quality import Alarm, AlarmKind, HostQuality
from larva import codec
from web.messages import (
    AlarmsTold,
    CladnetsChanged,
    HostsChanged,
    Message,
    Resync,
    StatusArrived,
    StatusCleared,
    StorageChanged,
    TestAsked,
    VolumesChanged,
    message_of,
)
from web.outbox import Note, Outbox

ROW = HostStatus(host="a", test_id="t", measured_at=datetime.now(UTC), interface="cbnet0", datapath="x", latencies=())
TEST = TestSpecification(id="t", trials=3, asked_at=datetime.now(UTC))
LOST = Alarm(kind=AlarmKind.UNREACHABLE, destination="b", since=datetime.now(UTC), evidence="3 echoes were lost")
PATHS = HostQuality(host="a", written_at=datetime.now(UTC), pairs=(), alarms=(LOST,))
LIMIT = 4

messages = st.one_of(
    st.builds(HostsChanged, cladnet=st.sampled_from("abcdefgh")),
    st.builds(CladnetsChanged, cladnet=st.sampled_from("abcdefgh")),
    st.just(StatusArrived(cladnet="a", row=ROW)),
    st.just(Resync()),
)


def put(outbox: Outbox, *sent: Message) -> None:
    for message in sent:
        outbox.put(Note.of(message))


def taken(outbox: Outbox) -> tuple[Message, ...]:
    return tuple(note.message for note in outbox.take())


@given(st.lists(messages, max_size=40))
def test_it_is_bounded_and_holds_the_last_word_on_every_subject_or_asks_for_everything(sent: list[Message]) -> None:
    outbox = Outbox(limit=LIMIT)
    put(outbox, *sent)
    found = taken(outbox)
    assert len(found) <= LIMIT
    if Resync() in found:
        assert found == (Resync(),)
    else:
        assert {message.subject: message for message in found} == {message.subject: message for message in sent}
    assert taken(outbox) == ()


def test_a_burst_on_one_subject_is_one_message() -> None:
    outbox = Outbox()
    put(outbox, *[HostsChanged(cladnet="shop")] * 1000)
    assert taken(outbox) == (HostsChanged(cladnet="shop"),)


def test_more_subjects_than_the_bound_become_one_resync() -> None:
    outbox = Outbox(limit=LIMIT)
    put(outbox, *[HostsChanged(cladnet=f"shop-{number}") for number in range(LIMIT + 1)])
    assert taken(outbox) == (Resync(),)


@given(st.lists(messages, max_size=20), st.integers(min_value=1, max_value=6))
def test_more_bytes_than_the_bound_become_one_resync(sent: list[Message], frames: int) -> None:
    """Whatever was taken and replaced before: only what waits counts."""
    bound = frames * len(Note.of(StatusArrived(cladnet="a", row=ROW)).frame)
    outbox = Outbox(limit_bytes=bound)
    put(outbox, *sent)
    found = outbox.take()
    assert sum(len(note.frame) for note in found) <= bound
    put(outbox, StatusArrived(cladnet="a", row=ROW))
    assert taken(outbox) == (StatusArrived(cladnet="a", row=ROW),)
    for number in range(frames):
        put(outbox, StatusArrived(cladnet=f"{number}", row=ROW))
    assert len(taken(outbox)) == frames
    for number in range(frames + 1):
        put(outbox, StatusArrived(cladnet=f"{number}", row=ROW))
    assert taken(outbox) == (Resync(),)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (keys.configuration("shop"), b"{}", CladnetsChanged(cladnet="shop")),
        (keys.host_information("shop", "a"), b"{}", HostsChanged(cladnet="shop")),
        (keys.rule("shop", "a"), None, HostsChanged(cladnet="shop")),
        (keys.presence("shop", "a"), None, HostsChanged(cladnet="shop")),
        (keys.status("shop", "a"), codec.encode(ROW), StatusArrived(cladnet="shop", row=ROW)),
        (keys.status("shop", "a"), None, StatusCleared(cladnet="shop")),
        (keys.status("shop", "a"), b"<broken>", StatusCleared(cladnet="shop")),
        (keys.status("shop", "a"), b"\xff", StatusCleared(cladnet="shop")),
        (keys.test_specification("shop"), codec.encode(TEST), TestAsked(cladnet="shop", test=TEST)),
        (keys.quality("shop", "a"), codec.encode(PATHS), AlarmsTold(cladnet="shop", host="a", alarms=PATHS.alarms)),
        (keys.quality("shop", "a"), None, AlarmsTold(cladnet="shop", host="a", alarms=())),
        (keys.quality("shop", "a"), b"<broken>", AlarmsTold(cladnet="shop", host="a", alarms=())),
        (f"{keys.QUALITY}shop/a/b", b"{}", None),
        ("cb-storage/volume/shop/data", b"{}", VolumesChanged(cladnet="shop")),
        ("cb-storage/mount-state/shop/a/data", b"{}", VolumesChanged(cladnet="shop")),
        ("cb-storage/cluster-state/shop", b"{}", StorageChanged(cladnet="shop")),
        ("cb-storage/daemons/shop/a", b"{}", StorageChanged(cladnet="shop")),
        ("larva/user/admin", b"{}", None),
    ],
)
def test_each_change_of_etcd_means_one_thing(key: str, value: bytes | None, message: Message | None) -> None:
    assert message_of(Event(key, value, 7)) == message


@pytest.mark.parametrize("group", ["\udcff", "", "a b", "UPPER", "x" * 64])
def test_a_key_that_nobody_of_us_writes_is_no_news(group: str) -> None:
    """Text that is none could not even be sent, and would end the connection of every page."""
    assert message_of(Event(f"{keys.PRESENCE}{group}/host", b"{}", 1)) is None
