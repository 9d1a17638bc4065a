"""A client of the cache over protosocket."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

from protosocket import rpc
from protosocket.cache.commands import cache_error
from protosocket.cache.protosocket_cache_pb2 import UNAVAILABLE
from protosocket.cache.protosocket_messages import (
    authenticate_command,
    delete_command,
    get_command,
    native_cache_codec,
    read_get,
    read_nothing,
    set_command,
)
from protosocket.cache.results import GetResult
from protosocket.connection import TLSOption, parse_address
from protosocket.errors import CacheError, CancelledRemotely, ConnectError, ConnectionClosed
from protosocket.options import ConnectionOptions

__all__ = ["ProtosocketCacheClient"]

_NO_ANSWER = (ConnectError, ConnectionClosed, CancelledRemotely)


class ProtosocketCacheClient:
    """Implements ``CacheClient`` over ``connections`` protosocket connections to ``url``.

    Connections are made when they are first needed, and made again when they were lost; each begins with
    Authenticate when there is a ``token``. To be made inside a running event loop. Raises ``AddressError``
    and ``OptionError`` for what cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        connections: int = 1,
        options: ConnectionOptions | None = None,
        tls: TLSOption | None = None,
    ) -> None:
        self._url = url
        self._token = token
        self._closed = False
        self._client: rpc.Client[Any, Any] = rpc.Client(
            parse_address(url),
            native_cache_codec(),
            connections,
            options or ConnectionOptions(),
            tls,
            greet=None if token is None else self._authenticate,
        )

    async def get(self, namespace: str, key: bytes, *, timeout: float | None = None) -> GetResult:
        """``Hit`` with the value, or ``Miss``; see ``CacheClient``."""
        try:
            response = await self._client.unary(get_command(namespace, key), timeout=timeout)
        except _NO_ANSWER as error:
            raise _unavailable(error) from error
        except asyncio.CancelledError:
            self._if_closed()
            raise
        return read_get(response)

    async def set(
        self, namespace: str, key: bytes, value: bytes, ttl: float, *, timeout: float | None = None
    ) -> None:
        """Store ``value`` for ``ttl`` seconds; see ``CacheClient``."""
        try:
            response = await self._client.unary(set_command(namespace, key, value, ttl), timeout=timeout)
        except _NO_ANSWER as error:
            raise _unavailable(error) from error
        except asyncio.CancelledError:
            self._if_closed()
            raise
        read_nothing(response, "set")

    async def delete(self, namespace: str, key: bytes, *, timeout: float | None = None) -> None:
        """Remove the key; see ``CacheClient``."""
        try:
            response = await self._client.unary(delete_command(namespace, key), timeout=timeout)
        except _NO_ANSWER as error:
            raise _unavailable(error) from error
        except asyncio.CancelledError:
            self._if_closed()
            raise
        read_nothing(response, "delete")

    async def close(self) -> None:
        """Close the connections; calls still waiting fail with ``CacheUnavailable``. Again does nothing."""
        self._closed = True
        await self._client.close()

    def _if_closed(self) -> None:
        """Raise what closing means for a call that it cancelled while it waited for its connection."""
        task = asyncio.current_task()
        if self._closed and task is not None and not task.cancelling():
            raise cache_error(UNAVAILABLE, "the client was closed") from None

    async def _authenticate(self, call: rpc.FirstCall[Any, Any]) -> None:
        assert self._token is not None
        response = await call(authenticate_command(self._token))
        if response.error is not None:
            raise cache_error(response.error.code, response.error.message)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self.close()


def _unavailable(error: Exception) -> CacheError:
    return cache_error(UNAVAILABLE, str(error))
