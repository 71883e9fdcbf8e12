"""The original's algorithm, on the same etcd: at each of three events of a join every agent rewrites its whole rule.

After cb-larva's agent: a peer's key changes three times as it joins (configured, tunnelled, its details set); at each,
every agent reads the CLADNet's specification and writes its own networking rule, which has an entry for every peer, in
a transaction that compares with the value and puts it. One lost entry of some hundred bytes a peer is what it says of
each: id, name, address in the CLADNet, selected address, scope, state.
"""

import asyncio
import contextlib
import json
import time
from typing import Any

import grpc.aio
from etcd3 import etcdrpc
from etcd3.utils import prefix_range_end

ROOT = "original"
EVENTS = 3
PATIENCE_S = 120.0


def rule_of(peers: int, event: int) -> bytes:
    """A rule's value: lists of one entry a peer, some 100 bytes each."""
    return json.dumps({
        "cladnetId": "cd0f2b0fe1cd2b4c", "hostId": "host-0001", "peer": [f"host-{n:04}-{event}" for n in range(peers)],
        "peerIP": [f"10.77.{n >> 8}.{n & 255}/20" for n in range(peers)],
        "selectedIP": [f"203.0.{n >> 8}.{n & 255}:8055" for n in range(peers)],
        "peerScope": ["inter"] * peers, "peerState": ["tunneling"] * peers, "peerName": ["peer"] * peers,
    }).encode()  # fmt: skip


class Agents:
    """A number of agents of the original, each with its watch."""

    def __init__(self, channels: list[grpc.aio.Channel], count: int) -> None:
        self._channels = channels
        self._count = count
        self._done = 0
        self._finished = asyncio.Event()

    async def join(self) -> float | None:
        """Let one more join; return the seconds until every agent has dealt with it, None when that takes too long."""
        standing = asyncio.Semaphore(0)
        watches = [asyncio.create_task(self._agent(number, standing)) for number in range(self._count)]
        try:
            for _ in range(self._count):
                await asyncio.wait_for(standing.acquire(), PATIENCE_S)
            return await asyncio.wait_for(self._announce(), PATIENCE_S)
        except TimeoutError:
            return None
        finally:
            for watch in watches:
                watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*watches, return_exceptions=True)

    async def _announce(self) -> float:
        started = time.monotonic()
        kv = etcdrpc.KVStub(self._channels[0])
        for event in range(EVENTS):
            self._done = 0
            self._finished.clear()
            value = json.dumps({"event": event, "details": "x" * 300}).encode()
            await kv.Put(etcdrpc.PutRequest(key=f"{ROOT}/peer/new".encode(), value=value))
            await self._finished.wait()
        return time.monotonic() - started

    async def _agent(self, number: int, standing: asyncio.Semaphore) -> None:
        channel = self._channels[number % len(self._channels)]
        prefix = f"{ROOT}/peer/".encode()
        call = etcdrpc.WatchStub(channel).Watch()
        create = etcdrpc.WatchCreateRequest(key=prefix, range_end=prefix_range_end(prefix))
        await call.write(etcdrpc.WatchRequest(create_request=create))
        async for response in call:
            if response.created:
                standing.release()
            for event in response.events:
                await self._rewrite(etcdrpc.KVStub(channel), number, json.loads(event.kv.value)["event"])

    async def _rewrite(self, kv: Any, number: int, event: int) -> None:
        await kv.Range(etcdrpc.RangeRequest(key=f"{ROOT}/specification".encode()))
        key, value = f"{ROOT}/rule/{number}".encode(), rule_of(self._count, event)
        same = etcdrpc.Compare(key=key, result=etcdrpc.Compare.EQUAL, target=etcdrpc.Compare.VALUE, value=value)
        put = etcdrpc.RequestOp(request_put=etcdrpc.PutRequest(key=key, value=value))
        await kv.Txn(etcdrpc.TxnRequest(compare=[same], failure=[put]))
        self._done += 1
        if self._done == self._count:
            self._finished.set()
