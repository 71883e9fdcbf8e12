"""One thread reads while others write, over TLS too, and a peer that stops reading does not block for ever."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from cladnet.enrol import authority
from cladnet.enrol.authority import Authority
from web.duplex import DuplexSocket

FRAMES = 300
FRAME_BYTES = 3000


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server and of a client that trusts it."""
    directory = tmp_path_factory.mktemp("tls")
    ca = Authority.found(directory / "ca")
    key = authority.new_key()
    (directory / "key.pem").write_bytes(authority.key_pem(key))
    certificate = ca.issue_server(key.public_key(), common_name="test", names=["test"])
    (directory / "cert.pem").write_text(certificate.pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    return server, ssl.create_default_context(cadata=ca.certificate_pem)


@contextmanager
def connected(contexts: tuple[ssl.SSLContext, ssl.SSLContext] | None) -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    if contexts is None:
        with ours, theirs:
            yield ours, theirs
        return
    wrapped: list[socket.socket] = []
    handshake = threading.Thread(target=lambda: wrapped.append(contexts[0].wrap_socket(ours, server_side=True)))
    handshake.start()
    with contexts[1].wrap_socket(theirs, server_hostname="test") as client:
        handshake.join(timeout=20)
        with wrapped[0] as server:
            yield server, client


@pytest.mark.parametrize("encrypted", [False, True])
def test_reading_and_writing_at_once_tears_no_frame(
    tls: tuple[ssl.SSLContext, ssl.SSLContext], encrypted: bool
) -> None:
    with connected(tls if encrypted else None) as (ours, theirs):
        duplex = DuplexSocket(ours, timeout_s=20)
        echoed = bytearray()

        def echo() -> None:
            with suppress(BrokenPipeError, ConnectionResetError):  # what TLS of Python 3.13 says at the end, for b""
                while data := theirs.recv(4096):
                    theirs.sendall(data)

        def read() -> None:
            while len(echoed) < 2 * FRAMES * FRAME_BYTES:
                echoed.extend(duplex.recv(1000))

        def write(letter: bytes) -> None:
            for _ in range(FRAMES):
                duplex.send(letter * FRAME_BYTES)

        threads = [threading.Thread(target=read), threading.Thread(target=echo, daemon=True)]
        threads += [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
        for thread in threads:
            thread.start()
        for thread in (threads[0], *threads[2:]):
            thread.join(timeout=60)
            assert not thread.is_alive()
        frames = {bytes(echoed[at : at + FRAME_BYTES]) for at in range(0, len(echoed), FRAME_BYTES)}
        assert frames == {b"a" * FRAME_BYTES, b"b" * FRAME_BYTES}
        duplex.close()
        threads[1].join(timeout=20)


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_peer_that_stops_reading_is_given_up(tls: tuple[ssl.SSLContext, ssl.SSLContext], encrypted: bool) -> None:
    with connected(tls if encrypted else None) as (ours, _theirs):
        duplex = DuplexSocket(ours, timeout_s=0.2)
        with pytest.raises(TimeoutError):
            duplex.send(b"x" * 50_000_000)


def test_the_end_is_nothing() -> None:
    with connected(None) as (ours, theirs):
        duplex = DuplexSocket(ours, timeout_s=20)
        theirs.close()
        assert duplex.recv(10) == b""
        duplex.close()
