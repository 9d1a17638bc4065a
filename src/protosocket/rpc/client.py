"""``connect``: a client with a pool of connections."""

from __future__ import annotations

import asyncio
import math
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Self, TypeVar

from protosocket._core import CallPool
from protosocket.connection import Address, Opening, TLSOption, open_transport, parse_address
from protosocket.errors import ConnectError, ConnectionClosed, DeadlineExceeded, OptionError
from protosocket.event_loops import background_task, require_loop
from protosocket.options import ConnectionOptions
from protosocket.rpc.channel import Channel, Responses
from protosocket.rpc.codec import Codec
from protosocket.telemetry import ConnectionStatistics

__all__ = ["Client", "FirstCall", "Greeting", "connect"]

_TIMEOUT_RULE = "timeout is a number of seconds, 0 or more; None means no limit"

S = TypeVar("S")
R = TypeVar("R")

FirstCall = Callable[[S], Awaitable[R]]
"""Makes a call on a connection that is not in use yet."""

Greeting = Callable[[FirstCall[S, R]], Awaitable[None]]
"""What a client does first on each new connection."""


class Client(CallPool[S, R]):
    """Calls over N connections to one address; made by ``rpc.connect``.

    ``unary`` is the native half's: see ``CallPool.unary``.

    A connection is made when its turn to carry a call comes first, and made again when it is found dead;
    calls take turns over the connections. A unary call that a task makes as it goes on with an answer takes
    the connection of that answer, unless the next one has fewer calls in flight. Every method belongs to the
    event loop's own thread.
    """

    _closed = True  # while it is being made

    def __init__(
        self,
        address: Address,
        codec: Codec[S, R],
        connections: int,
        options: ConnectionOptions,
        tls: TLSOption | None,
        greet: Greeting[S, R] | None = None,
    ) -> None:
        self._address = address
        self._wire = codec.client_wire()
        self._options = options
        self._tls = tls
        self._greet = greet
        self._loop = asyncio.get_running_loop()
        self._channels: list[Channel | None] = [None] * connections
        self._connecting: dict[int, asyncio.Task[Channel]] = {}
        self._use(self._channels, self._loop)
        self._closed = False

    def __repr__(self) -> str:
        state = ", closed" if self._closed else ""
        return f"<Client of {self._address}, {self.connections} connections{state}>"

    def __del__(self) -> None:
        if self._closed:
            return
        forgotten = [channel for channel in self._channels if channel is not None and not channel.closed]
        if forgotten and not self._loop.is_closed():
            warnings.warn(f"{self!r} was not closed", ResourceWarning, source=self, stacklevel=2)
            for channel in forgotten:
                self._loop.call_soon_threadsafe(channel.abort)

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return sum(1 for channel in self._channels if channel is not None and not channel.closed)

    async def stream(self, request: S, *, timeout: float | None = None) -> AsyncGenerator[R, None]:
        """Send ``request`` and iterate over its responses: ``async for item in client.stream(request)``.

        Leaving the loop early cancels the call: at once under ``contextlib.aclosing``, else when the
        iterator is collected. ``timeout`` (seconds; default: none) covers the whole stream. A stream that
        nobody reads stops the reading of its connection once ``send_queue_messages`` items wait, so that
        memory stays bounded; other calls on that connection wait too. Raises what ``unary`` raises.
        """
        channel, responses, call_id = await self._open(self._next_turn(), request, timeout)
        try:
            while True:
                item, more = await responses.next()
                if not more:
                    return
                yield item
        except DeadlineExceeded as error:
            error.timeout = timeout or 0.0
            raise
        finally:
            # There is nobody to tell after that.
            if not self._loop.is_closed():
                channel.cancel(call_id)
                responses.close()

    async def ready(self) -> None:
        """Make every connection now; raises ``ConnectError`` if one cannot be made."""
        await asyncio.gather(*(self._channel(index) for index in range(len(self._channels))))

    def statistics(self) -> list[ConnectionStatistics]:
        """The counters of each connection that was made and not replaced."""
        return [channel.statistics() for channel in self._channels if channel is not None]

    async def close(self) -> None:
        """Close every connection; calls in flight end with ``ConnectionClosed``. May be repeated.

        Cancelling it cuts the connections off at once.
        """
        if self._connecting or self.connections:
            require_loop(self._loop, self)
        self._closed = True
        for task in self._connecting.values():
            task.cancel()
        try:
            await asyncio.gather(*self._connecting.values(), return_exceptions=True)
            await asyncio.gather(*(channel.close() for channel in self._channels if channel is not None))
        except asyncio.CancelledError:
            # A close that had not begun yet was cancelled without cutting anything off.
            for channel in self._channels:
                if channel is not None:
                    channel.abort()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def _unary_later(self, index: int, request: S, timeout: float | None) -> R:
        """A unary call that has to wait for its connection or for room in the send queue."""
        channel, future, call_id = await self._start(index, request, timeout)
        try:
            return await future
        except BaseException as error:
            channel.cancel(call_id)
            if isinstance(error, DeadlineExceeded) and timeout is not None:
                error.timeout = timeout
            raise

    async def _start(
        self, index: int, request: S, timeout: float | None
    ) -> tuple[Channel, asyncio.Future[R], int]:
        deadline = _Deadline(self._loop, self._address, timeout)
        while True:
            channel = await deadline.wait(self._usable(index))
            future: asyncio.Future[R] = self._loop.create_future()
            call_id = channel.call(request, future, deadline.left(), self._loop)
            if call_id:
                return channel, future, call_id

    async def _open(self, index: int, request: S, timeout: float | None) -> tuple[Channel, Responses, int]:
        deadline = _Deadline(self._loop, self._address, timeout)
        while True:
            channel = await deadline.wait(self._usable(index))
            responses = Responses(channel, self._options.send_queue_messages)
            call_id = channel.open(request, responses, deadline.left(), self._loop)
            if call_id:
                return channel, responses, call_id

    async def _usable(self, index: int) -> Channel:
        """The connection at ``index``, alive and with room for a call."""
        channel = await self._channel(index)
        await channel.until_room()
        return channel

    async def _channel(self, index: int) -> Channel:
        require_loop(self._loop, self)
        channel = self._channels[index]
        if channel is not None and not channel.closed:
            return channel
        if self._closed:
            raise ConnectionClosed(f"the client of {self._address} is closed", peer=str(self._address))
        task = self._connecting.get(index)
        if task is None:
            connecting = self._connect(index)
            try:
                task = background_task(self._loop, connecting)
            except RuntimeError:
                # Of another thread, or after the event loop was closed.
                connecting.close()
                raise
            # Everybody who waited for it may have been cancelled.
            task.add_done_callback(_retrieve)
            self._connecting[index] = task
        try:
            # Several calls may wait for it: one that is cancelled does not take it from the others.
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            waiting = asyncio.current_task()
            if not task.cancelled() or (waiting is not None and waiting.cancelling()):
                raise
            text = f"the client of {self._address} was closed while it connected"
            raise ConnectionClosed(text, peer=str(self._address)) from None

    async def _connect(self, index: int) -> Channel:
        try:
            _, channel = await open_transport(
                self._address, lambda: Channel(self._wire, self._options), self._options, self._tls
            )
            if self._greet is not None:
                await self._introduce(channel, self._greet)
            self._channels[index] = channel
            return channel
        finally:
            del self._connecting[index]

    async def _introduce(self, channel: Channel, greet: Greeting[S, R]) -> None:
        """Let ``greet`` make the first calls on a new connection; it is cut off if that fails."""

        async def call(request: S) -> R:
            future: asyncio.Future[R] = self._loop.create_future()
            while not channel.call(request, future, None, self._loop):
                await channel.until_room()
            return await future

        try:
            async with asyncio.timeout(self._options.connect_timeout):
                await greet(call)
        except TimeoutError as error:
            channel.abort()
            text = f"{self._address} did not answer the first call within {self._options.connect_timeout} s"
            raise ConnectError(text, address=str(self._address)) from error
        except BaseException:
            channel.abort()
            raise


def _retrieve(task: asyncio.Task[Channel]) -> None:
    """Its failure is nothing to log when nobody is left to be told."""
    if not task.cancelled():
        task.exception()


class _Deadline:
    """The time a call has left while it has to wait before it is sent."""

    __slots__ = ("_address", "_loop", "_timeout", "_when")

    def __init__(self, loop: asyncio.AbstractEventLoop, address: Address, timeout: float | None) -> None:
        self._loop = loop
        self._address = address
        if timeout is not None and not 0 <= timeout < math.inf:
            raise OptionError(_TIMEOUT_RULE)
        self._timeout = timeout
        self._when = None if timeout is None else loop.time() + timeout

    def left(self) -> float | None:
        return None if self._when is None else max(0.0, self._when - self._loop.time())

    async def wait(self, coroutine: Any) -> Any:
        if self._timeout is None:
            return await coroutine
        scope = asyncio.timeout_at(self._when)
        try:
            async with scope:
                return await coroutine
        except TimeoutError as error:
            if not scope.expired():
                raise
            text = f"no call could be sent to {self._address} within {self._timeout} s"
            raise DeadlineExceeded(text, timeout=self._timeout) from error


def connect(
    url: str,
    codec: Codec[S, R],
    *,
    connections: int = 1,
    options: ConnectionOptions | None = None,
    tls: TLSOption | None = None,
    greet: Greeting[S, R] | None = None,
) -> Opening[Client[S, R]]:
    """A client of the server at ``url``: ``async with rpc.connect(...) as client``; it may also be awaited.

    Nothing is connected before the first call (``await client.ready()`` does it earlier). ``connections``
    is the size of the pool. ``tls`` is for ``tls://`` addresses; without it the server is checked against
    the system's roots. ``greet`` makes the first calls on each new connection, such as an authentication:
    an async function that is given ``call(request)``; what it raises reaches the calls that wait for that
    connection. Raises ``AddressError`` and ``OptionError`` for what cannot be used.
    """
    address = parse_address(url)
    if isinstance(connections, bool) or not isinstance(connections, int) or connections < 1:
        raise OptionError(f"connections is a whole number of at least 1, not {connections!r}")

    async def open_() -> Client[S, R]:
        return Client(address, codec, connections, options or ConnectionOptions(), tls, greet)

    return Opening(open_)
