"""A router's protosocket connections to its storages: kept alive, found by key."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Sequence
from itertools import count
from typing import Self

from protosocket._core import RelayBack, RelayRoutes
from protosocket.cache.commands import cache_error
from protosocket.cache.protosocket_cache_pb2 import (
    INVALID_ARGUMENT,
    UNAVAILABLE,
    AuthenticateCommand,
    CacheCommand,
    CacheResponse,
    CommandError,
    Unary,
)
from protosocket.cache.protosocket_codec import relay_routes
from protosocket.cache.ring import Ring
from protosocket.connection import Address, ConnectionProtocol, TLSOption, open_transport, parse_address
from protosocket.errors import CacheError, Error, OptionError
from protosocket.event_loops import background_task
from protosocket.limited_log import limited_log
from protosocket.options import ConnectionOptions

__all__ = ["ProtosocketBackend"]

# Commands that may wait for one connection's answers before clients are made to wait.
_MAX_CALLS = 65_536

# How long to wait before a storage that is down is tried again: doubled from the first to the last, seconds.
# A connection that lived longer than the last begins with the first again.
_FIRST_RETRY = 0.05
_LAST_RETRY = 1.0


class _Answer(asyncio.Future[bytes]):
    """The answer to a call of Python code; cancelling it cancels the command at the storage."""

    def __init__(self, connection: StorageConnection, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self._connection = connection
        self.call_id = 0
        """Under which id the command travels; 0 as long as it was not sent."""

    def cancel(self, msg: object = None) -> bool:
        cancelled = super().cancel(msg)
        if cancelled:
            self._connection.give_up(self.call_id)
        return cancelled


class StorageConnection(RelayBack, ConnectionProtocol):
    """One connection to one storage."""

    def __new__(cls, backend: ProtosocketBackend, storage: int, options: ConnectionOptions) -> Self:
        return super().__new__(
            cls, backend.routes, storage, options.receive_limit, options.send_queue_bytes, _MAX_CALLS
        )

    def __init__(self, backend: ProtosocketBackend, storage: int, options: ConnectionOptions) -> None:
        self._setup(options)
        self._backend = backend
        self._storage = storage

    def call(self, message_id: int, command: bytes) -> asyncio.Future[bytes] | None:
        """Send ``command``; its answer, or ``None`` if there is no room for it."""
        answer = _Answer(self, self._loop)
        try:
            answer.call_id = self.forward(command, message_id, answer)
        except ValueError as error:
            raise cache_error(INVALID_ARGUMENT, f"not a CacheCommand: {error}") from error
        return answer if answer.call_id else None

    async def until_room(self) -> None:
        """Wait until there may be room again, after ``call`` found none, or the connection has ended."""
        waiter = self._loop.create_future()
        self._room_waiters.append(waiter)
        try:
            await waiter
        finally:
            with contextlib.suppress(ValueError):
                self._room_waiters.remove(waiter)

    async def authenticate(self, token: str) -> None:
        """Show ``token`` to the storage; raises ``Unauthenticated`` if it is not accepted."""
        command = CacheCommand(unary=Unary(auth=AuthenticateCommand(token=token)))
        answer = self.call(0, command.SerializeToString())
        if answer is None:
            raise self._backend.down(self._storage)
        response = CacheResponse.FromString(await answer)
        if response.WhichOneof("kind") == "error":
            raise cache_error(response.error.code, response.error.message)

    def abort(self) -> None:
        """Cut the connection off; what is queued and what was not answered is lost. May be repeated."""
        super().abort()
        self._retire()

    def _begin_closing(self) -> None:
        super()._begin_closing()
        self._retire()

    def _ended(self) -> None:
        self._retire()

    def _retire(self) -> None:
        """Nothing more goes this way or comes from there: let those who wait know at once."""
        self._backend.routes.remove(self)
        for answer in self.abandon():
            if not answer.done():
                answer.set_exception(self._backend.down(self._storage))


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
        self._options = options or ConnectionOptions()
        self._tls = tls
        self._token = token
        self._turn = 0
        self.routes = relay_routes(
            # By where they lead, however that is written.
            Ring([str(address.place) for address in self._addresses]),
            [_unavailable_response(address) for address in self._addresses],
        )
        self._connected = [asyncio.Event() for _ in self._addresses]
        self._keys = _key_of_each(self.routes, len(self._addresses))
        self._keepers = [
            background_task(
                asyncio.get_running_loop(), self._keep(storage, address), f"storage connection {address}"
            )
            for storage, address in enumerate(self._addresses)
            for _ in range(connections)
        ]

    def call(self, key: bytes, message_id: int, command: bytes, /) -> Awaitable[bytes]:
        """The encoded answer to the encoded ``command``; see ``Backend``. Cancelling tells the storage."""
        self._turn += 1
        answer = self._connection(key, self._turn).call(message_id, command)
        return self._call_later(key, message_id, command, self._turn) if answer is None else answer

    def call_each(self, command: bytes) -> list[Awaitable[bytes]]:
        """The answers of all storages to one encoded command; each as from ``call``."""
        return [self._call(key, command) for key in self._keys]

    @property
    def largest_command(self) -> int:
        """Bytes that a command may have; a larger one would end the connection to its storage."""
        return self._options.receive_limit

    async def connect(self, timeout: float) -> None:
        """Wait until every storage is connected, ``timeout`` seconds at most; see ``Backend``."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                for event in self._connected:
                    await event.wait()

    async def close(self) -> None:
        """Close the connections; calls still waiting fail with ``CacheUnavailable``. Again does nothing."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)

    def down(self, storage: int) -> CacheError:
        """The error of a call to a storage that is down."""
        return cache_error(UNAVAILABLE, _down(self._addresses[storage]))

    def _connection(self, key: bytes, turn: int) -> StorageConnection:
        connection = self.routes.connection_for(key, turn)
        if isinstance(connection, StorageConnection):
            return connection
        raise self.down(self.routes.storage_of(key))

    async def _call(self, key: bytes, command: bytes) -> bytes:
        return await self.call(key, 0, command)

    async def _call_later(self, key: bytes, message_id: int, command: bytes, turn: int) -> bytes:
        """A call that found no room on the connection."""
        while True:
            connection = self._connection(key, turn)
            answer = connection.call(message_id, command)
            if answer is not None:
                return await answer
            await connection.until_room()

    async def _keep(self, storage: int, address: Address) -> None:
        """Keep one connection to a storage: connect, use, and again when it is lost."""
        loop = asyncio.get_running_loop()
        retry = _FIRST_RETRY
        told = False
        while True:
            began = loop.time()
            try:
                await self._use(storage, address)
                limited_log.warning("lost the connection to storage %s", address)
                told = False
            except (Error, TimeoutError) as error:
                # Told once: it is tried again and again.
                level = logging.DEBUG if told else logging.WARNING
                limited_log.log(level, "storage %s cannot be used, trying again: %s", address, error)
                told = True
            if loop.time() - began > _LAST_RETRY:
                retry = _FIRST_RETRY
            await asyncio.sleep(retry)
            retry = min(2 * retry, _LAST_RETRY)

    async def _use(self, storage: int, address: Address) -> None:
        """Connect to a storage and send commands there until the connection is lost."""
        _, connection = await open_transport(
            address, lambda: StorageConnection(self, storage, self._options), self._options, self._tls
        )
        try:
            if self._token is not None:
                async with asyncio.timeout(self._options.connect_timeout):
                    await connection.authenticate(self._token)
            if not connection.closed:
                self.routes.add(connection)
                self._connected[storage].set()
                limited_log.log(logging.INFO, "connected to storage %s", address)
            await connection.wait_closed()
        finally:
            await connection.close()
            if not self.routes.connections(storage):
                self._connected[storage].clear()


def _key_of_each(routes: RelayRoutes, storages: int) -> list[bytes]:
    """A key for each storage that it owns: the way to a certain storage."""
    keys: dict[int, bytes] = {}
    for number in count():
        if len(keys) == storages:
            return [keys[storage] for storage in range(storages)]
        key = b"%d" % number
        keys.setdefault(routes.storage_of(key), key)
    raise AssertionError("counting does not end")


def _down(storage: Address) -> str:
    return f"the storage {storage} is down"


def _unavailable_response(storage: Address) -> bytes:
    error = CommandError(code=UNAVAILABLE, message=_down(storage))
    return CacheResponse(error=error).SerializeToString()
