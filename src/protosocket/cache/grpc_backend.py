"""The back hops of a router over gRPC: one call per command, or one long stream per storage."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from grpc import aio

from protosocket.cache.commands import cache_error
from protosocket.cache.grpc_address import storage_places
from protosocket.cache.grpc_channel import open_channel, token_metadata
from protosocket.cache.grpc_server import SERVICE
from protosocket.cache.grpc_stream import GrpcStream
from protosocket.cache.protosocket_cache_pb2 import UNAVAILABLE
from protosocket.cache.ring import Ring
from protosocket.errors import OptionError

__all__ = ["GrpcStreamBackend", "GrpcUnaryBackend"]


class GrpcUnaryBackend:
    """One unary gRPC call per command, on ``connections`` channels per storage in turn.

    ``storages`` are ``grpc://host:port``; ``token`` is shown to each. Encoded commands and responses pass
    through as they are. Raises ``OptionError`` or ``AddressError`` when made with senseless ones.
    """

    def __init__(self, storages: Sequence[str], *, connections: int = 1, token: str | None = None) -> None:
        _require_connections(connections)
        self._ring = Ring(storage_places(storages))
        self._channels = [[open_channel(url) for _ in range(connections)] for url in storages]
        # What the method is called does not matter to the server, which reads the command.
        self._calls: list[list[aio.UnaryUnaryMultiCallable[bytes, bytes]]] = [
            [channel.unary_unary(f"/{SERVICE}/Get") for channel in channels] for channels in self._channels
        ]
        self._metadata = token_metadata(token)
        self._turn = 0
        self._connections = connections
        self._closed = False

    async def call(self, key: bytes, message_id: int, command: bytes, /) -> bytes:
        """See :class:`protosocket.cache.interface.Backend`."""
        storage = self._ring.get(key)
        self._turn = turn = (self._turn + 1) % self._connections
        try:
            return await self._calls[storage][turn](command, metadata=self._metadata)
        except aio.AioRpcError as error:
            url = self._ring.addresses[storage]
            detail = f"{url} is not connected ({error.code().name}: {error.details()})"
            raise cache_error(UNAVAILABLE, detail) from error
        except asyncio.CancelledError:
            # Closing a channel cancels its calls, not the tasks that wait for them.
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise cache_error(UNAVAILABLE, "the router is closing") from None
            raise

    async def connect(self, timeout: float) -> None:
        """See :class:`protosocket.cache.interface.Backend`."""
        ready = [
            asyncio.ensure_future(channel.channel_ready())
            for channels in self._channels
            for channel in channels
        ]
        _, late = await asyncio.wait(ready, timeout=timeout)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def close(self) -> None:
        """See :class:`protosocket.cache.interface.Backend`."""
        self._closed = True
        await asyncio.gather(*(channel.close() for channels in self._channels for channel in channels))


class GrpcStreamBackend:
    """``connections`` long-lived gRPC streams per storage, each carrying many commands at once.

    ``storages`` are ``grpc://host:port``; ``token`` is shown to each. To be made inside a running loop.
    Raises ``OptionError`` or ``AddressError`` when made with senseless ones.
    """

    def __init__(self, storages: Sequence[str], *, connections: int = 1, token: str | None = None) -> None:
        _require_connections(connections)
        self._ring = Ring(storage_places(storages))
        self._streams = [[GrpcStream(url, token=token) for _ in range(connections)] for url in storages]
        self._turn = 0
        self._connections = connections

    async def call(self, key: bytes, message_id: int, command: bytes, /) -> bytes:
        """See :class:`protosocket.cache.interface.Backend`."""
        self._turn = turn = (self._turn + 1) % self._connections
        response = await self._streams[self._ring.get(key)][turn].call(message_id, command)
        return response.SerializeToString()

    async def connect(self, timeout: float) -> None:
        """See :class:`protosocket.cache.interface.Backend`."""
        await asyncio.gather(*(stream.connect(timeout) for streams in self._streams for stream in streams))

    async def close(self) -> None:
        """See :class:`protosocket.cache.interface.Backend`."""
        await asyncio.gather(*(stream.close() for streams in self._streams for stream in streams))


def _require_connections(connections: int) -> None:
    if connections < 1:
        raise OptionError(f"connections is at least 1, not {connections}")
