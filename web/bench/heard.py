"""Processes that only listen, each printing what it heard and when: `python -m web.bench.heard`.

A probe is a status test whose id is the moment, in ns of the machine's monotonic clock, at which it was written; that
clock is the same in every process (clock_gettime(2)), so that hearing of it gives the time it took.
"""

import asyncio
import base64
import re
import secrets
import ssl
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from wsproto.connection import Connection, ConnectionType
from wsproto.events import Ping, TextMessage

from cladnet.etcd.store import Event, Store
from larva import codec, exits
from web.messages import WATCHED

_PROBE = re.compile(r'"id":"(\d+)"')
AT_ONCE = 20
"""Handshakes."""
READY = b"ready\n"
LATEST_S = 30.0
"""A page that has not heard of the last probe by then has missed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Where to listen."""

    pages: int
    """Open pages; with 0, a watch of etcd instead, of the same keys."""
    port: int = 0
    ca: str = ""
    cookie: str = ""


@dataclass(slots=True)
class Heard:
    """What one listener heard."""

    probes: list[tuple[int, int]] = field(default_factory=list)
    """Which one, and when: ns."""
    messages: int = 0
    """Since all were ready, as is the next."""
    resyncs: int = 0

    def take(self, text: str) -> None:
        """Note a message."""
        self.messages += 1
        if '"type":"resync"' in text:
            self.resyncs += 1
        elif '"type":"status-test"' in text and (found := _PROBE.search(text)):
            self.probes.append((int(found[1]), time.monotonic_ns()))


async def _pages(terms: Terms) -> list[Heard]:
    context = ssl.create_default_context(cafile=terms.ca)
    gate = asyncio.Semaphore(AT_ONCE)
    heard = [Heard() for _ in range(terms.pages)]

    async def open_one() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", terms.port, ssl=context)
            key = base64.b64encode(secrets.token_bytes(16)).decode()
            here = f"127.0.0.1:{terms.port}"
            lines = (
                "GET /v1/events HTTP/1.1", f"Host: {here}", f"Origin: https://{here}", f"Cookie: {terms.cookie}",
                "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13",
            )  # fmt: skip
            writer.write("\r\n".join((*lines, "", "")).encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 101 "):
                raise ConnectionError(answer.decode().splitlines()[0])
            return reader, writer

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, into: Heard) -> None:
        protocol, text = Connection(ConnectionType.CLIENT), ""
        while data := await reader.read(65_536):
            protocol.receive_data(data)
            for event in protocol.events():
                if isinstance(event, Ping):
                    writer.write(protocol.send(event.response()))
                elif isinstance(event, TextMessage):
                    text += event.data
                    if event.message_finished:
                        into.take(text)
                        text = ""

    async def open_and_listen(into: Heard) -> asyncio.Task[None]:
        """Not once all are open: who answers no ping meanwhile is hung up on."""
        return asyncio.create_task(listen(*await open_one(), into))

    listening = await asyncio.gather(*(open_and_listen(each) for each in heard))
    await _until_told(lambda: all(each.resyncs for each in heard), heard)
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    return heard


async def _until_told(ready: Callable[[], bool], heard: Sequence[Heard]) -> None:
    """Say when all listen, and count from then on; return once all have heard the probe that standard input names."""
    while not ready():
        await asyncio.sleep(0.05)
    for each in heard:
        each.messages = each.resyncs = 0
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    last = int(await asyncio.to_thread(sys.stdin.buffer.read))
    deadline = time.monotonic() + LATEST_S
    while not all(each.probes and each.probes[-1][0] >= last for each in heard) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)


async def _watch() -> list[Heard]:
    heard, relists = Heard(), []
    with Store.of_this_host() as store, store.watch(WATCHED) as watch:

        def follow() -> None:
            for item in watch:
                if not isinstance(item, Event):
                    relists.append(item)
                elif item.value is not None and (found := _PROBE.search(item.value.decode(errors="replace"))):
                    heard.probes.append((int(found[1]), time.monotonic_ns()))
                heard.messages += 1

        following = asyncio.create_task(asyncio.to_thread(follow))
        await _until_told(lambda: len(relists) >= len(WATCHED), [heard])
        watch.close()
        await following
    return [heard]


def main() -> None:
    """Listen until all have heard the last probe, and print what was heard."""
    terms = codec.decode(sys.argv[1].encode(), Terms, source="the terms")
    heard = asyncio.run(_pages(terms) if terms.pages else _watch())
    sys.stdout.buffer.write(codec.encode(heard))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    exits.ending(main)
