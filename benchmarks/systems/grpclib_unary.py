"""grpclib, gRPC in pure Python on asyncio, with one unary call per operation.

uvloop on both sides, one channel kept for good, google's upb messages (grpclib leaves the choice of messages
to its user), windows of 4 MiB, which are its defaults.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler
from grpclib.server import Server

from benchmarks.client import CacheDriver, host_and_port
from benchmarks.program import free_port
from benchmarks.protobuf_messages import answer, calls, get_command, read_set, set_command, verdicts
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from grpclib.server import Stream

    from benchmarks.store import Store
    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["driver", "serve"]

GET = "/protosocket.cache.Cache/Get"
SET = "/protosocket.cache.Cache/Set"


class Cache:
    """A cache."""

    def __init__(self) -> None:
        self._store: Store = {}

    async def handle(self, stream: Stream[CacheCommand, CacheResponse]) -> None:
        """One call."""
        command = await stream.recv_message()
        assert command is not None
        await stream.send_message(answer(self._store, command))

    def __mapping__(self) -> dict[str, Handler]:
        """What grpclib's generated code would say."""
        handler = Handler(self.handle, Cardinality.UNARY_UNARY, CacheCommand, CacheResponse)
        return {GET: handler, SET: handler}


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    server = Server([Cache()])
    port = free_port()
    await server.start("127.0.0.1", port)
    announce(f"tcp://127.0.0.1:{port}")
    await asyncio.Event().wait()


class GrpclibDriver(CacheDriver):
    """Calls on one channel."""

    stored = staticmethod(read_set)
    verdicts = staticmethod(verdicts)

    async def start(self) -> None:
        """Connect with a first call."""
        host, port = host_and_port(self.endpoint.urls[0])
        self._channel = Channel(host, port)
        self._get = UnaryUnaryMethod(self._channel, GET, CacheCommand, CacheResponse)
        self._set = UnaryUnaryMethod(self._channel, SET, CacheCommand, CacheResponse)
        await self.get(b"")
        self.call = calls(self.operations, self._get, self._set)

    def get(self, key: bytes) -> Awaitable[CacheResponse]:
        """One call."""
        return self._get(get_command(key))

    def set(self, key: bytes, value: bytes) -> Awaitable[CacheResponse]:
        """One call."""
        return self._set(set_command(key, value))

    async def close(self) -> None:
        """Close the channel."""
        self._channel.close()


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return GrpclibDriver(endpoint, operations)
