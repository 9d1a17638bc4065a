"""This project's RPC with protobuf messages and an ``async def`` handler.

Defaults throughout: one connection, uvloop, aiofastnet's transport, upb messages of the generated classes;
the client's tasks are those of ``rpc.task_factory``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.client import CacheDriver, in_turns
from benchmarks.protobuf_messages import answer, calls, get_command, read_set, set_command, verdicts
from protosocket import rpc
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.store import Store
    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["CODEC", "ProtobufDriver", "driver", "serve"]

CODEC = rpc.ProtobufCodec(send=CacheCommand, receive=CacheResponse, id="message_id", control="control_code")
# A client makes all its connections at once, and a listener's backlog is not endless.
CONNECTIONS_A_CLIENT = 1000


class Cache(rpc.Service):
    """A cache; ``store`` is shared by all connections."""

    store: Store = {}  # noqa: RUF012 - one for the process

    async def unary(self, request: CacheCommand) -> CacheResponse:
        """One get or set."""
        return answer(self.store, request)


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    async with rpc.serve("tcp://127.0.0.1:0", Cache, CODEC) as server:
        announce(server.addresses[0])
        await asyncio.Event().wait()


class ProtobufDriver(CacheDriver):
    """Calls through ``rpc.Client``."""

    stored = staticmethod(read_set)
    verdicts = staticmethod(verdicts)

    async def start(self) -> None:
        """Make every connection."""
        asyncio.get_running_loop().set_task_factory(rpc.task_factory)
        url, left = self.endpoint.urls[0], self.endpoint.connections
        self._clients: list[rpc.Client[CacheCommand, CacheResponse]] = []
        while left > 0:
            client = await rpc.connect(url, CODEC, connections=min(left, CONNECTIONS_A_CLIENT))
            self._clients.append(client)
            await client.ready()
            left -= CONNECTIONS_A_CLIENT
        self._unary = in_turns([client.unary for client in self._clients])
        self.call = calls(self.operations, self._unary, self._unary)

    def get(self, key: bytes) -> Awaitable[CacheResponse]:
        """One call."""
        return self._unary(get_command(key))

    def set(self, key: bytes, value: bytes) -> Awaitable[CacheResponse]:
        """One call."""
        return self._unary(set_command(key, value))

    async def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            await client.close()


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return ProtobufDriver(endpoint, operations)
