"""A storage of the cache, served over protosocket."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from protosocket import rpc
from protosocket._core import CacheCommands, CacheEngine
from protosocket.cache.auth import TokenPolicy, require_tokens
from protosocket.cache.authentication import answer_unforwarded
from protosocket.cache.commands import execute
from protosocket.cache.protosocket_listening import ServerListening
from protosocket.cache.protosocket_messages import MESSAGES, native_cache_codec
from protosocket.cache.storage import StorageHandler
from protosocket.connection import TLSOption
from protosocket.options import ConnectionOptions

if TYPE_CHECKING:
    from protosocket.cache.protosocket_cache_pb2 import CacheCommand

__all__ = ["serve_storage"]

# Bytes of a message id. A router's is longer than its client's may be, and a command that the router just
# took has to fit here too: too large a message would end the connection of all its clients.
_LONGEST_ID = 11


class _Storage(rpc.Service):
    """One connection: commands are executed once a token was accepted, or none is needed."""

    def __init__(self, handler: StorageHandler, tokens: TokenPolicy) -> None:
        self._engine = handler.engine
        self._tokens = tokens
        self._open = False
        self._native: CacheCommands | None = None
        if isinstance(self._engine, CacheEngine):
            # What most connections are about is executed without `unary`, or any other Python.
            self._native = CacheCommands(self._engine, self.unary)
            self.unary = self._native  # type: ignore[method-assign]
        if not tokens.required:
            self._opened()

    def _opened(self) -> None:
        self._open = True
        if self._native is not None:
            self._native.open()

    def disconnected(self) -> None:
        # It holds this object, which then goes with its connection and not with the garbage collector.
        self._native = None
        self.__dict__.pop("unary", None)

    def unary(self, request: Any) -> Any:
        unary = request.unary
        if self._open and (unary is None or unary.auth is None):
            return execute(self._engine, unary)
        response, opened = answer_unforwarded(
            cast("CacheCommand", MESSAGES.to_protobuf(request)), self._tokens, self._open
        )
        if opened and not self._open:
            self._opened()
        return MESSAGES.from_protobuf(response)


async def serve_storage(
    listen_url: str,
    handler: StorageHandler,
    *,
    tokens: TokenPolicy,
    options: ConnectionOptions | None = None,
    tls: TLSOption | None = None,
) -> ServerListening:
    """Serve ``handler`` on ``listen_url`` until the result is closed.

    Raises ``OptionError`` when other machines could reach it and ``tokens`` is empty, ``AddressError`` and
    ``ConnectError`` when it cannot listen.
    """
    require_tokens(listen_url, tokens)
    settings = options or ConnectionOptions()
    settings = replace(settings, receive_limit=settings.receive_limit + _LONGEST_ID)
    server = await rpc.serve(
        listen_url, lambda: _Storage(handler, tokens), native_cache_codec(), options=settings, tls=tls
    )
    return ServerListening(server)
