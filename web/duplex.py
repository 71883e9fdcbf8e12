"""A socket that one thread may read while others write, over TLS too, and that no stalled reader blocks for ever."""

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class DuplexSocket:
    """Stands in for the connection that simple-websocket uses from two threads.

    OpenSSL allows one call at a time on a connection (SSL_read(3)), and a blocking read would keep a writer out; so
    every call here is non-blocking and under one lock, and the waiting happens outside of it. Python's own socket
    timeouts would not do: `send` may then write a part, which would tear a frame.

    Args:
        connection: an accepted socket; it becomes non-blocking.
        timeout_s: how long one read or write may wait for the peer before TimeoutError.
    """

    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        connection.settimeout(0)  # non-blocking
        self._connection = connection
        self._timeout_s = timeout_s
        self._calls = threading.Lock()
        self._writers = threading.Lock()

    def fileno(self) -> int:
        """The descriptor, for a selector."""
        return self._connection.fileno()

    def recv(self, size: int) -> bytes:
        """Return what has arrived, at least one byte, or nothing at the end.

        It may be more than `size`: a selector does not see what TLS has decrypted already, so nothing may stay behind.
        """
        data = self._patiently(lambda: self._connection.recv(size), select.POLLIN, self._deadline())
        while isinstance(self._connection, ssl.SSLSocket) and data and self._pending():
            data += self._patiently(lambda: self._connection.recv(size), select.POLLIN, self._deadline())
        return data

    def send(self, data: bytes) -> int:
        """Write all of it, whole against other writers."""
        with self._writers:
            rest, deadline = memoryview(data), self._deadline()
            while rest:
                rest = rest[self._patiently(lambda: self._connection.send(rest), select.POLLOUT, deadline) :]  # noqa: B023 - called at once
        return len(data)

    def close(self) -> None:
        """Shut the connection down; the server that accepted it closes the descriptor."""
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the peer was first

    def _pending(self) -> bool:
        with self._calls:
            return isinstance(self._connection, ssl.SSLSocket) and self._connection.pending() > 0

    def _deadline(self) -> float:
        return time.monotonic() + self._timeout_s

    def _patiently(self, call: Callable[[], T], plainly: int, deadline: float) -> T:
        while True:
            with self._calls:
                try:
                    return call()
                except ssl.SSLWantReadError:
                    mask = select.POLLIN
                except ssl.SSLWantWriteError:
                    mask = select.POLLOUT
                except BlockingIOError:
                    mask = plainly
            self._wait(mask, deadline)

    def _wait(self, mask: int, deadline: float) -> None:
        poller = select.poll()
        poller.register(self._connection, mask)
        if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError("the peer neither sends nor reads")
