"""A way from this machine's loopback to a port of a lab host, by a process that stands with one foot in each network.

A socket belongs to the network namespace in which it was made: the listening one is made here; then the process enters
the host's namespace, anew for every connection, since that is another one after the host was switched off and on.
"""

import asyncio
import contextlib
import errno
import socket
import sys
from pathlib import Path

import pyroute2.netns

from larva import files

LOOPBACK = "127.0.0.1"
TRIES = 100
CONNECT_TIMEOUT_S = 10.0
_CHUNK = 65536


def listen(first: int, *, tries: int = TRIES) -> socket.socket:
    """Return a socket that listens on the loopback's port `first`, or on the next free one of `tries`.

    Raises:
        OSError: EADDRINUSE, none of them is free.
    """
    for port in range(first, min(first + tries, 65536)):
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((LOOPBACK, port))
            server.listen(128)
        except OSError as error:
            server.close()
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return server
    raise OSError(errno.EADDRINUSE, f"no free port from {first} on")


async def serve(server: socket.socket, namespace: str, address: str, port: int) -> None:
    """Lead every connection to a port of an address in a network namespace, which this process enters."""
    connections: set[asyncio.Task[None]] = set()

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, TimeoutError):
            opened = await asyncio.wait_for(_dial(namespace, address, port), CONNECT_TIMEOUT_S)
            with contextlib.closing(opened[1]):
                await asyncio.gather(_copy(reader, opened[1]), _copy(opened[0], writer))

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(lead(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    listener = await asyncio.start_server(accept, sock=server)
    async with listener:
        await listener.serve_forever()


async def _dial(namespace: str, address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    pyroute2.netns.setns(namespace)
    there = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    there.settimeout(0)
    try:
        await asyncio.get_running_loop().sock_connect(there, (address, port))
        return await asyncio.open_connection(sock=there)
    except BaseException:
        there.close()
        raise


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


def main() -> None:
    """Arguments: namespace file, the host's address, its port, first port to listen on, how many to try, its file."""
    namespace, address, port, first, tries, found = sys.argv[1:]
    server = listen(int(first), tries=int(tries))
    files.write_whole(Path(found), f"{server.getsockname()[1]}\n")
    asyncio.run(serve(server, namespace, address, int(port)))


if __name__ == "__main__":
    main()
