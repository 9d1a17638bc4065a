"""A client of the cache over protosocket."""

from __future__ import annotations

from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar

from protosocket import rpc
from protosocket._core import CacheCalls
from protosocket.cache.client import CommandMethods
from protosocket.cache.commands import Command, cache_error
from protosocket.cache.commands.authenticate import AUTHENTICATE
from protosocket.cache.commands.delete import DELETE
from protosocket.cache.commands.get import GET
from protosocket.cache.commands.set import SET
from protosocket.cache.commands.times import ttl_milliseconds
from protosocket.cache.protosocket_cache_pb2 import UNAVAILABLE
from protosocket.cache.protosocket_codec import EncodedCodec
from protosocket.cache.results import GetResult
from protosocket.connection import TLSOption, parse_address
from protosocket.errors import CancelledRemotely, ConnectError, ConnectionClosed
from protosocket.options import ConnectionOptions

__all__ = ["ProtosocketCacheClient"]

R = TypeVar("R")

_NO_ANSWER = (ConnectError, ConnectionClosed, CancelledRemotely)


class ProtosocketCacheClient(CacheCalls[GetResult], CommandMethods):
    """Implements ``CacheClient`` over ``connections`` protosocket connections to ``url``.

    Connections are made when they are first needed, and made again when they were lost; each begins with
    Authenticate when there is a ``token``. To be made inside a running event loop. Raises ``AddressError``
    and ``OptionError`` for what cannot be used. ``get``, ``set`` and ``delete`` have native forms: a
    coroutine of Python's around a call would cost as much as the call.
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
        self._client: rpc.Client[bytes, bytes] = rpc.Client(
            parse_address(url),
            EncodedCodec(),
            connections,
            options or ConnectionOptions(),
            tls,
            greet=None if token is None else self._authenticate,
        )
        self._call_with(self._client, (GET.read, SET.read, DELETE.read), _failure, ttl_milliseconds)

    async def close(self) -> None:
        """Close the connections; calls still waiting fail with ``CacheUnavailable``. Again does nothing."""
        await self._client.close()

    def _carry(
        self, command: Command[..., R], request: bytes, timeout: float | None
    ) -> Coroutine[Any, Any, R]:
        return self._call(request, command.read, timeout)

    async def _authenticate(self, call: rpc.FirstCall[bytes, bytes]) -> None:
        assert self._token is not None
        AUTHENTICATE.read(await call(AUTHENTICATE.request(self._token)))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        await self.close()


def _failure(error: BaseException) -> BaseException:
    """What a call raises for what ended it."""
    if not isinstance(error, _NO_ANSWER):
        return error
    unavailable = cache_error(UNAVAILABLE, str(error))
    unavailable.__cause__ = error
    return unavailable
