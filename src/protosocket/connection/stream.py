"""A connection that carries messages: send, receive, iterate, close."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Generic, Self, TypeVar

from protosocket._core import MessageConnection, WireCodec
from protosocket.connection.protocol import ConnectionProtocol, native_limits
from protosocket.errors import ConnectionClosed
from protosocket.options import ConnectionOptions
from protosocket.telemetry import ConnectionStatistics

__all__ = ["Connection", "StreamProtocol"]

S = TypeVar("S")
R = TypeVar("R")


class StreamProtocol(MessageConnection, ConnectionProtocol):
    """The protocol object of a message stream; ``Connection`` is its public face."""

    def __new__(cls, wire: WireCodec, options: ConnectionOptions) -> Self:
        """The native half takes the codec and the limits."""
        return super().__new__(cls, wire, *native_limits(options))

    def __init__(self, wire: WireCodec, options: ConnectionOptions) -> None:
        self._setup(options)
        self._receiver: asyncio.Future[None] | None = None

    def eof_received(self) -> None:
        """The peer sends no more: give out what has arrived, then end."""
        self._take_rest()
        super().eof_received()
        self._arrived()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended; what has arrived can still be received."""
        self._take_rest()
        super().connection_lost(exc)

    def _arrived(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None and not receiver.done():
            receiver.set_result(None)

    def _ended(self) -> None:
        self._arrived()

    async def send(self, message: object) -> None:
        """Queue a message, as ``Connection.send``."""
        if self._closing:
            raise self._closed_error()
        if not self._has_room():
            await self._until_room()
        self._send(message)

    async def receive(self) -> Any:
        """The next message, as ``Connection.receive``."""
        while True:
            message, found = self._receive()
            if found:
                return message
            if self._closing:
                raise self._closed_error()
            if self._receiver is not None:
                raise RuntimeError("two tasks receive from one connection; use one receiver")
            receiver = self._receiver = self._loop.create_future()
            try:
                await receiver
            finally:
                # Not another's that came in the meantime.
                if self._receiver is receiver:
                    self._receiver = None


class Connection(Generic[S, R]):
    """A stream of messages in both directions; made by ``protosocket.connect`` and ``protosocket.listen``.

    Messages arrive in the order in which they were sent. Reading and writing go on at the same time, and
    every method belongs to the event loop's own thread. ``async for`` ends quietly when the peer closes
    between two messages, and raises ``ConnectionClosed`` when the connection was lost or broken. Under TLS
    closing means close_notify: a stream that ends without it was cut off.
    """

    __slots__ = ("_protocol",)

    def __init__(self, protocol: StreamProtocol) -> None:
        self._protocol = protocol

    def __repr__(self) -> str:
        return f"<Connection to {self.peer}{', closed' if self.closed else ''}>"

    @property
    def peer(self) -> str:
        """The other end, such as ``tcp://127.0.0.1:50312``."""
        return self._protocol.peer

    @property
    def closed(self) -> bool:
        """Whether nothing more can be sent."""
        return self._protocol.closed

    async def send(self, message: S) -> None:
        """Queue ``message``; waits while the send queue is full (the limits are in ``ConnectionOptions``).

        Messages sent in one turn of the event loop leave together. Raises ``EncodeError`` when the codec
        cannot encode it (the connection lives on) and ``ConnectionClosed`` when the connection has ended.
        Cancelled while it waits, it has sent nothing.
        """
        await self._protocol.send(message)

    async def receive(self) -> R:
        """The next message. Cancelling it loses none. Only one task may wait for a message at a time.

        Raises ``ConnectionClosed`` when there will be no more (``InvalidMessage`` or ``MessageTooLarge``
        if the peer broke the protocol), after every message that had arrived was given out.
        """
        message: R = await self._protocol.receive()
        return message

    def __aiter__(self) -> AsyncIterator[R]:
        return self._messages()

    async def _messages(self) -> AsyncIterator[R]:
        protocol = self._protocol
        while True:
            try:
                message = await protocol.receive()
            except ConnectionClosed:
                if protocol.error is None:
                    return
                raise
            yield message

    async def close(self) -> None:
        """Send what is queued, then close; cut off after ``close_timeout`` seconds. May be repeated.

        Cancelling it cuts the connection off at once.
        """
        await self._protocol.close()

    def abort(self) -> None:
        """Cut the connection off: what is queued is lost. May be repeated."""
        self._protocol.abort()

    async def wait_closed(self) -> None:
        """Wait until the connection has ended. Cancelling it changes nothing."""
        await self._protocol.wait_closed()

    def statistics(self) -> ConnectionStatistics:
        """The connection's counters now."""
        return self._protocol.statistics()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()
