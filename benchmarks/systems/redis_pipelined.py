"""redis-py's asyncio client on a redis-server, with one pipelined connection.

As ``redis_pool``, but all calls made while a batch is under way leave together as the next batch, through
``pipeline(transaction=False)``: Redis' documented way to have many commands in flight on one connection.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from redis.asyncio import Redis

from benchmarks.client import CacheDriver, WrongAnswer
from benchmarks.systems.redis_pool import serve

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["driver", "serve"]


class PipelinedDriver(CacheDriver):
    """Calls in batches."""

    async def start(self) -> None:
        """Connect with a first call."""
        self._redis = Redis.from_url(self.endpoint.urls[0], max_connections=1)
        await self._redis.ping()
        self._loop = asyncio.get_running_loop()
        self._queue: list[tuple[bytes, bytes | None, asyncio.Future[Any]]] = []
        self._wake = asyncio.Event()
        self._batches = asyncio.create_task(self._run())

    def _call(self, key: bytes, value: bytes | None) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        self._queue.append((key, value, future))
        self._wake.set()
        return future

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                batch, self._queue = self._queue, []
                await self._send(batch)

    async def _send(self, batch: list[tuple[bytes, bytes | None, asyncio.Future[Any]]]) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for key, value, _ in batch:
            if value is None:
                pipeline.get(key)
            else:
                pipeline.set(key, value)
        try:
            answers = await pipeline.execute(raise_on_error=False)
        except Exception as error:
            answers = [error] * len(batch)
        for (_, _, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    def get(self, key: bytes) -> Awaitable[Any]:
        """One command of a batch."""
        return self._call(key, None)

    def set(self, key: bytes, value: bytes) -> Awaitable[Any]:
        """One command of a batch."""
        return self._call(key, value)

    @staticmethod
    def stored(answer: Any) -> None:
        """Whether it was stored."""
        if not answer:
            raise WrongAnswer("a set was refused")

    async def close(self) -> None:
        """Close the connection."""
        self._batches.cancel()
        with suppress(asyncio.CancelledError):
            await self._batches
        await self._redis.aclose()


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return PipelinedDriver(endpoint, operations)
