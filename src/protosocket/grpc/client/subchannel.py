"""One connection of a channel over time: made, lost, made again after a back-off."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from typing import Final

from grpc import ChannelConnectivity

from protosocket.connection import Address, TLSOption, open_transport
from protosocket.errors import Error
from protosocket.event_loops import background_task
from protosocket.grpc.client.channel_options import ChannelOptions
from protosocket.grpc.client.connect_backoff import Backoff
from protosocket.grpc.client.connection import ClientConnection
from protosocket.grpc.wire.envelope import envelope_codec

__all__ = ["Subchannel"]

_WIRE: Final = envelope_codec().client_wire()


class Subchannel:
    """A connection to one of ``addresses``, which are tried in turn.

    It is IDLE until ``connect``; then CONNECTING; READY while ``connection`` takes calls; IDLE again when
    that is lost or the server is leaving. When no address can be connected to it is in TRANSIENT_FAILURE,
    and stays there while it tries again after each back-off, until one succeeds.
    """

    def __init__(
        self,
        addresses: Sequence[Address],
        tls: TLSOption | None,
        options: ChannelOptions,
        on_change: Callable[[Subchannel], None],
    ) -> None:
        self.addresses = addresses
        self._tls = tls
        self._options = options
        self._on_change = weakref.WeakMethod(on_change)
        self._backoff = Backoff(options.first_backoff, options.longest_backoff)
        self._task: asyncio.Task[None] | None = None
        self._leaving: set[ClientConnection] = set()
        self.state = ChannelConnectivity.IDLE
        self.connection: ClientConnection | None = None
        """Takes calls; ``None`` unless the state is READY."""
        self.failure: Error | None = None
        """Why the last attempt to connect failed."""

    def __repr__(self) -> str:
        return f"<Subchannel {', '.join(map(str, self.addresses))} {self.state.name}>"

    def connect(self) -> None:
        """Begin to connect if it is IDLE."""
        if self.state is ChannelConnectivity.IDLE:
            self._task = background_task(asyncio.get_running_loop(), self._connect())
            self._enter(ChannelConnectivity.CONNECTING)

    def cancel_calls(self) -> None:
        """End every call in flight as if its caller had cancelled it."""
        for connection in self._connections():
            connection.cancel_calls()

    def leave(self) -> None:
        """Take no further call, and close once those that run have ended."""
        if self._task is not None:
            self._task.cancel()
        if self.connection is not None:
            self._leaving.add(self.connection)
            self.connection = None
        self._enter(ChannelConnectivity.SHUTDOWN)
        self._task = background_task(asyncio.get_running_loop(), self._drain())

    async def until_quiet(self) -> None:
        """Wait until no call is in flight."""
        for connection in self._connections():
            await connection.until_quiet()

    async def _drain(self) -> None:
        await self.until_quiet()
        await asyncio.gather(*(connection.close() for connection in self._leaving))

    async def close(self) -> None:
        """Close the connection, and those the server is leaving; for good."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
        self._retire()
        await asyncio.gather(*(connection.close() for connection in self._connections()))

    def cut_off(self) -> None:
        """End the connections at once, for good."""
        if self._task is not None:
            self._task.cancel()
        self._retire()
        for connection in self._connections():
            connection.abort()

    def abandon(self) -> None:
        """Cut everything off; for a channel that was forgotten, from any thread."""
        for connection in self._connections():
            if not connection.loop.is_closed():
                connection.loop.call_soon_threadsafe(connection.abort)

    def _retire(self) -> None:
        """The connection takes no calls, and is known until it is closed."""
        self.state = ChannelConnectivity.SHUTDOWN
        if self.connection is not None:
            self._leaving.add(self.connection)
            self.connection = None

    def _connections(self) -> list[ClientConnection]:
        return [*self._leaving, *([] if self.connection is None else [self.connection])]

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            started = loop.time()
            for address in self.addresses:
                try:
                    connection = await self._open(address)
                except Error as error:
                    self.failure = error
                    continue
                self._backoff.reset()
                connection.on_change = self._changed
                self.connection = connection
                self._enter(ChannelConnectivity.READY)
                return
            self._enter(ChannelConnectivity.TRANSIENT_FAILURE)
            await asyncio.sleep(started + self._backoff.next() - loop.time())

    async def _open(self, address: Address) -> ClientConnection:
        options = self._options.connection()
        _, connection = await open_transport(
            address, lambda: ClientConnection(_WIRE, options, self._options), options, self._tls
        )
        try:
            await connection.greet(options.connect_timeout)
        except BaseException:
            connection.abort()
            raise
        return connection

    def _changed(self, connection: ClientConnection) -> None:
        """The connection was lost, or its server is leaving."""
        if connection.closed:
            self._leaving.discard(connection)
        else:
            self._leaving.add(connection)
        if connection is self.connection:
            self.connection = None
            self._enter(ChannelConnectivity.IDLE)

    def _enter(self, state: ChannelConnectivity) -> None:
        self.state = state
        on_change = self._on_change()
        if on_change is not None:
            on_change(self)
