"""The half of a call object whose answer is one message: it can be awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from typing import Any

from protosocket.grpc.client.call import ClientCall
from protosocket.grpc.wire.envelope import Envelope
from protosocket.grpc.wire.status import CANCELLED_HERE, metadata_of, rpc_error

__all__ = ["UnaryResponse"]


class UnaryResponse(ClientCall):
    """The native half completes ``_future`` with the answer: an envelope, or just its payload.

    The future of a call that was cancelled here is cancelled.
    """

    _future: asyncio.Future[Any]

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for the answer.

        Raises ``grpc.aio.AioRpcError`` for another status than OK, and ``asyncio.CancelledError`` if the call
        was cancelled here. Cancelling the task that waits cancels the call.
        """
        try:
            end = yield from self._future
        except asyncio.CancelledError:
            self._give_up(CANCELLED_HERE)
            raise
        except RuntimeError:
            # asyncio's, who does not let a task wait for what belongs to another event loop.
            self._method.channel.require_loop()
            raise
        if type(end) is bytes:
            # A light answer: OK, and nothing but the response.
            return self._method.response(end)
        if end.status is None or not end.status.code:
            return self._method.response(end.payload)
        if self._error is not None:
            raise self._error.error
        initial = end.metadata
        if self._connection is not None and not initial:
            initial = (yield from self._connection.said_before(self._future).__await__()) or initial
        raise rpc_error(end, metadata_of(initial))

    def done(self) -> bool:
        """Whether the call has ended."""
        return self._future.done()

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        """Call ``callback`` with this object once the call has ended; at once if it has."""
        if self._future.done():
            callback(self)
        else:
            self._future.add_done_callback(lambda _: callback(self))

    def _end(self) -> Any:
        if not self._future.done():
            return None
        if self._future.cancelled():
            return CANCELLED_HERE
        end = self._future.result()
        return Envelope(payload=end) if type(end) is bytes else end

    async def _until_end(self) -> Any:
        if not self._future.done():
            self._method.channel.require_loop()
            # A waiter who is cancelled does not cancel the call.
            await asyncio.wait((self._future,))
        return self._end()

    async def _said_before(self) -> list[Any]:
        if self._starter is not None and not self._future.done():
            self._method.channel.require_loop()
            await asyncio.wait((self._starter, self._future), return_when=asyncio.FIRST_COMPLETED)
        ahead = None if self._connection is None else await self._connection.said_before(self._future)
        return (await self._until_end()).metadata if ahead is None else ahead

    def finish(self, end: Any) -> None:
        """End the call here."""
        if self._future.done():
            return
        if end is CANCELLED_HERE:
            self._future.cancel()
        else:
            self._future.set_result(end)
