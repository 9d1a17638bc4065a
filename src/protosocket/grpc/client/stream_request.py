"""The half of a call object whose requests stream: written one by one, or taken from an iterator."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from typing import Any

from grpc import aio

from protosocket.grpc.client.call import ClientCall
from protosocket.grpc.client.feeding import Feeder
from protosocket.grpc.client.requests import Requests
from protosocket.grpc.client.style import mixed
from protosocket.grpc.wire.status import failure

__all__ = ["StreamRequest"]


class StreamRequest(ClientCall):
    """Sends through ``_requests``; a request iterator is read by a task of its own."""

    _requests: Requests
    _is_fed = False
    """Requests are taken from an iterator."""

    async def write(self, request: Any) -> None:
        """Send one request; waits while the server's window or the send queue is full.

        Raises ``asyncio.InvalidStateError`` if the call has ended or ``done_writing`` was called,
        ``grpc.aio.AioRpcError`` if the call fails meanwhile, and ``grpc.aio.UsageError`` if the call was
        given an iterator. Cancelling it cancels the call.
        """
        if self._is_fed:
            raise mixed()
        if self._requests.is_half_closed and not self.done():
            raise asyncio.InvalidStateError('RPC is half closed after calling "done_writing".')
        payload = self._encoded(request)
        if not self._requests.try_send(payload):
            await self._send(payload)

    async def done_writing(self) -> None:
        """Tell the server that no further request follows. May be repeated."""
        if self._is_fed:
            raise mixed()
        self._method.channel.require_loop()
        self._half_close()

    def _encoded(self, request: Any) -> bytes:
        if self._requests.is_over and self.done():
            raise asyncio.InvalidStateError("RPC already finished.")
        try:
            return self._method.request(request)
        except aio.AioRpcError as error:
            self._give_up(failure(error.code(), error.details() or ""))
            raise

    async def _send(self, payload: bytes) -> None:
        """Send what could not be sent at once."""
        self._method.channel.require_loop()
        try:
            sent = await self._requests.send(payload)
        except asyncio.CancelledError:
            self.cancel()
            raise
        if not sent:
            await self._until_end()
            await self._raise_for_status()
            raise asyncio.InvalidStateError("RPC already finished.")

    def _half_close(self) -> None:
        if not self.done():
            self._requests.half_close()

    def feed_from(self, requests: AsyncIterable[Any] | Iterable[Any] | None) -> None:
        """Take the requests from an iterator, if there is one."""
        self._is_fed = requests is not None
        if requests is not None:
            Feeder(self, self._method, self._requests, requests)

    def stop_feeding(self, end: Any) -> None:
        """The iterator failed: the call ends with ``end``, or as if its caller had cancelled it."""
        if end is None:
            self.cancel()
        else:
            self._give_up(end)
