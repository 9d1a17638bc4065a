"""redis-py's asyncio client on a redis-server, with a pool of connections.

redis-server without snapshots or append-only file; the client on uvloop with the hiredis parser and bytes
undecoded. A connection carries one call at a time, so the pool grows to the calls in flight. The server is C.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from redis.asyncio import ConnectionPool, Redis

from benchmarks.client import CacheDriver, WrongAnswer
from benchmarks.program import free_port, run_program

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["driver", "serve"]

MOST_CONNECTIONS = 1024


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    port = free_port()
    arguments = [
        *("redis-server", "--bind", "127.0.0.1", "--port", str(port)),
        *("--save", "", "--appendonly", "no", "--loglevel", "warning"),
    ]
    await run_program(arguments, port, announce, f"redis://127.0.0.1:{port}")


class RedisDriver(CacheDriver):
    """Calls through a pool."""

    async def start(self) -> None:
        """Connect with a first call."""
        pool = ConnectionPool.from_url(self.endpoint.urls[0], max_connections=MOST_CONNECTIONS)
        self._redis = Redis.from_pool(pool)
        await self._redis.ping()

    def get(self, key: bytes) -> Awaitable[Any]:
        """One call."""
        return cast("Awaitable[Any]", self._redis.get(key))

    def set(self, key: bytes, value: bytes) -> Awaitable[Any]:
        """One call."""
        return cast("Awaitable[Any]", self._redis.set(key, value))

    @staticmethod
    def stored(answer: Any) -> None:
        """Whether it was stored."""
        if not answer:
            raise WrongAnswer("a set was refused")

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return RedisDriver(endpoint, operations)
