"""The WebSocket of one open page, which is never waited for: what it does not take stays in its outbox."""

import selectors
import socket
import ssl

from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, Ping, Pong
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError

from web.messages import Resync
from web.outbox import RESYNC, Note, Outbox
from web.roles import Caller

PING_S = 25.0
"""So often a page is asked whether it is there; who has not answered by the next time is gone."""
STALLED_S = 20.0
"""A page that takes nothing for this long is cut off."""
RECORD_BYTES = 16 * 1024
"""The most that a TLS record holds (RFC 8446, §5.1): reading so much leaves nothing that a selector would not see."""
KERNEL_BYTES = 64 * 1024
"""Of what was sent and not taken, the kernel keeps no more than about twice this."""

Session = tuple[tuple[str, object], ...]
"""What a cookie says of a session, for who looks whether it lasts."""


class PageGone(Exception):
    """The page has hung up, says what no page of ours says, or is to be hung up on."""


class OpenPage:
    """One page; all but `caller` is for one thread alone.

    Args:
        connection: over which its handshake came; becomes non-blocking.
        greeting: the answer to that, to be sent before all else.
        session: of whom the page is.
        now: monotonic seconds.
    """

    def __init__(
        self, connection: socket.socket, greeting: bytes, *, caller: Caller, session: Session, now: float
    ) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        connection.settimeout(0)
        self.connection = connection
        self.session = session
        self.caller: Caller | None = caller
        """None once the session has ended."""
        self.interest = selectors.EVENT_READ
        """What has to happen on the connection before it is worth another try."""
        self._outbox = Outbox()
        self._outbox.put(RESYNC)
        self._protocol = Connection(ConnectionType.SERVER)
        self._unsent = memoryview(greeting)
        self._control = b""
        self._moved = self._heard = self._pinged = now

    def tell(self, note: Note) -> None:
        """Let the page know as soon as it takes it, unless it is of no CLADNet that its reader sees."""
        if self.caller is None:
            return
        if isinstance(note.message, Resync) or self.caller.sees(note.message.cladnet):
            self._outbox.put(note)

    def write(self, now: float) -> None:
        """Send as much as the page takes.

        Raises:
            PageGone, OSError
        """
        try:
            while self._fill():
                self._unsent = self._unsent[self.connection.send(self._unsent) :]
                self._moved = now
        except ssl.SSLWantReadError:
            self.interest = selectors.EVENT_READ
        except (BlockingIOError, ssl.SSLWantWriteError):
            self.interest = selectors.EVENT_READ | selectors.EVENT_WRITE
        else:
            self.interest = selectors.EVENT_READ
            self._moved = now

    def _fill(self) -> bool:
        """Have something to be sent, no more than one record or note of it: the rest may be overtaken by newer."""
        if not self._unsent:
            if self.caller is None:
                raise PageGone
            taken = bytearray(self._control)
            self._control = b""
            while self._outbox and len(taken) < RECORD_BYTES:
                taken += self._outbox.pop().frame
            self._unsent = memoryview(bytes(taken))
        return bool(self._unsent)

    def read(self, now: float) -> None:
        """Take what the page has sent: answers to pings, and its goodbye.

        Raises:
            PageGone, OSError
        """
        try:
            data = self.connection.recv(RECORD_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        if not data:
            raise PageGone
        self._heard = now
        try:
            self._protocol.receive_data(data)
            for event in self._protocol.events():
                self._answer(event)
        except ProtocolError as error:
            raise PageGone from error

    def _answer(self, event: Event) -> None:
        match event:
            case Ping():
                self._control = self._protocol.send(event.response())  # one answer is enough for several (§5.5.3)
            case Pong():
                pass
            case _:
                raise PageGone  # pages only listen

    def look(self, now: float) -> None:
        """Called every second or so.

        Raises:
            PageGone: its session has ended, it takes nothing, or no longer answers.
        """
        stalled = bool(self._unsent) and now - self._moved > STALLED_S
        if self.caller is None or stalled:
            raise PageGone
        if now - self._pinged > PING_S:
            if self._heard < self._pinged:
                raise PageGone
            self._pinged = now
            self._control += self._protocol.send(Ping())

    def hang_up(self) -> None:
        """Say goodbye if the page takes it at once, and let go of the connection."""
        try:
            if not self._unsent:
                self.connection.send(self._protocol.send(CloseConnection(code=CloseReason.GOING_AWAY)))
            self.connection.shutdown(socket.SHUT_RDWR)
        except (OSError, ProtocolError):
            pass  # the page was first
        finally:
            self.connection.close()
