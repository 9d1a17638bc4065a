"""``serve``: a service on an address."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Self

from protosocket._core import ServerReactor, WireCodec
from protosocket.connection import (
    ConnectionProtocol,
    Opening,
    Server,
    TLSOption,
    native_limits,
    open_server,
    parse_address,
)
from protosocket.errors import OptionError, Rejected
from protosocket.options import ConnectionOptions
from protosocket.rpc.codec import Codec
from protosocket.rpc.service import Service, handler_of

__all__ = ["ServedConnection", "serve"]

_logger = logging.getLogger("protosocket")


class ServedConnection(ServerReactor, ConnectionProtocol):
    """The server's end of one connection: its service, its handlers."""

    def __new__(
        cls, wire: WireCodec, options: ConnectionOptions, max_calls: int, server: Server[Any], service: Service
    ) -> Self:
        return super().__new__(cls, wire, *native_limits(options), max_calls)

    def __init__(
        self, wire: WireCodec, options: ConnectionOptions, max_calls: int, server: Server[Any], service: Service
    ) -> None:
        self._setup(options)
        self._server = server
        self.service = service
        self._idle: asyncio.Future[None] | None = None
        self._serve(handler_of(service), self._loop)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.added(self)
        self.service.peer = self.peer
        self.service.connected()

    def _ended(self) -> None:
        self._cancel_all()
        self._release()
        self._server.removed(self)
        self.service.disconnected()

    def _adopt(self, call_id: int, result: Any) -> tuple[Coroutine[Any, Any, Any] | None, bool]:
        """What to drive for a handler's result that is no coroutine, and whether it is a stream."""
        if isinstance(result, AsyncIterator):
            return self._pump(call_id, result), True
        if inspect.isawaitable(result):
            return _wait_for(result), False
        return None, False

    async def _pump(self, call_id: int, items: AsyncIterator[Any]) -> None:
        try:
            async for item in items:
                if not self._item(call_id, item):
                    await self._until_room()
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

    def _failed(self, call_id: int, error: BaseException) -> None:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        if not isinstance(error, asyncio.CancelledError | Rejected) and not self._closing:
            _logger.error("the handler of call %d from %s failed", call_id, self.peer, exc_info=error)

    def _drained(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def close(self) -> None:
        """Take no more requests, let the handlers end, then close; both within ``close_timeout`` seconds.

        Handlers that run longer are cancelled. Cancelling it cuts the connection off.
        """
        if self._transport is not None and not self._closing and not self._drain():
            self._idle = self._loop.create_future()
            try:
                await asyncio.wait([self._idle, self._closed], timeout=self._options.close_timeout,
                                   return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError:
                self.abort()
                raise
            self._cancel_all()
        await super().close()


async def _wait_for(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def serve(
    url: str,
    service: Callable[[], Service],
    codec: Codec[Any, Any],
    *,
    options: ConnectionOptions | None = None,
    tls: TLSOption | None = None,
    max_calls: int = 4096,
    reuse_port: bool = False,
    backlog: int = 1024,
) -> Opening[Server[ServedConnection]]:
    """Serve ``service`` on ``url``: ``async with serve(...) as server``; it may also be awaited.

    ``service`` is a class derived from ``Service``, or a function without arguments that makes one; it is
    called for each connection. ``codec`` is the one the clients use. At most ``max_calls`` handlers run on
    one connection at a time; further requests wait unread. While the peer does not read its answers, no
    further request of it is taken either. ``tls`` is required for ``tls://``; ``reuse_port`` lets several
    processes share one port. Raises ``AddressError``, ``OptionError`` and ``ConnectError`` (the address
    cannot be had).
    """
    parse_address(url)
    settings = options or ConnectionOptions()
    if max_calls < 1:
        raise OptionError(f"max_calls is a whole number of at least 1, not {max_calls!r}")
    if isinstance(service, type):
        handler_of(service.__new__(service))
    wire = codec.server_wire()

    async def open_() -> Server[ServedConnection]:
        server: Server[ServedConnection] = Server(settings)
        return await open_server(
            server,
            url,
            lambda: ServedConnection(wire, settings, max_calls, server, service()),
            settings,
            tls,
            reuse_port=reuse_port,
            backlog=backlog,
        )

    return Opening(open_)
