"""A storage of the cache, served over protosocket."""

from __future__ import annotations

from dataclasses import replace

from protosocket import rpc
from protosocket.cache.auth import TokenPolicy, require_tokens
from protosocket.cache.authentication import answer_unforwarded
from protosocket.cache.protosocket_cache_pb2 import CacheCommand, CacheResponse
from protosocket.cache.protosocket_codec import cache_codec
from protosocket.cache.protosocket_listening import ServerListening
from protosocket.cache.storage import StorageHandler
from protosocket.connection import TLSOption
from protosocket.options import ConnectionOptions

__all__ = ["serve_storage"]

# Bytes of a message id. A router's is longer than its client's may be, and a command that the router just
# took has to fit here too: too large a message would end the connection of all its clients.
_LONGEST_ID = 11


class _Storage(rpc.Service):
    """One connection: commands are carried out once a token was accepted, or none is needed."""

    def __init__(self, handler: StorageHandler, tokens: TokenPolicy) -> None:
        self._handle = handler.carry_out
        self._tokens = tokens
        self._open = not tokens.required

    def unary(self, request: CacheCommand) -> CacheResponse:  # type: ignore[override]
        if self._open and not request.unary.HasField("auth"):
            return self._handle(request)
        response, opened = answer_unforwarded(request, self._tokens)
        self._open |= opened
        return response


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
        listen_url, lambda: _Storage(handler, tokens), cache_codec(), options=settings, tls=tls
    )
    return ServerListening(server)
