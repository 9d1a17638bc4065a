"""``serve``: a service on an address."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Self

from protosocket._core import ServerCall, WireCodec
from protosocket.connection import Opening, Server, TLSOption, open_server, parse_address
from protosocket.errors import OptionError
from protosocket.event_loops import is_dropped
from protosocket.limited_log import limited_log
from protosocket.options import ConnectionOptions
from protosocket.rpc.codec import Codec
from protosocket.rpc.handling import HandlingConnection
from protosocket.rpc.service import Service, handled_by, handler_of

__all__ = ["ServedConnection", "serve"]

# Items of a stream after which other connections get a turn even if the handler never waits.
_ITEMS_A_TURN = 256


class ServedConnection(HandlingConnection):
    """The server's end of one connection: its service, its handlers."""

    def __new__(cls, wire: WireCodec, options: ConnectionOptions, max_calls: int, *_: object) -> Self:
        """Make the native half."""
        return super().__new__(cls, wire, options, max_calls)

    def __init__(
        self,
        wire: WireCodec,
        options: ConnectionOptions,
        max_calls: int,
        server: Server[Any],
        make_service: Callable[[], Service],
    ) -> None:
        self._setup(options)
        self._server = server
        self._make_service = make_service
        self.service: Service | None = None
        """The object that serves this connection, once it was made."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make the service; the connection is refused if that fails."""
        super().connection_made(transport)
        self._server.added(self)
        try:
            service = self._make_service()
            handler = handler_of(service)
            service.peer = self.peer
            service.connected()
        except Exception as error:
            limited_log.error(
                "no service for the connection from %s, which is cut off", self.peer, exc_info=error
            )
            # Not at once: a TLS transport begins to read after this, which would be closed by then.
            self._loop.call_soon(self.abort)
            return
        self.service = service
        self._serve(handler, self._loop)

    def _ended(self) -> None:
        super()._ended()
        self._server.removed(self)
        if self.service is not None:
            try:
                self.service.disconnected()
            except Exception as error:
                limited_log.error(
                    "disconnected() failed after the connection from %s", self.peer, exc_info=error
                )

    # What the native half calls.

    def _adopt(self, call: ServerCall, result: Any) -> tuple[Coroutine[Any, Any, Any] | None, bool]:
        """What to drive for a handler's result that is no coroutine, and whether it is a stream."""
        if isinstance(result, AsyncIterator):
            return self._pump(call, result), True
        if inspect.isawaitable(result):
            return _wait_for(result), False
        return None, False

    async def _pump(self, call: ServerCall, items: AsyncIterator[Any]) -> None:
        count = 0
        try:
            async for item in items:
                count += 1
                if not self._item(call, item):
                    await self._until_room()
                elif count % _ITEMS_A_TURN == 0:
                    await asyncio.sleep(0)
        finally:
            close = getattr(items, "aclose", None)
            if close is not None and not is_dropped():
                await close()


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
    called for each connection, which is logged and cut off if that fails. ``codec`` is the one the clients
    use. At most ``max_calls`` handlers run on one connection at a time; further requests wait for their
    turn, up to ``read_budget_messages`` of them and ``receive_limit`` bytes: then no more is read. While the
    peer does not read its answers, no further request of it is taken either. ``tls`` is required for
    ``tls://``; ``reuse_port`` lets several processes share one port. Raises ``AddressError``,
    ``OptionError`` and ``ConnectError`` (the address cannot be had).
    """
    parse_address(url)
    settings = options or ConnectionOptions()
    if isinstance(max_calls, bool) or not isinstance(max_calls, int) or max_calls < 1:
        raise OptionError(f"max_calls is a whole number of at least 1, not {max_calls!r}")
    if isinstance(service, type):
        handled_by(service)
    elif not callable(service):
        raise OptionError(f"service is a class or a function that makes a service, not {service!r}")
    wire = codec.server_wire()

    async def open_() -> Server[ServedConnection]:
        server: Server[ServedConnection] = Server(settings)
        return await open_server(
            server,
            url,
            lambda: ServedConnection(wire, settings, max_calls, server, service),
            settings,
            tls,
            reuse_port=reuse_port,
            backlog=backlog,
        )

    return Opening(open_)
