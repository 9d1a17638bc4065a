"""The cache's client over gRPC."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import grpc
from grpc import aio

from protosocket.cache.commands import (
    cache_error,
    delete_command,
    get_command,
    read_delete,
    read_get,
    read_set,
    set_command,
)
from protosocket.cache.grpc_channel import open_channel, token_metadata
from protosocket.cache.grpc_server import SERVICE
from protosocket.cache.protosocket_cache_pb2 import UNAVAILABLE, CacheCommand, CacheResponse
from protosocket.cache.results import GetResult
from protosocket.errors import DeadlineExceeded, Error

__all__ = ["GrpcCacheClient"]


class GrpcCacheClient:
    """A :class:`protosocket.cache.interface.CacheClient` of one unary gRPC call per command.

    ``url`` is ``grpc://host:port`` of a router or a storage. ``token`` (default: none) is shown with every
    call. It connects with the first call. Raises ``AddressError`` for a bad URL.
    """

    def __init__(self, url: str, *, token: str | None = None) -> None:
        self._url = url
        self._channel = open_channel(url)
        self._metadata = token_metadata(token)
        self._get = self._method("Get")
        self._set = self._method("Set")
        self._delete = self._method("Delete")
        self._closed = False

    async def get(self, namespace: str, key: bytes, *, timeout: float | None = None) -> GetResult:
        """``Hit`` with the value, or ``Miss``; see ``CacheClient`` for timeouts, cancelling and errors."""
        return read_get(await self._call(self._get, get_command(namespace, key), timeout))

    async def set(
        self, namespace: str, key: bytes, value: bytes, ttl: float, *, timeout: float | None = None
    ) -> None:
        """Store ``value`` for ``ttl`` seconds; see ``CacheClient`` for timeouts, cancelling and errors."""
        read_set(await self._call(self._set, set_command(namespace, key, value, ttl), timeout))

    async def delete(self, namespace: str, key: bytes, *, timeout: float | None = None) -> None:
        """Remove the key; see ``CacheClient`` for timeouts, cancelling and errors."""
        read_delete(await self._call(self._delete, delete_command(namespace, key), timeout))

    async def close(self) -> None:
        """Close the connection; calls still waiting fail with ``CacheUnavailable``. Again does nothing."""
        self._closed = True
        await self._channel.close()

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """Close the client."""
        await self.close()

    def _method(self, name: str) -> aio.UnaryUnaryMultiCallable[CacheCommand, CacheResponse]:
        return self._channel.unary_unary(
            f"/{SERVICE}/{name}",
            request_serializer=CacheCommand.SerializeToString,
            response_deserializer=CacheResponse.FromString,
        )

    async def _call(
        self,
        method: aio.UnaryUnaryMultiCallable[CacheCommand, CacheResponse],
        command: CacheCommand,
        timeout: float | None,
    ) -> CacheResponse:
        if self._closed:
            raise cache_error(UNAVAILABLE, "the client was closed")
        try:
            return await method(command, timeout=timeout, metadata=self._metadata)
        except aio.AioRpcError as error:
            raise self._error(error, timeout) from error
        except asyncio.CancelledError:
            # Closing a channel cancels its calls, not the tasks that wait for them.
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise cache_error(UNAVAILABLE, "the client was closed") from None
            raise

    def _error(self, error: aio.AioRpcError, timeout: float | None) -> Error:
        code = error.code()
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and timeout is not None:
            return DeadlineExceeded(f"no answer from {self._url} in {timeout} s", timeout=timeout)
        return cache_error(code.value[0], f"{self._url}: {error.details()}")
