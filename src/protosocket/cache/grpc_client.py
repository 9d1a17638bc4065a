"""The cache's client over gRPC."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self, TypeVar

import grpc
from grpc import aio

from protosocket.cache.client import CommandMethods
from protosocket.cache.commands import TABLE, Command, cache_error
from protosocket.cache.grpc_channel import open_channel, token_metadata
from protosocket.cache.grpc_server import SERVICE
from protosocket.cache.protosocket_cache_pb2 import UNAVAILABLE
from protosocket.errors import DeadlineExceeded, Error

__all__ = ["GrpcCacheClient"]

R = TypeVar("R")


class GrpcCacheClient(CommandMethods):
    """A :class:`protosocket.cache.CacheClient` of one unary gRPC call per command.

    ``url`` is ``grpc://host:port`` of a router or a storage. ``token`` (default: none) is shown with every
    call. It connects with the first call. Raises ``AddressError`` for a bad URL.
    """

    def __init__(self, url: str, *, token: str | None = None) -> None:
        self._url = url
        self._channel = open_channel(url)
        self._metadata = token_metadata(token)
        # No (de)serialisers: the table makes and reads bytes.
        self._methods: dict[str, aio.UnaryUnaryMultiCallable[bytes, bytes]] = {
            command.method: self._channel.unary_unary(f"/{SERVICE}/{command.method}")
            for command in TABLE
            if command.method
        }
        self._closed = False

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

    async def _carry(self, command: Command[..., R], request: bytes, timeout: float | None) -> R:
        method = self._methods[command.method]
        if self._closed:
            raise cache_error(UNAVAILABLE, "the client was closed")
        try:
            answer = await method(request, timeout=timeout, metadata=self._metadata)
        except aio.AioRpcError as error:
            raise self._error(error, timeout) from error
        except asyncio.CancelledError:
            # Closing a channel cancels its calls, not the tasks that wait for them.
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise cache_error(UNAVAILABLE, "the client was closed") from None
            raise
        return command.read(answer)

    def _error(self, error: aio.AioRpcError, timeout: float | None) -> Error:
        code = error.code()
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and timeout is not None:
            return DeadlineExceeded(f"no answer from {self._url} in {timeout} s", timeout=timeout)
        return cache_error(code.value[0], f"{self._url}: {error.details()}")
