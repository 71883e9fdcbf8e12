"""Netlink's conversation, by a socket that answers as the kernel does, or as nobody should."""

import errno
import socket
import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest

from cladnet.datapath import link, netlink
from cladnet.datapath.netlink import ACK, DUMP, REQUEST, KernelRefused, Netlink
from larva.errors import HostUnfit

KERNEL, ERROR, DONE, ANSWER = 0, 2, 3, 16
MULTI, INTERRUPTED = 0x2, 0x10
"""NLM_F_MULTI, NLM_F_DUMP_INTR"""
ATTEMPTS = 5


@dataclass
class Received:
    """A datagram: what came, from whose port, and whether the rest was cut off."""

    data: bytes
    sender: int = KERNEL
    is_cut: bool = False


Answers = Callable[[int], list[Received]]
"""What is answered to the request of that sequence number."""


@dataclass
class Kernel:
    """The socket: it answers each request by the next of its answers, and is silent after the last."""

    answers: deque[Answers]
    asked: list[bytes] = field(default_factory=list)
    received: deque[Received] = field(default_factory=deque)
    is_closed: bool = False

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0

    def sendto(self, data: bytes, address: tuple[int, int]) -> int:
        assert address == (KERNEL, 0)
        self.asked.append(data)
        sequence = struct.unpack_from("=IHHII", data)[3]
        self.received.extend(self.answers.popleft()(sequence) if self.answers else [])
        return len(data)

    def recvmsg(self, size: int) -> tuple[bytes, list[object], int, tuple[int, int]]:
        assert size >= 1 << 15
        if not self.received:
            raise TimeoutError("timed out")
        each = self.received.popleft()
        return each.data, [], socket.MSG_TRUNC if each.is_cut else 0, (each.sender, 0)

    def close(self) -> None:
        self.is_closed = True


def message(kind: int, sequence: int, body: bytes = b"", *, flags: int = 0) -> bytes:
    """A message with its header, padded as the next one needs it."""
    length = 16 + len(body)
    return struct.pack("=IHHII", length, kind, flags, sequence, 0) + body + bytes(-length % 4)


def code(value: int) -> bytes:
    """The kernel's word at the end: 0, or an errno as a negative number."""
    return struct.pack("=i", -value)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
    made = Kernel(deque())
    monkeypatch.setattr(netlink.socket, "socket", lambda *_: made)
    yield made
    assert made.is_closed


def test_something_is_done_when_the_kernel_says_so(kernel: Kernel) -> None:
    kernel.answers.append(lambda sequence: [Received(message(ERROR, sequence, code(0)))])
    with Netlink(0) as asking:
        asking.do(20, b"body", flags=0x400)
    assert struct.unpack_from("=IHHII", kernel.asked[0]) == (20, 20, REQUEST | ACK | 0x400, 1, 0)
    assert kernel.asked[0][16:] == b"body"


def test_each_question_has_a_number_of_its_own(kernel: Kernel) -> None:
    kernel.answers.extend([lambda sequence: [Received(message(ERROR, sequence, code(0)))]] * 3)
    with Netlink(0) as asking:
        for _ in range(3):
            asking.do(20, b"")
    assert [struct.unpack_from("=IHHII", each)[3] for each in kernel.asked] == [1, 2, 3]


@pytest.mark.parametrize("ending", [ERROR, DONE])
@pytest.mark.parametrize("refusal", [errno.EPERM, errno.ENODEV, errno.EEXIST])
def test_a_refusal_is_told_by_its_errno_also_at_the_end_of_a_dump(ending: int, refusal: int, kernel: Kernel) -> None:
    kernel.answers.append(
        lambda sequence: [
            Received(message(ANSWER, sequence, b"one", flags=MULTI)),
            Received(message(ending, sequence, code(refusal))),
        ]
    )
    with Netlink(0) as asking, pytest.raises(KernelRefused) as refused:
        asking.dump(18, b"")
    assert refused.value.errno == refusal


def test_a_dump_comes_in_several_messages_and_datagrams(kernel: Kernel) -> None:
    kernel.answers.append(
        lambda sequence: [
            Received(message(ANSWER, sequence, b"odd") + message(ANSWER, sequence, b"even")),
            Received(message(ANSWER, sequence, b"") + message(DONE, sequence, code(0))),
        ]
    )
    with Netlink(0) as asking:
        assert [each.body for each in asking.dump(18, b"")] == [b"odd", b"even", b""]
    assert struct.unpack_from("=IHHII", kernel.asked[0])[2] == REQUEST | DUMP


@pytest.mark.parametrize("where", [ANSWER, DONE])
def test_a_dump_that_was_interrupted_is_asked_for_again(where: int, kernel: Kernel) -> None:
    """linux/netlink.h: what is listed changed meanwhile; the last message may be the only one that says so."""

    def interrupted(sequence: int) -> list[Received]:
        first, last = (INTERRUPTED if where == kind else 0 for kind in (ANSWER, DONE))
        return [Received(message(ANSWER, sequence, b"old", flags=first) + message(DONE, sequence, code(0), flags=last))]

    kernel.answers.append(interrupted)
    kernel.answers.append(lambda sequence: [Received(message(ANSWER, sequence, b"new") + message(DONE, sequence))])
    with Netlink(0) as asking:
        assert [each.body for each in asking.dump(18, b"")] == [b"new"]


def test_a_dump_that_is_always_interrupted_is_given_up(kernel: Kernel) -> None:
    kernel.answers.extend([lambda sequence: [Received(message(DONE, sequence, flags=INTERRUPTED))]] * (ATTEMPTS + 1))
    with Netlink(0) as asking, pytest.raises(KernelRefused) as refused:
        asking.dump(18, b"")
    assert refused.value.errno == errno.EINTR
    assert len(kernel.asked) == ATTEMPTS


def test_what_was_cut_off_is_no_answer(kernel: Kernel) -> None:
    kernel.answers.append(lambda sequence: [Received(message(ANSWER, sequence, b"half"), is_cut=True)])
    with Netlink(0) as asking, pytest.raises(KernelRefused) as refused:
        asking.dump(18, b"")
    assert refused.value.errno == errno.EMSGSIZE


def test_nobody_but_the_kernel_answers(kernel: Kernel) -> None:
    """A datagram of somebody else does not count, whatever it says, not even that it was cut off."""
    kernel.answers.append(
        lambda sequence: [
            Received(message(ERROR, sequence, code(errno.EPERM)), sender=4711),
            Received(message(ANSWER, sequence, b"forged"), sender=4711, is_cut=True),
            Received(message(ANSWER, sequence, b"true") + message(DONE, sequence, code(0))),
        ]
    )
    with Netlink(0) as asking:
        assert [each.body for each in asking.dump(18, b"")] == [b"true"]


def test_what_is_left_of_an_earlier_question_does_not_count(kernel: Kernel) -> None:
    """A dump that was refused in its midst may leave messages in the socket."""
    kernel.answers.append(
        lambda sequence: [
            Received(message(ERROR, sequence, code(errno.EBUSY))),
            Received(message(ANSWER, sequence, b"late") + message(DONE, sequence, code(errno.EPERM))),
        ]
    )
    kernel.answers.append(
        lambda sequence: [Received(message(ANSWER, sequence, b"mine") + message(ERROR, sequence, code(0)))]
    )
    with Netlink(0) as asking:
        with pytest.raises(KernelRefused):
            asking.dump(18, b"")
        assert asking.get(18, b"").body == b"mine"


def test_a_thing_of_which_nothing_is_said_is_not_there(kernel: Kernel) -> None:
    kernel.answers.append(lambda sequence: [Received(message(ERROR, sequence, code(0)))])
    with Netlink(0) as asking, pytest.raises(KernelRefused) as refused:
        asking.get(18, b"")
    assert refused.value.errno == errno.ENOENT


def test_a_kernel_that_does_not_answer_in_time_is_told_as_such(kernel: Kernel) -> None:
    with Netlink(0) as asking, pytest.raises(KernelRefused) as refused:
        asking.do(20, b"")
    assert refused.value.errno == errno.ETIMEDOUT


def test_silence_is_not_taken_for_a_missing_socket(kernel: Kernel) -> None:
    with pytest.raises(HostUnfit, match="cannot look at cbnet0: Connection timed out"):
        link.look("cbnet0")
