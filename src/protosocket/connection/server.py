"""Servers: accept connections, keep track of them, end them gracefully."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Self, TypeVar, cast

from protosocket.connection.address import parse_address
from protosocket.connection.codec import AnyCodec, wire_codec
from protosocket.connection.endpoint import Listener
from protosocket.connection.endpoint import listen as listen_on
from protosocket.connection.opening import Opening
from protosocket.connection.protocol import ConnectionProtocol
from protosocket.connection.stream import Connection, StreamProtocol
from protosocket.connection.tls import TLSOption
from protosocket.errors import ConnectionClosed
from protosocket.event_loops import background_task, is_dropped, require_loop
from protosocket.limited_log import limited_log
from protosocket.options import ConnectionOptions

__all__ = ["Server", "listen", "open_server"]

S = TypeVar("S")
R = TypeVar("R")
P = TypeVar("P", bound=ConnectionProtocol)


class Server(Generic[P]):
    """A listening server and its connections."""

    def __init__(self, options: ConnectionOptions) -> None:
        self._options = options
        self._loop = asyncio.get_running_loop()
        self.listener: Listener | None = None
        """Its sockets; there once it listens."""
        self._protocols: set[P] = set()
        self._closed = asyncio.Event()
        self._closing = False

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, as URLs, with the ports the system chose."""
        return tuple(str(address) for address in self.listener.addresses) if self.listener else ()

    @property
    def connections(self) -> int:
        """How many connections it has now."""
        return len(self._protocols)

    @property
    def protocols(self) -> frozenset[P]:
        """The protocol objects of its connections: their peers and statistics."""
        return frozenset(self._protocols)

    def added(self, protocol: P) -> None:
        """A connection was made; for its protocol to say."""
        if self._closing:
            # Not at once: a TLS transport begins to read after this, which would be closed by then.
            asyncio.get_running_loop().call_soon(protocol.abort)
        self._protocols.add(protocol)

    def removed(self, protocol: P) -> None:
        """A connection has ended; for its protocol to say."""
        self._protocols.discard(protocol)

    async def serve_forever(self) -> None:
        """Wait until the server is closed. Cancelling it (Ctrl-C) leaves closing to ``async with``."""
        self._require_loop()
        await self._closed.wait()

    def _require_loop(self) -> None:
        if not self._closed.is_set():
            require_loop(self._loop, f"the server at {', '.join(self.addresses) or 'no address'}")

    async def close(self) -> None:
        """Stop accepting, then end every connection gracefully, within ``close_timeout`` seconds each.

        Cancelling it cuts the connections off.
        """
        self._require_loop()
        self._closing = True
        if self.listener is not None:
            self.listener.close()
        try:
            if self.listener is not None:
                await self.listener.wait_closed()
            await asyncio.gather(*(protocol.close() for protocol in tuple(self._protocols)))
        except asyncio.CancelledError:
            for protocol in tuple(self._protocols):
                protocol.abort()
            raise
        finally:
            self._closed.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()


class _Refusal(asyncio.BufferedProtocol):
    """Cuts off a connection that nobody can serve."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not at once: a TLS transport begins to read after this, which would be closed by then.
        asyncio.get_running_loop().call_soon(cast(asyncio.Transport, transport).abort)

    def get_buffer(self, sizehint: int) -> bytearray:
        return bytearray(1)


async def open_server(
    server: Server[P],
    url: str,
    protocol_factory: Callable[[], P],
    options: ConnectionOptions,
    tls: TLSOption | None,
    *,
    reuse_port: bool,
    backlog: int,
) -> Server[P]:
    """Make ``server`` listen on ``url``; every connection gets a protocol object of its own."""

    def make_protocol() -> asyncio.BufferedProtocol:
        try:
            return protocol_factory()
        except Exception as error:
            # Nothing may be raised here: uvloop's own servers would accept for ever.
            limited_log.error(
                "a connection to %s was cut off: its protocol could not be made", url, exc_info=error
            )
            return _Refusal()

    server.listener = await listen_on(
        parse_address(url), make_protocol, options, tls, reuse_port=reuse_port, backlog=backlog
    )
    return server


Handler = Callable[[Connection[S, R]], Awaitable[None]]


class _ServedStream(StreamProtocol):
    """A server's side of a message stream: runs the handler in a task of its own."""

    def __init__(
        self, wire: Any, options: ConnectionOptions, server: Server[_ServedStream], handler: Handler[Any, Any]
    ) -> None:
        super().__init__(wire, options)
        self._server = server
        self._handler: Handler[Any, Any] | None = handler
        self._task: asyncio.Task[None] | None = None

    def __new__(cls, wire: Any, options: ConnectionOptions, *_: Any) -> Self:
        return super().__new__(cls, wire, options)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.added(self)
        # Let go of, since it often knows the connection in its turn.
        handler, self._handler = self._handler, None
        assert handler is not None
        self._task = background_task(self._loop, self._run(handler), f"protosocket connection {self.peer}")

    def _ended(self) -> None:
        super()._ended()
        if self._task is None:
            self._server.removed(self)

    async def _run(self, handler: Handler[Any, Any]) -> None:
        try:
            await handler(Connection(self))
        except Exception as error:
            if isinstance(error, ConnectionClosed) and self._closing:
                limited_log.debug("%s: %s", self.peer, error)
            else:
                limited_log.error(
                    "the handler of the connection from %s failed; cutting it off", self.peer, exc_info=error
                )
                self.abort()
        finally:
            if not is_dropped():
                with contextlib.suppress(asyncio.CancelledError):
                    await super().close()
            # A cancelled task keeps its traceback, and that this object.
            self._task = None
            self._server.removed(self)

    async def close(self) -> None:
        """Cancel the handler, send what is queued and close."""
        if self._task is not None and not self._task.done() and self._task is not asyncio.current_task():
            self._task.cancel()
            try:
                await asyncio.wait([self._task], timeout=self._options.close_timeout)
            except asyncio.CancelledError:
                self.abort()
                raise
        await super().close()


def listen(
    url: str,
    codec: AnyCodec[S, R],
    handler: Handler[S, R],
    *,
    options: ConnectionOptions | None = None,
    tls: TLSOption | None = None,
    reuse_port: bool = False,
    backlog: int = 1024,
) -> Opening[Server[Any]]:
    """Listen on ``url`` and run ``handler(connection)`` for each: ``async with listen(...) as server``.

    It may also be awaited; then closing the server is yours. A connection is closed when its handler
    returns; a handler that fails is logged and its connection cut off. Closing the server cancels the
    handlers. ``tls`` is required for ``tls://``. ``reuse_port`` lets several processes share one port.
    Raises ``AddressError``, ``OptionError`` and ``ConnectError`` (the address cannot be had).
    """
    parse_address(url)
    settings = options or ConnectionOptions()

    async def open_() -> Server[Any]:
        server: Server[_ServedStream] = Server(settings)
        wire_codec(codec)
        return await open_server(
            server,
            url,
            lambda: _ServedStream(wire_codec(codec), settings, server, handler),
            settings,
            tls,
            reuse_port=reuse_port,
            backlog=backlog,
        )

    return Opening(open_)
