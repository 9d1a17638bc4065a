"""The client's end of one connection: calls in flight, their answers, their end."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Self

from protosocket._core import ClientConnection, WireCodec
from protosocket.connection import ConnectionProtocol, native_limits
from protosocket.errors import CancelledRemotely, DeadlineExceeded, InvalidMessage
from protosocket.options import ConnectionOptions

__all__ = ["Channel", "Responses"]


class Channel(ClientConnection, ConnectionProtocol):
    """One connection of a client."""

    def __new__(cls, wire: WireCodec, options: ConnectionOptions) -> Self:
        """Make the native half."""
        return super().__new__(cls, wire, *native_limits(options))

    def __init__(self, wire: WireCodec, options: ConnectionOptions) -> None:
        self._setup(options)
        self._full = 0
        self._told = 0

    def _room(self) -> None:
        self._told += 1
        super()._room()

    def _ended(self) -> None:
        for waiter in self._abandon():
            _fail(waiter, self._closed_error())

    # What the native half calls.

    def _call_expired(self, waiter: Any) -> None:
        _fail(waiter, DeadlineExceeded(f"{self.peer} did not answer in time; the call was cancelled"))

    def _call_cancelled(self, waiter: Any) -> None:
        _fail(waiter, CancelledRemotely(f"{self.peer} rejected or aborted the call"))

    def _call_ended(self, waiter: Any) -> None:
        if isinstance(waiter, Responses):
            waiter.end(None)
        else:
            _fail(waiter, CancelledRemotely(f"{self.peer} ended the call without a response"))

    def _call_undecodable(self, waiter: Any, error: BaseException) -> None:
        invalid = InvalidMessage(f"{self.peer} sent bytes that are no message: {error}", peer=self.peer)
        invalid.__cause__ = error
        _fail(waiter, invalid)

    # What the client calls.

    async def until_room(self) -> None:
        """Wait until a call can be sent; raises ``ConnectionClosed`` if the connection ends first.

        Calls go in the order in which they came, unless one has to wait a second time.
        """
        others = self._queue_up()
        try:
            told = None
            while others and told != self._told:
                # Some were told that there is room, or are about to be, and have not come to use it yet.
                told = self._told
                await asyncio.sleep(0)
            await self._until_room()
        finally:
            self._leave_queue()

    # What a stream of responses calls.

    def new_future(self) -> asyncio.Future[None]:
        """A future of the connection's event loop; raises ``EventLoopError`` if that does not run here."""
        self._require_home()
        return self._loop.create_future()

    def responses_full(self) -> None:
        """One more stream has as much as it may hold: stop reading."""
        self._full += 1
        self._pause()

    def responses_taken(self) -> None:
        """One stream less is full: read again if it was the last."""
        self._full -= 1
        if self._full == 0:
            self._unpause()


def _fail(waiter: Any, error: Exception) -> None:
    if isinstance(waiter, Responses):
        waiter.end(error)
    elif not waiter.done():
        waiter.set_exception(error)


class Responses:
    """What has arrived of one streamed answer and was not taken yet."""

    __slots__ = ("_channel", "_error", "_is_full", "_items", "_limit", "_over", "_waiter")

    def __init__(self, channel: Channel, limit: int) -> None:
        self._channel = channel
        self._limit = limit
        self._items: deque[Any] = deque()
        self._error: Exception | None = None
        self._over = False
        self._is_full = False
        self._waiter: asyncio.Future[None] | None = None

    def _item(self, message: Any) -> None:
        self._items.append(message)
        if len(self._items) >= self._limit and not self._is_full:
            self._is_full = True
            self._channel.responses_full()
        self._wake()

    def end(self, error: Exception | None) -> None:
        """No more will come."""
        self._over = True
        self._error = error
        self._wake()

    def close(self) -> None:
        """Nobody will take what is left."""
        self._items.clear()
        self._emptied()

    async def next(self) -> tuple[Any, bool]:
        """The next item and true, or None and false at the end; raises what ended the call."""
        while not self._items:
            if self._over:
                if self._error is not None:
                    raise self._error
                return None, False
            self._waiter = self._channel.new_future()
            await self._waiter
        item = self._items.popleft()
        if self._is_full and len(self._items) * 2 <= self._limit:
            self._emptied()
        return item, True

    def _emptied(self) -> None:
        if self._is_full:
            self._is_full = False
            self._channel.responses_taken()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
