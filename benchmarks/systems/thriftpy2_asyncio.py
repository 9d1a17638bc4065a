"""thriftpy2 on asyncio: the binary protocol over the buffered transport.

uvloop on both sides. A Thrift client carries one call at a time, so there is a connection for each call in
flight, kept for good; no timeouts, which would add a timer to each read.
"""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import thriftpy2
from thriftpy2.contrib.aio.processor import TAsyncProcessor
from thriftpy2.contrib.aio.rpc import make_client
from thriftpy2.contrib.aio.server import TAsyncServer
from thriftpy2.contrib.aio.socket import TAsyncServerSocket

from benchmarks.client import CacheDriver, host_and_port
from benchmarks.pool import Pool
from benchmarks.program import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.store import Store
    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["driver", "serve"]

INTERFACE = """
struct Found { 1: optional binary value }
service Cache {
    Found fetch(1: binary key),
    void store(1: binary key, 2: binary value)
}
"""
INTERFACES: Any = thriftpy2.load_fp(io.StringIO(INTERFACE), "benchmark_thrift")


class Cache:
    """A cache."""

    def __init__(self) -> None:
        self._store: Store = {}

    async def fetch(self, key: bytes) -> Any:
        """One get."""
        return INTERFACES.Found(value=self._store.get(key))

    async def store(self, key: bytes, value: bytes) -> None:
        """One set."""
        self._store[key] = value


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    port = free_port()
    make_processor: Any = TAsyncProcessor
    processor = make_processor(INTERFACES.Cache, Cache())
    # make_server's own way to serve runs the loop itself; these are its parts.
    listener: Any = TAsyncServerSocket(host="127.0.0.1", port=port, client_timeout=None)
    server = TAsyncServer(processor, listener)
    listener.listen()
    await listener.accept(server.handle)
    announce(f"tcp://127.0.0.1:{port}")
    await asyncio.Event().wait()


class ThriftDriver(CacheDriver):
    """Calls through a pool of clients."""

    async def start(self) -> None:
        """Make the first connection."""
        host, port = host_and_port(self.endpoint.urls[0])
        self._pool: Pool[Any] = Pool(lambda: make_client(INTERFACES.Cache, host, port, timeout=None))
        self._pool.give(await self._pool.take())

    async def get(self, key: bytes) -> bytes | None:
        """One call."""
        client = await self._pool.take()
        found = await client.fetch(key)
        self._pool.give(client)
        value: bytes | None = found.value
        return value

    async def set(self, key: bytes, value: bytes) -> None:
        """One call."""
        client = await self._pool.take()
        await client.store(key, value)
        self._pool.give(client)

    async def close(self) -> None:
        """Close the connections."""
        for client in self._pool.all:
            client.close()


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return ThriftDriver(endpoint, operations)
