"""The responses of one served call: sent as far as the client's credit and the connection's queue allow."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

from protosocket.grpc.wire.flow_control import MESSAGE_COST, SendWindow

__all__ = ["ServerResponses"]

# Items of a stream after which other connections get a turn even if the handler never waits.
_ITEMS_A_TURN = 256


class _Connection(Protocol):
    loop: asyncio.AbstractEventLoop
    responses: dict[int, ServerResponses]
    peer_window: int

    async def until_room(self) -> None: ...


class _Context(Protocol):
    initial_sent: bool
    changed: bool

    def check_running(self) -> None: ...


class ServerResponses:
    """The messages of one call to its client.

    ``send`` queues one for the connection: false if the queue is full now. It belongs to its connection's
    table from its making to ``close``.
    """

    __slots__ = ("_connection", "_count", "_send", "_serialize", "_waiters", "_window", "call")

    def __init__(
        self,
        connection: _Connection,
        call: int,
        send: Callable[[Any], bool],
        serialize: Callable[[Any], bytes],
    ) -> None:
        self._connection = connection
        self._send = send
        self._serialize = serialize
        self._window = SendWindow(connection.peer_window)
        self._waiters: list[asyncio.Future[None]] = []
        self._count = 0
        self.call = call
        connection.responses[call] = self

    def granted(self, credit: int) -> None:
        """The client has given credit."""
        if self._window.grant(credit):
            # A method may write from several tasks.
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def write(self, message: Any) -> None:
        """Send one message once it may be sent. Raises what the serializer raises."""
        payload = self._serialize(message)
        while self._window.left <= 0:
            await self._until_granted()
        self._window.take(len(payload))
        self._count += 1
        if not self._send(payload):
            await self._connection.until_room()
        elif self._count % _ITEMS_A_TURN == 0:
            await asyncio.sleep(0)

    async def write_all(self, messages: AsyncIterator[Any], context: _Context) -> None:
        """Send all of ``messages``, until ``context`` says that the call has ended."""
        send, serialize, window = self._send, self._serialize, self._window
        count = 0
        async for message in messages:
            context.initial_sent = True
            if context.changed:
                context.check_running()
            payload = serialize(message)
            while window.left <= 0:
                await self._until_granted()
            window.left -= len(payload) + MESSAGE_COST
            count += 1
            if not send(payload):
                await self._connection.until_room()
            elif count % _ITEMS_A_TURN == 0:
                await asyncio.sleep(0)

    def close(self) -> None:
        """Nothing more will be sent."""
        if self._connection.responses.get(self.call) is self:
            del self._connection.responses[self.call]

    async def _until_granted(self) -> None:
        waiter = self._connection.loop.create_future()
        self._waiters.append(waiter)
        await waiter
