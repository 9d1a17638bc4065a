"""A client of the cache over protosocket."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

from protosocket import rpc
from protosocket.cache.commands import cache_error
from protosocket.cache.protosocket_cache_pb2 import UNAVAILABLE
from protosocket.cache.protosocket_commands import (
    EncodedCodec,
    authenticate_command,
    delete_command,
    get_command,
    read_authenticated,
    read_delete,
    read_get,
    read_set,
    set_command,
)
from protosocket.cache.results import GetResult
from protosocket.connection import TLSOption, parse_address
from protosocket.errors import CancelledRemotely, ConnectError, ConnectionClosed
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
        self._client: rpc.Client[bytes, bytes] = rpc.Client(
            parse_address(url),
            EncodedCodec(),
            connections,
            options or ConnectionOptions(),
            tls,
            greet=None if token is None else self._authenticate,
        )
        self._call = self._client.unary_read

    # The three are ordinary functions that give the native half's coroutine: one of Python's around it would
    # cost as much as the call.

    def get(
        self, namespace: str, key: bytes, *, timeout: float | None = None
    ) -> Coroutine[Any, Any, GetResult]:
        """``Hit`` with the value, or ``Miss``; see ``CacheClient``."""
        return self._call(get_command(namespace, key), timeout, read_get, self._failed)

    def set(
        self, namespace: str, key: bytes, value: bytes, ttl: float, *, timeout: float | None = None
    ) -> Coroutine[Any, Any, None]:
        """Store ``value`` for ``ttl`` seconds; see ``CacheClient``. Raises ``OptionError`` for a ``ttl`` that
        is none, before it is awaited.
        """
        return self._call(set_command(namespace, key, value, ttl), timeout, read_set, self._failed)

    def delete(
        self, namespace: str, key: bytes, *, timeout: float | None = None
    ) -> Coroutine[Any, Any, None]:
        """Remove the key; see ``CacheClient``."""
        return self._call(delete_command(namespace, key), timeout, read_delete, self._failed)

    async def close(self) -> None:
        """Close the connections; calls still waiting fail with ``CacheUnavailable``. Again does nothing."""
        self._closed = True
        await self._client.close()

    def _failed(self, error: BaseException) -> BaseException:
        """What to raise for what ended a call."""
        if isinstance(error, _NO_ANSWER):
            unavailable = cache_error(UNAVAILABLE, str(error))
            unavailable.__cause__ = error
            return unavailable
        if isinstance(error, asyncio.CancelledError) and self._closed:
            # Closing cancels a call that waits for its connection.
            task = asyncio.current_task()
            if task is not None and not task.cancelling():
                return cache_error(UNAVAILABLE, "the client was closed")
        return error

    async def _authenticate(self, call: rpc.FirstCall[bytes, bytes]) -> None:
        assert self._token is not None
        read_authenticated(await call(authenticate_command(self._token)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self.close()
