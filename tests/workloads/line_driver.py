"""A driver for a line server: real TCP, so that the load generator is tested without the cache."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from protosocket.bench.operations import Verb

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from protosocket.bench.driver import Endpoint, Verdict
    from protosocket.bench.operations import Operations


class LineDriver(asyncio.Protocol):
    """Sends ``VERB key [value]`` lines on one connection; answers come in order: ``+value``, ``-``,
    ``!kind``.
    """

    def __init__(self, endpoint: Endpoint, operations: Operations) -> None:
        self._url = urlsplit(endpoint.urls[0])
        self._operations = operations
        self._waiting: list[asyncio.Future[bytes]] = []
        self._rest = b""
        self._transport: asyncio.Transport | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        host, port = self._url.hostname, self._url.port
        assert host is not None
        assert port is not None
        self._transport, _ = await loop.create_connection(lambda: self, host, port)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            future = self._waiting.pop(0)
            if future.done():
                continue
            if line.startswith(b"!"):
                future.set_exception(RuntimeError(line[1:].decode()))
            else:
                future.set_result(line)

    def connection_lost(self, exc: Exception | None) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_exception(ConnectionResetError("the server went away"))
        self._waiting.clear()

    def _send(self, verb: Verb, key: bytes, value: bytes) -> Awaitable[bytes]:
        assert self._transport is not None
        if self._transport.is_closing():
            raise ConnectionResetError("the server went away")
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._transport.write(b"%s %s %s\n" % (verb.name.encode(), key, value.hex().encode()))
        return future

    def call(self, index: int) -> Awaitable[object]:
        operations = self._operations
        return self._send(operations.verbs[index], operations.keys[index], operations.values[index])

    def verify(self, index: int, answer: object) -> Verdict:
        assert isinstance(answer, bytes)
        if self._operations.verbs[index] is not Verb.GET:
            return None
        if answer == b"-":
            return "miss"
        return None if len(answer) - 1 == 2 * self._operations.lengths[index] else "wrong length"

    async def prefill(self, number: int) -> None:
        key, value, _ = self._operations.prefill[number]
        await self._send(Verb.SET, key, value)

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
