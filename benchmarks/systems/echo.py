"""A raw TCP echo on uvloop with protosocket's bytes per operation: the floor for an asyncio loop that sleeps.

No messages, no parsing: the server writes back what it reads, the client counts bytes. Each operation sends
half of the bytes that a protobuf request and its response take together, and gets them back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

from benchmarks.client import CacheDriver, host_and_port, in_batches

if TYPE_CHECKING:
    from collections.abc import Callable

    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["driver", "serve"]

# Of both messages together: length prefixes, ids, field tags and lengths around the key and the value.
OVERHEAD = 26


class Echo(asyncio.Protocol):
    """Writes back what it reads."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are not asyncio.Transport to isinstance.
        self._write = cast("asyncio.Transport", transport).write

    def data_received(self, data: bytes) -> None:
        """Write it back."""
        self._write(data)


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0)
    announce(f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await asyncio.Event().wait()


class EchoConnection(asyncio.Protocol):
    """Ends operations in the order they were sent, as their bytes come back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)
        self.waiting: deque[tuple[int, asyncio.Future[bytes | None], bytes | None]] = deque()
        self._sent = 0
        self._received = 0

    def send(self, message: bytes, result: bytes | None) -> asyncio.Future[bytes | None]:
        """Done, with ``result``, when as many bytes have come back."""
        future: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._sent += len(message)
        self.waiting.append((self._sent, future, result))
        self.transport.write(message)
        return future

    def data_received(self, data: bytes) -> None:
        """End what has come back whole."""
        self._received += len(data)
        waiting, received = self.waiting, self._received
        while waiting and waiting[0][0] <= received:
            _, future, result = waiting.popleft()
            if not future.done():
                future.set_result(result)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what has not come back."""
        for _, future, _ in self.waiting:
            if not future.done():
                future.set_exception(ConnectionResetError("the echo went away"))
        self.waiting.clear()


class EchoDriver(CacheDriver):
    """Sends as many bytes as each operation has; connections take turns."""

    async def start(self) -> None:
        """Make every connection."""
        host, port = host_and_port(self.endpoint.urls[0])
        loop = asyncio.get_running_loop()
        self._connections: list[EchoConnection] = []

        async def connect() -> None:
            _, connection = await loop.create_connection(EchoConnection, host, port)
            self._connections.append(connection)

        await in_batches([connect() for _ in range(self.endpoint.connections)])
        self._turn = 0
        self._value = bytes(self.operations.lengths[0])
        self._message = bytes((len(self.operations.keys[0]) + len(self._value) + OVERHEAD) // 2)

    def _connection(self) -> EchoConnection:
        self._turn = (self._turn + 1) % len(self._connections)
        return self._connections[self._turn]

    def get(self, key: bytes) -> asyncio.Future[bytes | None]:
        """The bytes of a get there and back."""
        return self._connection().send(self._message, self._value)

    def set(self, key: bytes, value: bytes) -> asyncio.Future[bytes | None]:
        """The bytes of a set there and back."""
        return self._connection().send(self._message, None)

    async def close(self) -> None:
        """Disconnect."""
        for connection in self._connections:
            connection.transport.close()


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return EchoDriver(endpoint, operations)
