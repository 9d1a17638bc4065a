"""This project's RPC with its native protobuf messages and an ``async def`` handler.

As ``protosocket_async`` with ``rpc.NativeCodec``: the same bytes on the wire, light objects instead of upb's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from benchmarks.client import CacheDriver, WrongAnswer, gets_among, in_turns
from protosocket import rpc
from protosocket.cache import protosocket_cache_pb2
from protosocket.codecs import NativeMessages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.store import Store
    from protosocket.bench.driver import Driver, Endpoint, Verdict
    from protosocket.bench.operations import Operations
    from protosocket.options import ConnectionOptions

__all__ = ["CODEC", "Cache", "NativeDriver", "driver", "serve"]

MESSAGES: Any = NativeMessages(protosocket_cache_pb2)
CacheCommand, Unary = MESSAGES.CacheCommand, MESSAGES.Unary
GetCommand, SetCommand = MESSAGES.GetCommand, MESSAGES.SetCommand
CacheResponse, GetResponse, SetResponse = MESSAGES.CacheResponse, MESSAGES.GetResponse, MESSAGES.SetResponse
CODEC: Any = rpc.NativeCodec(
    send=CacheCommand, receive=CacheResponse, id="message_id", control="control_code"
)
MISS = MESSAGES.CommandError(code=protosocket_cache_pb2.NOT_FOUND, message="Key not found")
# A client makes all its connections at once, and a listener's backlog is not endless.
CONNECTIONS_A_CLIENT = 1000


class Cache(rpc.Service):
    """A cache; ``store`` is shared by all connections."""

    store: Store = {}  # noqa: RUF012 - one for the process

    async def unary(self, request: Any) -> Any:
        """One get or set."""
        get = request.unary.get
        if get is not None:
            value = self.store.get(get.key)
            return CacheResponse(error=MISS) if value is None else CacheResponse(get=GetResponse(value=value))
        put = request.unary.set
        self.store[put.key] = put.value
        return CacheResponse(set=SetResponse())


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    async with rpc.serve("tcp://127.0.0.1:0", Cache, CODEC) as server:
        announce(server.addresses[0])
        await asyncio.Event().wait()


class NativeDriver(CacheDriver):
    """Calls through ``rpc.Client``."""

    options: ConnectionOptions | None = None

    async def start(self) -> None:
        """Make every connection."""
        asyncio.get_running_loop().set_task_factory(rpc.task_factory)
        url, left = self.endpoint.urls[0], self.endpoint.connections
        self._clients: list[rpc.Client[Any, Any]] = []
        while left > 0:
            client = await rpc.connect(
                url, CODEC, connections=min(left, CONNECTIONS_A_CLIENT), options=self.options
            )
            self._clients.append(client)
            await client.ready()
            left -= CONNECTIONS_A_CLIENT
        self._unary = in_turns([client.unary for client in self._clients])
        self.call = _calls(self.operations, self._unary)

    def get(self, key: bytes) -> Awaitable[Any]:
        """One call."""
        return self._unary(CacheCommand(unary=Unary(get=GetCommand(key=key))))

    def set(self, key: bytes, value: bytes) -> Awaitable[Any]:
        """One call."""
        return self._unary(CacheCommand(unary=Unary(set=SetCommand(key=key, value=value))))

    @staticmethod
    def stored(answer: Any) -> None:
        """Whether it answers a set."""
        if answer.set is None:
            raise WrongAnswer("a set was answered with something else")

    @classmethod
    def verdicts(cls, operations: Operations) -> Callable[[int, Any], Verdict]:
        """What judges answers."""
        gets, lengths, stored = gets_among(operations), operations.lengths, cls.stored

        def verify(index: int, answer: Any) -> Verdict:
            if not gets[index]:
                stored(answer)
                return None
            found = answer.get
            if found is not None:
                return None if len(found.value) == lengths[index] else "wrong length"
            if answer.error is not None and answer.error.code == protosocket_cache_pb2.NOT_FOUND:
                return "miss"
            raise WrongAnswer("a get was answered with something else")

        return verify

    async def close(self) -> None:
        """Close the clients."""
        for client in self._clients:
            await client.close()


def _calls(operations: Operations, unary: Callable[[Any], Awaitable[Any]]) -> Callable[[int], Awaitable[Any]]:
    gets, keys, values = gets_among(operations), operations.keys, operations.values
    # Found quicker here than in the module.
    command, unary_command, get, put = CacheCommand, Unary, GetCommand, SetCommand

    def call(index: int) -> Awaitable[Any]:
        if gets[index]:
            return unary(command(unary=unary_command(get=get(key=keys[index]))))
        return unary(command(unary=unary_command(set=put(key=keys[index], value=values[index]))))

    return call


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return NativeDriver(endpoint, operations)
