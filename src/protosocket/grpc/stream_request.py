"""The half of a call object whose requests stream: written one by one, or taken from an iterator."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from typing import Any, Final

from grpc import aio

from protosocket.grpc.call import ClientCall
from protosocket.grpc.outcome import failure
from protosocket.grpc.requests import Requests
from protosocket.grpc.style import mixed

__all__ = ["StreamRequest"]

_ITEMS_A_TURN: Final = 128
"""Requests that are sent before other tasks get their turn."""

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
        if self._requests.is_half_closed and not self.done():
            raise asyncio.InvalidStateError('RPC is half closed after calling "done_writing".')
        payload = self._encoded(request)
        if not self._requests.try_send(payload):
            await self._send(payload)

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
        self._feeder = None
        if requests is not None:
            self._feeder = asyncio.get_running_loop().create_task(self._feed(requests))

    async def _feed(self, requests: AsyncIterable[Any] | Iterable[Any]) -> None:
        """Send what the caller's iterator gives; if that fails, the call is cancelled."""
        count = 0
        try:
            async for request in requests if isinstance(requests, AsyncIterable) else _each(requests):
                payload = self._encoded(request)
                if not self._requests.try_send(payload):
                    await self._send(payload)
                count += 1
                if count % _ITEMS_A_TURN == 0:
                    # What never waits must not keep the event loop for itself.
                    await asyncio.sleep(0)
            self._half_close()
        except (aio.AioRpcError, asyncio.InvalidStateError):
            # The call has ended; whoever waits for it hears why.
            pass
        except asyncio.CancelledError:
            self.cancel()
        except Exception:
            _logger.debug("the iterator of requests of %s failed", self._method.path, exc_info=True)
            self.cancel()


async def _each(items: Iterable[Any]) -> AsyncGenerator[Any, None]:
    for item in items:
        yield item
