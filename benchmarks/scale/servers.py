"""The servers that are measured: ``python -m benchmarks.scale.servers NAME`` says where it listens.

It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, cast

import uvloop

import protosocket
from benchmarks.scale.messages import CODEC, MESSAGES, OPTIONS
from protosocket import codecs, rpc
from protosocket.cache import TokenPolicy
from protosocket.cache.protosocket_router import ProtosocketBackend, serve_router

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["SERVERS", "serve_worker"]

ANYWHERE = "tcp://127.0.0.1:0"
# Every connection of a run comes at once.
BACKLOG = 16_384


class _Echo(rpc.Service):
    """Answers a set with its value."""

    async def unary(self, request: Any) -> Any:
        value = request.unary.set.value
        return MESSAGES.CacheResponse(get=MESSAGES.GetResponse(value=value))


async def _rpc(stack: AsyncExitStack) -> str:
    """protosocket.rpc, native messages, an async handler."""
    server = rpc.serve(ANYWHERE, _Echo, CODEC, options=OPTIONS, backlog=BACKLOG)
    return (await stack.enter_async_context(server)).addresses[0]


async def serve_worker(url: str) -> protosocket.Server[Any]:
    """The rpc server as one of several processes on a port."""
    return await rpc.serve(url, _Echo, CODEC, options=OPTIONS, backlog=BACKLOG, reuse_port=True)


async def _stream(stack: AsyncExitStack) -> str:
    """A message stream of bytes that sends back what it receives."""

    async def echo(connection: protosocket.Connection[bytes, bytes]) -> None:
        async for message in connection:
            await connection.send(message)

    server = protosocket.listen(ANYWHERE, codecs.Bytes(), echo, options=OPTIONS, backlog=BACKLOG)
    return (await stack.enter_async_context(server)).addresses[0]


async def _router(stack: AsyncExitStack) -> str:
    """A router of the cache, whose storage nobody asks."""
    storage = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    await stack.enter_async_context(storage)
    port = storage.sockets[0].getsockname()[1]
    backend = ProtosocketBackend([f"tcp://127.0.0.1:{port}"])
    stack.push_async_callback(backend.close)
    router = await serve_router(ANYWHERE, backend, tokens=TokenPolicy())
    stack.push_async_callback(router.close)
    return router.url


class _EchoProtocol(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast("asyncio.Transport", transport).write

    def data_received(self, data: bytes) -> None:
        self._write(data)


async def _echo(stack: AsyncExitStack) -> str:
    """The floor: uvloop's transports, a protocol that writes back what it reads, whole or not."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_EchoProtocol, "127.0.0.1", 0, backlog=BACKLOG)
    stack.callback(server.close)
    return f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _streams(stack: AsyncExitStack) -> str:
    """asyncio's streams on uvloop: messages behind a length of four bytes, received whole, sent back."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                header = await reader.readexactly(4)
                writer.write(header)
                writer.write(await reader.readexactly(int.from_bytes(header, "big")))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, backlog=BACKLOG, limit=1 << 20)
    stack.callback(server.close)
    return f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"


SERVERS: dict[str, Callable[[AsyncExitStack], Awaitable[str]]] = {
    "stream": _stream,
    "rpc": _rpc,
    "router": _router,
    "echo": _echo,
    "streams": _streams,
}
"""By name; each listens, gives its URL, and is closed by the stack."""


async def _main() -> None:
    loop = asyncio.get_running_loop()
    over = asyncio.Event()

    def stdin_readable() -> None:
        if not os.read(0, 1024):
            loop.remove_reader(0)
            over.set()

    loop.add_reader(0, stdin_readable)
    stack = AsyncExitStack()
    os.write(1, f"listening on {await SERVERS[sys.argv[1]](stack)}\n".encode())
    await over.wait()
    # Ten thousand connections to close are no part of what is measured.
    os._exit(0)


if __name__ == "__main__":
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    uvloop.run(_main())
