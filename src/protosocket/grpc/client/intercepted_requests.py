"""The half of an intercepted call whose requests stream: what is written feeds the interceptors' iterator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

from grpc import aio

from protosocket.grpc.client.intercepted_call import InterceptedCall
from protosocket.grpc.client.style import mixed

__all__ = ["InterceptedStreamRequest"]

_END: Final = object()


class InterceptedStreamRequest(InterceptedCall):
    """Interceptors are given an iterator of requests, always; ``write`` feeds it if the caller gave none."""

    _written: asyncio.Queue[Any] | None
    _is_half_closed: bool

    def _iterator_of(self, requests: Any) -> Any:
        self._is_half_closed = False
        if requests is not None:
            self._written = None
            return requests
        self._written = asyncio.Queue(maxsize=1)
        return _taken(self._written)

    async def write(self, request: Any) -> None:
        """Hand one request to the interceptors' iterator; waits until the one before it was taken.

        Raises ``asyncio.InvalidStateError`` if the call has ended or ``done_writing`` was called, and
        ``grpc.aio.UsageError`` if the call was given an iterator.
        """
        if self._written is None:
            raise mixed()
        call = await self._until_called()
        if call is None or call.done():
            raise asyncio.InvalidStateError("RPC already finished.")
        if self._is_half_closed:
            raise asyncio.InvalidStateError('RPC is half closed after calling "done_writing".')
        if not await self._put(self._written, request, call):
            raise asyncio.InvalidStateError("RPC already finished.")

    async def done_writing(self) -> None:
        """End the interceptors' iterator. May be repeated."""
        if self._written is None:
            raise mixed()
        if self._is_half_closed:
            return
        call = await self._until_called()
        if call is None:
            raise asyncio.InvalidStateError("RPC already finished.")
        self._is_half_closed = True
        await self._put(self._written, _END, call)

    async def _until_called(self) -> Any:
        try:
            return await asyncio.shield(self._task)
        except aio.AioRpcError:
            return None
        except asyncio.CancelledError:
            if self._task.cancelled():
                return None
            raise

    async def _put(self, written: asyncio.Queue[Any], item: Any, call: Any) -> bool:
        """Put ``item`` where the iterator finds it; false if the call ended before there was room."""
        if not written.full():
            written.put_nowait(item)
            return True
        loop = asyncio.get_running_loop()
        put, ended = loop.create_task(written.put(item)), loop.create_task(call.code())
        try:
            await asyncio.wait((put, ended), return_when=asyncio.FIRST_COMPLETED)
            return put.done()
        finally:
            put.cancel()
            ended.cancel()


async def _taken(written: asyncio.Queue[Any]) -> AsyncGenerator[Any, None]:
    while (request := await written.get()) is not _END:
        yield request
