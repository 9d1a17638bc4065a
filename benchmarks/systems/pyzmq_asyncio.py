"""pyzmq's asyncio sockets, DEALER to ROUTER, with msgspec MessagePack.

uvloop on both sides; calls are matched by ids, so any number is in flight on one connection; no high-water
mark. Each receive is awaited, as pyzmq's documents show.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
import zmq
import zmq.asyncio

from benchmarks.client import CacheDriver
from benchmarks.struct_messages import Command, Response, answer, calls, read_set, verdicts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.store import Store
    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["driver", "serve"]

ENCODE = msgspec.msgpack.Encoder().encode


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    store: Store = {}
    decode = msgspec.msgpack.Decoder(Command).decode
    context = zmq.asyncio.Context()
    router = context.socket(zmq.ROUTER)
    router.set_hwm(0)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    announce(f"tcp://127.0.0.1:{port}")
    try:
        while True:
            sender, message = await router.recv_multipart()
            await router.send_multipart((sender, ENCODE(answer(store, decode(message)))))
    finally:
        context.destroy(linger=0)


class ZeroDriver(CacheDriver):
    """Calls over one DEALER socket."""

    stored = staticmethod(read_set)
    verdicts = staticmethod(verdicts)

    async def start(self) -> None:
        """Connect with a first call."""
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set_hwm(0)
        self._socket.connect(self.endpoint.urls[0])
        self._waiting: dict[int, asyncio.Future[Response]] = {}
        self._last_id = 0
        self._loop = asyncio.get_running_loop()
        self._reading = asyncio.create_task(self._read())
        await self.get(b"")
        self.call = calls(self.operations, self._call)

    async def _call(self, command: Command) -> Response:
        self._last_id += 1
        command.id = self._last_id
        future: asyncio.Future[Response] = self._loop.create_future()
        self._waiting[command.id] = future
        await self._socket.send(ENCODE(command))
        return await future

    async def _read(self) -> None:
        decode = msgspec.msgpack.Decoder(Response).decode
        receive, waiting = self._socket.recv, self._waiting
        while True:
            response = decode(await receive())
            future = waiting.pop(response.id)
            if not future.done():
                future.set_result(response)

    def get(self, key: bytes) -> Awaitable[Response]:
        """One call."""
        return self._call(Command(key=key))

    def set(self, key: bytes, value: bytes) -> Awaitable[Response]:
        """One call."""
        return self._call(Command(key=key, value=value))

    async def close(self) -> None:
        """Close the socket."""
        self._reading.cancel()
        with suppress(asyncio.CancelledError):
            await self._reading
        self._context.destroy(linger=0)


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return ZeroDriver(endpoint, operations)
