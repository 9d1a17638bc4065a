"""A router's protosocket connections to its storages: kept alive, found by key."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from typing import Self

from protosocket._core import RelayBack, RelayRoutes
from protosocket.cache.commands import cache_error
from protosocket.cache.protosocket_cache_pb2 import (
    UNAVAILABLE,
    AuthenticateCommand,
    CacheCommand,
    CacheResponse,
    CommandError,
    Unary,
)
from protosocket.cache.protosocket_codec import COMMAND_FIELD, KEY_FIELD, KEYED_FIELDS, relay_layouts
from protosocket.cache.ring import Ring
from protosocket.connection import Address, ConnectionProtocol, TLSOption, open_transport, parse_address
from protosocket.errors import CacheError, Error, OptionError
from protosocket.options import ConnectionOptions

__all__ = ["ProtosocketBackend"]

_logger = logging.getLogger("protosocket")

# Commands that may wait for one connection's answers before clients are made to wait.
_MAX_CALLS = 65_536

# How long to wait before a storage that is down is tried again: doubled from the first to the last, seconds.
_FIRST_RETRY = 0.05
_LAST_RETRY = 1.0


class StorageConnection(RelayBack, ConnectionProtocol):
    """One connection to one storage."""

    def __new__(cls, backend: ProtosocketBackend, storage: int, options: ConnectionOptions) -> Self:
        return super().__new__(
            cls, backend.routes, storage, options.receive_limit, options.send_queue_bytes, _MAX_CALLS
        )

    def __init__(self, backend: ProtosocketBackend, storage: int, options: ConnectionOptions) -> None:
        self._setup(options)
        self._backend = backend

    def _ended(self) -> None:
        self._backend.routes._remove(self)
        for future in self._abandon():
            if not future.done():
                future.set_exception(_unavailable(self.peer))

    async def authenticate(self, token: str) -> None:
        """Show ``token`` to the storage; raises ``Unauthenticated`` if it is not accepted."""
        command = CacheCommand(unary=Unary(auth=AuthenticateCommand(token=token)))
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._forward(command.SerializeToString(), 0, future)
        response = CacheResponse.FromString(await future)
        if response.WhichOneof("kind") == "error":
            raise cache_error(response.error.code, response.error.message)


class ProtosocketBackend:
    """Connections to every storage, ``connections`` to each, made again whenever they are lost.

    Implements ``Backend``; ``routes`` is what the native relay uses. To be made inside a running event
    loop. ``token`` is shown to the storages. Raises ``OptionError`` and ``AddressError`` for a list of
    storages that cannot be used.
    """

    def __init__(
        self,
        storages: Sequence[str],
        *,
        connections: int = 1,
        token: str | None = None,
        options: ConnectionOptions | None = None,
        tls: TLSOption | None = None,
    ) -> None:
        if connections < 1:
            raise OptionError(f"connections is a whole number of at least 1, not {connections!r}")
        self._addresses = [parse_address(url) for url in storages]
        self._ring = Ring(storages)
        self._options = options or ConnectionOptions()
        self._tls = tls
        self._token = token
        self._turn = 0
        requests, responses = relay_layouts()
        bodies = [_unavailable_response(str(address)) for address in self._addresses]
        self.routes = RelayRoutes(
            requests, responses, self._ring.points, bodies, COMMAND_FIELD, KEYED_FIELDS, KEY_FIELD
        )
        self._connected = [asyncio.Event() for _ in self._addresses]
        self._keepers = [
            asyncio.create_task(self._keep(storage, address), name=f"storage connection {address}")
            for storage, address in enumerate(self._addresses)
            for _ in range(connections)
        ]

    def call(self, key: bytes, message_id: int, command: bytes, /) -> Awaitable[bytes]:
        """The encoded answer to the encoded ``command``; see ``Backend``."""
        self._turn += 1
        link = self.routes._link_for(key, self._turn)
        if link is None:
            raise _unavailable(str(self._addresses[self._ring.get(key)]))
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if link._forward(command, message_id, future):
            return future
        return self._call_later(key, message_id, command)

    async def _call_later(self, key: bytes, message_id: int, command: bytes) -> bytes:
        """A call that found the connection's send queue full."""
        while True:
            link = self.routes._link_for(key, self._turn)
            if not isinstance(link, StorageConnection):
                raise _unavailable(str(self._addresses[self._ring.get(key)]))
            await link._until_room()
            future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
            if link._forward(command, message_id, future):
                return await future
            await asyncio.sleep(0)

    async def connect(self, timeout: float) -> None:
        """Wait until every storage is connected, ``timeout`` seconds at most; see ``Backend``."""
        waiting = [asyncio.ensure_future(event.wait()) for event in self._connected]
        _, late = await asyncio.wait(waiting, timeout=timeout)
        for task in late:
            task.cancel()

    async def close(self) -> None:
        """Close the connections; calls still waiting fail with ``CacheUnavailable``. Again does nothing."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    async def _keep(self, storage: int, address: Address) -> None:
        """Keep one connection to a storage: connect, use, and again when it is lost."""
        retry = _FIRST_RETRY
        while True:
            connection: StorageConnection | None = None
            try:
                _, connection = await open_transport(
                    address, lambda: StorageConnection(self, storage, self._options), self._options, self._tls
                )
                if self._token is not None:
                    async with asyncio.timeout(self._options.connect_timeout):
                        await connection.authenticate(self._token)
                self.routes._add(connection)
                self._connected[storage].set()
                _logger.info("connected to storage %s", address)
                retry = _FIRST_RETRY
                await connection.wait_closed()
                _logger.warning("lost the connection to storage %s", address)
            except (Error, TimeoutError) as error:
                log = _logger.error if isinstance(error, CacheError) else _logger.debug
                log("storage %s cannot be used, next try in %.2f s: %s", address, retry, error)
            finally:
                if connection is not None:
                    await connection.close()
            await asyncio.sleep(retry)
            retry = min(2 * retry, _LAST_RETRY)


def _unavailable(storage: str) -> CacheError:
    return cache_error(UNAVAILABLE, f"the storage {storage} is down")


def _unavailable_response(storage: str) -> bytes:
    error = CommandError(code=UNAVAILABLE, message=f"the storage {storage} is down")
    return CacheResponse(error=error).SerializeToString()
