"""Servicers that are not async: their methods run in the server's thread pool, as in ``grpc.aio``."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Executor
from typing import Any, Final, Protocol

from protosocket.grpc.server.requests import ServerRequests

__all__ = ["PooledRequests", "call_in_pool", "iterate_in_pool"]

_LAST: Final = object()


class _Connection(Protocol):
    loop: asyncio.AbstractEventLoop
    pool: Executor | None


async def call_in_pool(connection: _Connection, function: Callable[..., Any], *arguments: Any) -> Any:
    """What ``function`` gives. A thread is not stopped when this is cancelled."""
    return await connection.loop.run_in_executor(connection.pool, function, *arguments)


async def iterate_in_pool(connection: _Connection, items: Iterator[Any]) -> AsyncGenerator[Any, None]:
    """What ``items`` gives, each item made in the pool; a generator is closed at the end."""
    try:
        while (item := await call_in_pool(connection, next, items, _LAST)) is not _LAST:
            yield item
    finally:
        # Its thread may be in the middle of it, or the pool shut down; nobody needs to wait for this.
        with contextlib.suppress(RuntimeError):
            connection.loop.run_in_executor(connection.pool, _close, items)


def _close(items: Any) -> None:
    with contextlib.suppress(AttributeError, ValueError):
        items.close()


class PooledRequests:
    """The requests of a call, to be iterated over in a thread of the pool."""

    __slots__ = ("_deserialize", "_loop", "_requests")

    def __init__(
        self,
        requests: ServerRequests,
        deserialize: Callable[[bytes], Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._requests = requests
        self._deserialize = deserialize
        self._loop = loop

    def __iter__(self) -> PooledRequests:
        return self

    def __next__(self) -> Any:
        payload = asyncio.run_coroutine_threadsafe(self._requests.read(), self._loop).result()
        if payload is None:
            raise StopIteration
        return self._deserialize(payload)
