"""This project's RPC with msgspec structs, as MessagePack, and an ``async def`` handler.

As ``protosocket_async`` with ``rpc.MessagePackCodec``; the structs are ``array_like`` and untracked by the
garbage collector (``gc=False``), as msgspec's documents advise.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.client import CacheDriver
from benchmarks.struct_messages import Command, Response, answer, calls, read_set, verdicts
from protosocket import rpc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.store import Store
    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["driver", "serve"]

CODEC = rpc.MessagePackCodec(send=Command, receive=Response, id="id", control="control")


class Cache(rpc.Service):
    """A cache; ``store`` is shared by all connections."""

    store: Store = {}  # noqa: RUF012 - one for the process

    async def unary(self, request: Command) -> Response:
        """One get or set."""
        return answer(self.store, request)


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    async with rpc.serve("tcp://127.0.0.1:0", Cache, CODEC) as server:
        announce(server.addresses[0])
        await asyncio.Event().wait()


class MessagePackDriver(CacheDriver):
    """Calls through ``rpc.Client``."""

    stored = staticmethod(read_set)
    verdicts = staticmethod(verdicts)

    async def start(self) -> None:
        """Connect."""
        asyncio.get_running_loop().set_task_factory(rpc.task_factory)
        self._client = await rpc.connect(self.endpoint.urls[0], CODEC, connections=self.endpoint.connections)
        await self._client.ready()
        self.call = calls(self.operations, self._client.unary)

    def get(self, key: bytes) -> Awaitable[Response]:
        """One call."""
        return self._client.unary(Command(key=key))

    def set(self, key: bytes, value: bytes) -> Awaitable[Response]:
        """One call."""
        return self._client.unary(Command(key=key, value=value))

    async def close(self) -> None:
        """Close the client."""
        await self._client.close()


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return MessagePackDriver(endpoint, operations)
