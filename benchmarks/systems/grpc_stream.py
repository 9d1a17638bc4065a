"""grpc.aio with every operation on one long bidirectional stream, matched by message ids.

As ``grpc_unary``; reads and writes by ``read`` and ``write``, which cost less than async generators. The
server answers each message as it is read; one task of the client writes, as gRPC takes one write at a time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import grpc
from grpc import aio

from benchmarks.client import CacheDriver, in_turns
from benchmarks.protobuf_messages import answer, calls, get_command, read_set, set_command, verdicts
from benchmarks.systems.grpc_unary import make_server, open_channel, serve_methods
from protosocket.cache.cache_service_pb2_grpc import CacheStub
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.store import Store
    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["driver", "serve"]


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    store: Store = {}

    async def handle(_: Any, context: Any) -> None:
        read, write = context.read, context.write
        # The client knows the stream is up when it has these.
        await context.send_initial_metadata(())
        while (command := await read()) is not aio.EOF:
            response = answer(store, command)
            response.message_id = command.message_id
            await write(response)

    handler = grpc.stream_stream_rpc_method_handler(
        handle, CacheCommand.FromString, CacheResponse.SerializeToString
    )
    await serve_methods({"Stream": handler}, announce, make_server())


class Stream:
    """One connection with one stream on it."""

    def __init__(self, url: str) -> None:
        self._channel = open_channel(url)
        self._waiting: dict[int, asyncio.Future[CacheResponse]] = {}
        self._queue: asyncio.Queue[CacheCommand] = asyncio.Queue()
        self._last_id = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Wait until the server has begun to read."""
        stub: Any = CacheStub(self._channel)
        self._loop = asyncio.get_running_loop()
        await self._channel.channel_ready()
        call = stub.Stream(wait_for_ready=True)
        await call.wait_for_connection()
        self._tasks = [asyncio.create_task(self._read(call)), asyncio.create_task(self._write(call))]

    def call(self, command: CacheCommand) -> asyncio.Future[CacheResponse]:
        """The answer to ``command``."""
        if self._tasks[0].done():
            raise ConnectionResetError("the stream has ended")
        self._last_id += 1
        command.message_id = self._last_id
        future: asyncio.Future[CacheResponse] = self._loop.create_future()
        self._waiting[self._last_id] = future
        self._queue.put_nowait(command)
        return future

    async def close(self) -> None:
        """End the stream; calls under way fail."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._channel.close()

    async def _write(self, call: Any) -> None:
        while True:
            await call.write(await self._queue.get())

    async def _read(self, call: Any) -> None:
        waiting = self._waiting
        try:
            while (response := await call.read()) is not aio.EOF:
                future = waiting.pop(response.message_id)
                if not future.done():
                    future.set_result(response)
        finally:
            call.cancel()
            for future in waiting.values():
                with suppress(asyncio.InvalidStateError):
                    future.set_exception(ConnectionResetError("the stream has ended"))


class StreamDriver(CacheDriver):
    """Calls over streams, one after the other."""

    stored = staticmethod(read_set)
    verdicts = staticmethod(verdicts)

    async def start(self) -> None:
        """Open every stream."""
        self._streams = [Stream(self.endpoint.urls[0]) for _ in range(self.endpoint.connections)]
        for first in range(0, len(self._streams), 100):
            await asyncio.gather(*(stream.open() for stream in self._streams[first : first + 100]))
        self._call = in_turns([stream.call for stream in self._streams])
        self.call = calls(self.operations, self._call, self._call)

    def get(self, key: bytes) -> Awaitable[CacheResponse]:
        """One call."""
        return self._call(get_command(key))

    def set(self, key: bytes, value: bytes) -> Awaitable[CacheResponse]:
        """One call."""
        return self._call(set_command(key, value))

    async def close(self) -> None:
        """Close the streams."""
        for stream in self._streams:
            await stream.close()


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return StreamDriver(endpoint, operations)
