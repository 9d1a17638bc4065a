"""The half of a call object whose requests stream: written one by one, or taken from an iterator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Iterable
from typing import Any

from grpc import aio

from protosocket.grpc.call import ClientCall
from protosocket.grpc.outcome import failure
from protosocket.grpc.requests import Requests
from protosocket.grpc.style import mixed

__all__ = ["StreamRequest"]

_logger = logging.getLogger(__name__)


class StreamRequest(ClientCall):
    """Sends through ``_requests``; a request iterator is read by a task of its own."""

    _requests: Requests
    _feeder: asyncio.Task[None] | None

    async def write(self, request: Any) -> None:
        """Send one request; waits while the server's window or the send queue is full.

        Raises ``asyncio.InvalidStateError`` if the call has ended or ``done_writing`` was called,
        ``grpc.aio.AioRpcError`` if the call fails meanwhile, and ``grpc.aio.UsageError`` if the call was
        given an iterator. Cancelling it cancels the call.
        """
        if self._feeder is not None:
            raise mixed()
        await self._write(request)

    async def done_writing(self) -> None:
        """Tell the server that no further request follows. May be repeated."""
        if self._feeder is not None:
            raise mixed()
        self._half_close()

    def cancel(self) -> bool:
        """End the call and tell the server to stop; false if it had ended."""
        cancelled = super().cancel()
        if cancelled and self._feeder is not None:
            self._feeder.cancel()
        return cancelled

    async def _write(self, request: Any) -> None:
        requests = self._requests
        if requests.is_over and self.done():
            raise asyncio.InvalidStateError("RPC already finished.")
        if requests.is_half_closed:
            raise asyncio.InvalidStateError('RPC is half closed after calling "done_writing".')
        try:
            payload = self._method.request(request)
        except aio.AioRpcError as error:
            self._give_up(failure(error.code(), error.details() or ""))
            raise
        try:
            sent = await requests.send(payload)
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
        self._feeder = None
        if requests is not None:
            self._feeder = asyncio.get_running_loop().create_task(self._feed(requests))

    async def _feed(self, requests: AsyncIterable[Any] | Iterable[Any]) -> None:
        """Send what the caller's iterator gives; if that fails, the call is cancelled."""
        try:
            if isinstance(requests, AsyncIterable):
                async for request in requests:
                    await self._write(request)
            else:
                for request in requests:
                    await self._write(request)
            self._half_close()
        except (aio.AioRpcError, asyncio.InvalidStateError):
            # The call has ended; whoever waits for it hears why.
            pass
        except asyncio.CancelledError:
            self.cancel()
        except Exception:
            _logger.debug("the iterator of requests of %s failed", self._method.path, exc_info=True)
            self.cancel()
