"""pycapnp: Cap'n Proto's own RPC, in C++ under asyncio.

uvloop on both sides, one two-party connection, any number of calls in flight on it; the quick way to fill a
request (keyword arguments) and to answer one (``_context.results``). On uvloop its server often crashes when
it accepts its first connection (a segmentation fault, one start in three; never on asyncio's own loop, which
is a tenth slower at 64 in flight); then it is started again.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import capnp

from benchmarks.client import CacheDriver, host_and_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.store import Store
    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["driver", "serve"]

SCHEMA: Any = capnp.load(str(Path(__file__).parent / "cache.capnp"))
STORE: Store = {}


class Cache(SCHEMA.Cache.Server):  # type: ignore[misc]
    """A cache."""

    async def get(self, key: bytes, _context: Any, **_: Any) -> None:
        """One get."""
        value = STORE.get(key)
        if value is not None:
            _context.results.found = True
            _context.results.value = value

    async def set(self, key: bytes, value: bytes, **_: Any) -> None:
        """One set."""
        STORE[key] = value


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""

    async def connected(stream: Any) -> None:
        await capnp.TwoPartyServer(stream, bootstrap=Cache()).on_disconnect()

    async with capnp.kj_loop():
        server = await capnp.AsyncIoStream.create_server(connected, "127.0.0.1", 0)
        announce(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await asyncio.Event().wait()


class CapnpDriver(CacheDriver):
    """Calls on one connection."""

    async def start(self) -> None:
        """Connect with a first call."""
        host, port = host_and_port(self.endpoint.urls[0])
        self._kj: Any = capnp.kj_loop()
        await self._kj.__aenter__()
        stream = await capnp.AsyncIoStream.create_connection(host, port)
        self._client: Any = capnp.TwoPartyClient(stream)
        self._cache: Any = self._client.bootstrap().cast_as(SCHEMA.Cache)
        await self.get(b"")

    def get(self, key: bytes) -> Awaitable[Any]:
        """One call."""
        promise: Awaitable[Any] = self._cache.get(key=key)
        return promise

    def set(self, key: bytes, value: bytes) -> Awaitable[Any]:
        """One call."""
        promise: Awaitable[Any] = self._cache.set(key=key, value=value)
        return promise

    @staticmethod
    def found(answer: Any) -> bytes | None:
        """What a get found."""
        return answer.value if answer.found else None

    @staticmethod
    def stored(answer: Any) -> None:
        """Every answer to a set is right: it has no fields."""

    async def close(self) -> None:
        """Disconnect."""
        self._client.close()
        await self._kj.__aexit__(None, None, None)


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return CapnpDriver(endpoint, operations)
