"""What a page has not been sent yet, bounded in number and bytes: the last word on each subject, or a Resync. Pure."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Self

from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from larva import codec
from web.messages import Message, Resync

OUTBOX_MESSAGES = 256
"""More different changes than this between two sends, and the page had better read everything anew."""
OUTBOX_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Note:
    """A message and the WebSocket frame that carries it, made once for all pages."""

    message: Message
    frame: bytes

    @classmethod
    def of(cls, message: Message) -> Self:
        """A server's frames are not masked (RFC 6455, §5.1) and no extension is agreed on: all pages get the same."""
        text = codec.encode(message).decode()
        return cls(message, Connection(ConnectionType.SERVER).send(TextMessage(data=text)))


RESYNC = Note.of(Resync())


class Outbox:
    """Notes in the order in which they came.

    All outboxes hold the newest note on a subject, and the same one: how many pages are behind costs no memory of note.
    """

    def __init__(self, limit: int = OUTBOX_MESSAGES, limit_bytes: int = OUTBOX_BYTES) -> None:
        self._limit, self._limit_bytes = limit, limit_bytes
        self._waiting: OrderedDict[Hashable, Note] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        """How many notes wait."""
        return len(self._waiting)

    def put(self, note: Note) -> None:
        """Add a note; a later one on the same subject takes the place of an earlier one."""
        if RESYNC.message.subject in self._waiting:
            return  # the page will read everything anyway
        known = self._waiting.pop(note.message.subject, None)
        self._bytes += len(note.frame) - (len(known.frame) if known else 0)
        self._waiting[note.message.subject] = note
        if len(self._waiting) > self._limit or self._bytes > self._limit_bytes or isinstance(note.message, Resync):
            self._waiting = OrderedDict({RESYNC.message.subject: RESYNC})
            self._bytes = len(RESYNC.frame)

    def pop(self) -> Note:
        """Return and forget the oldest.

        Raises:
            KeyError: nothing waits.
        """
        _, note = self._waiting.popitem(last=False)
        self._bytes -= len(note.frame)
        return note

    def take(self) -> tuple[Note, ...]:
        """Return and forget everything, the oldest first."""
        return tuple(self.pop() for _ in range(len(self)))
