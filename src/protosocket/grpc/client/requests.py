"""The sending half of a call whose requests stream: its window, its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from protosocket.errors import ConnectionClosed
from protosocket.grpc.client.connection import ClientConnection
from protosocket.grpc.wire.flow_control import MESSAGE_COST, SendWindow

__all__ = ["Requests"]


class Requests:
    """Sends one call's messages as the server lets it; it does not know the call object."""

    __slots__ = (
        "_connection",
        "_handle",
        "_id",
        "_is_full",
        "_waiters",
        "_window",
        "is_half_closed",
        "is_over",
        "on_over",
    )

    def __init__(self) -> None:
        self._connection: ClientConnection | None = None
        self._handle = 0
        self._id = 0
        self._window = SendWindow(0)
        self._is_full = False
        """The send queue was full after the last request: the next one waits for room."""
        self._waiters: list[asyncio.Future[None]] = []
        self.is_half_closed = False
        """No further request will be sent."""
        self.is_over = False
        """The call has ended."""
        self.on_over: Callable[[], None] | None = None
        """Called then; it is let go of at once."""

    def bind(self, connection: ClientConnection, handle: int) -> None:
        """The call was sent."""
        self._connection, self._handle = connection, handle
        self._id = connection.take_credits(handle, self)
        self._window = SendWindow(connection.peer_window)
        self._wake()
        if self.is_half_closed:
            connection.end(handle)

    def over(self) -> None:
        """The call has ended, in whatever way: nothing more is sent."""
        self.is_over = True
        if self._connection is not None:
            self._connection.drop_credits(self._id, self)
        on_over, self.on_over = self.on_over, None
        if on_over is not None:
            on_over()
        self._wake()

    def granted(self, credit: int) -> None:
        """The server took messages."""
        if self._window.grant(credit):
            self._wake()

    async def until_open(self) -> bool:
        """Wait until a request may be sent; false if the call ended before.

        Cancelling it changes nothing.
        """
        while not self.is_over:
            if self._connection is not None and self._is_full:
                self._is_full = False
                try:
                    await self._connection.until_room()
                except ConnectionClosed:
                    return False
                continue
            if self._connection is not None and self._window.left > 0:
                return True
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        return False

    def try_send(self, payload: bytes) -> bool:
        """Send a request now; false if it has to wait, or if the call has ended."""
        connection, window = self._connection, self._window
        if connection is None or window.left <= 0 or self._is_full or self.is_over:
            return False
        window.left -= len(payload) + MESSAGE_COST
        self._is_full = not connection.send(self._handle, payload)
        return True

    async def send(self, payload: bytes) -> bool:
        """Send a request when the server's window and the queue let it; false if the call ended before."""
        while not self.try_send(payload):
            if not await self.until_open():
                return False
        return True

    def half_close(self) -> None:
        """Say that no further request follows. May be repeated."""
        if not self.is_half_closed:
            self.is_half_closed = True
            if self._connection is not None:
                self._connection.end(self._handle)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)
