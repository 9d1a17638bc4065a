"""What many tests use: handlers, a record of what became of one, the error a call ends with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

Context = Any
"""A ``grpc.aio.ServicerContext``; the stubs of that know less than it can do."""


async def exclaim(request: bytes, context: Context) -> bytes:
    return request + b"!"


async def count_up(request: bytes, context: Context) -> AsyncIterator[bytes]:
    for number in range(int(request)):
        yield str(number).encode()


async def join_all(requests: AsyncIterator[bytes], context: Context) -> bytes:
    return b"+".join([request async for request in requests])


async def echo_all(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
    async for request in requests:
        yield request


async def drain(request: bytes | AsyncIterator[bytes]) -> None:
    """Read every request, so that an error does not overtake them: grpc.aio may then report its own."""
    if not isinstance(request, bytes):
        async for _ in request:
            pass


async def failure(call: Any) -> grpc.aio.AioRpcError:
    """The error a call ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


class Endless:
    """Handlers of all kinds that start and then wait until they are cancelled."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def _wait(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    async def unary(self, request: Any, context: Context) -> bytes:
        await self._wait()
        return b""

    async def stream(self, request: Any, context: Context) -> AsyncIterator[bytes]:
        yield b"first"
        await self._wait()

    def all(self) -> dict[str, Any]:
        return {
            "unary_unary": self.unary,
            "unary_stream": self.stream,
            "stream_unary": self.unary,
            "stream_stream": self.stream,
        }
