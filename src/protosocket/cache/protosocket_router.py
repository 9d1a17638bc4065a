"""A router of the cache, served over protosocket."""

from __future__ import annotations

import asyncio
from typing import Any, Self

from google.protobuf.message import DecodeError

from protosocket import rpc
from protosocket._core import RelayFront
from protosocket.cache.auth import TokenPolicy, require_tokens
from protosocket.cache.authentication import answer_unforwarded
from protosocket.cache.commands import error_response, routing_key
from protosocket.cache.interface import Backend
from protosocket.cache.protosocket_backend import ProtosocketBackend
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse
from protosocket.cache.protosocket_codec import cache_codec
from protosocket.cache.protosocket_listening import ServerListening
from protosocket.connection import ConnectionProtocol, Server, TLSOption, open_server
from protosocket.errors import CacheError, ConnectionClosed
from protosocket.limited_log import limited_log
from protosocket.options import ConnectionOptions

__all__ = ["ProtosocketBackend", "serve_router"]

# Commands of one client that may wait for their answers before it is read no further.
_MAX_CALLS = 16_384

# Commands that are forwarded in the time that a handler takes for one message.
_COMMANDS_PER_MESSAGE = 4

# Unread answers after which a client is cut off, in what its connection may hold in both directions.
_UNREAD = 4


class _RelayedClient(RelayFront, ConnectionProtocol):
    """One client whose commands the native relay forwards."""

    def __new__(
        cls, backend: ProtosocketBackend, tokens: TokenPolicy, options: ConnectionOptions, *_: Any
    ) -> Self:
        return super().__new__(
            cls,
            backend.routes,
            not tokens.required,
            options.receive_limit,
            options.send_queue_bytes,
            options.read_budget_messages * _COMMANDS_PER_MESSAGE,
            _MAX_CALLS,
            (options.receive_limit + options.send_queue_bytes) * _UNREAD,
        )

    def __init__(
        self,
        backend: ProtosocketBackend,
        tokens: TokenPolicy,
        options: ConnectionOptions,
        server: Server[Any],
    ) -> None:
        self._setup(options)
        self._server = server
        self._tokens = tokens
        self._opened = not tokens.required
        self._idle: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._server.added(self)

    async def close(self) -> None:
        """Refuse commands, let those under way end, then close; both within ``close_timeout`` seconds.

        Cancelling it cuts the connection off.
        """
        if self._transport is not None and not self._closing and not self._drain():
            self._idle = self._loop.create_future()
            try:
                await asyncio.wait(
                    [self._idle, self._closed],
                    timeout=self._options.close_timeout,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            except asyncio.CancelledError:
                self.abort()
                raise
        await super().close()

    def _ended(self) -> None:
        self._abandon()
        self._server.removed(self)

    # What the native half calls.

    def _local(self, request: bytes) -> bytes | None:
        try:
            command = CacheCommand.FromString(request)
        except DecodeError:
            return None
        response, opened = answer_unforwarded(command, self._tokens, self._opened)
        if opened:
            self._opened = True
            self._set_open()
        return response.SerializeToString()

    def _drained(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _unread_answers(self, size: int) -> None:
        error = ConnectionClosed(f"{self.peer} left {size} bytes of answers unread; cut off", peer=self.peer)
        limited_log.warning("connection ended: %s", error)
        self._fail(error)


class _ForwardedClient(rpc.Service):
    """One client whose commands travel on over another transport."""

    def __init__(self, backend: Backend, tokens: TokenPolicy) -> None:
        self._backend = backend
        self._tokens = tokens
        self._open = not tokens.required

    async def unary(self, request: CacheCommand) -> CacheResponse:
        key = routing_key(request)
        if key is None or not self._open:
            response, opened = answer_unforwarded(request, self._tokens, self._open)
            self._open |= opened
            return response
        try:
            answer = await self._backend.call(key, request.message_id, request.SerializeToString())
        except CacheError as error:
            return error_response(request.message_id, error)
        return CacheResponse.FromString(answer)


async def serve_router(
    listen_url: str,
    backend: Backend,
    *,
    tokens: TokenPolicy,
    options: ConnectionOptions | None = None,
    tls: TLSOption | None = None,
    reuse_port: bool = False,
) -> ServerListening:
    """Serve clients on ``listen_url`` until the result is closed; ``backend`` leads to the storages.

    Over a ``ProtosocketBackend`` the native relay forwards each command without looking at its payload.
    ``reuse_port`` lets several processes share one port. Raises ``OptionError`` when other machines could
    reach it and ``tokens`` is empty, ``AddressError`` and ``ConnectError`` when it cannot listen.
    """
    require_tokens(listen_url, tokens)
    settings = options or ConnectionOptions()
    if not isinstance(backend, ProtosocketBackend):
        return ServerListening(
            await rpc.serve(
                listen_url,
                lambda: _ForwardedClient(backend, tokens),
                cache_codec(),
                options=settings,
                tls=tls,
                reuse_port=reuse_port,
            )
        )
    server: Server[_RelayedClient] = Server(settings)
    await open_server(
        server,
        listen_url,
        lambda: _RelayedClient(backend, tokens, settings, server),
        settings,
        tls,
        reuse_port=reuse_port,
        backlog=1024,
    )
    return ServerListening(server)
