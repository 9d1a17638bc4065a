"""picows, WebSocket in Cython, with msgspec MessagePack and calls matched by ids.

Its callback interface, payloads decoded in place from its buffer, and uvloop's own transports, which put all
messages of a turn of the loop into one write (``use_aiofastnet=False``).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect, ws_create_server

from benchmarks.client import CacheDriver, host_and_port
from benchmarks.struct_messages import Command, Response, answer, calls, read_set, verdicts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.store import Store
    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["driver", "serve"]

ENCODE = msgspec.msgpack.Encoder().encode
STORE: Store = {}
BINARY = WSMsgType.BINARY


class Cache(WSListener):
    """The server's end of a connection."""

    def __init__(self) -> None:
        self._decode = msgspec.msgpack.Decoder(Command).decode

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Answer one message."""
        if frame.msg_type is BINARY:
            command = self._decode(frame.get_payload_as_memoryview())
            transport.send(BINARY, ENCODE(answer(STORE, command)))
        else:
            transport.disconnect()


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    server = await ws_create_server(lambda _: Cache(), "127.0.0.1", 0, use_aiofastnet=False)
    announce(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    await asyncio.Event().wait()


class Calls(WSListener):
    """The client's end: calls by id."""

    def __init__(self) -> None:
        self._decode = msgspec.msgpack.Decoder(Response).decode
        self.waiting: dict[int, asyncio.Future[Response]] = {}

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """End one call."""
        if frame.msg_type is not BINARY:
            transport.disconnect()
            return
        response = self._decode(frame.get_payload_as_memoryview())
        future = self.waiting.pop(response.id)
        if not future.done():
            future.set_result(response)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Fail what is left."""
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(ConnectionResetError("the server went away"))


class WebSocketDriver(CacheDriver):
    """Calls over one WebSocket."""

    stored = staticmethod(read_set)
    verdicts = staticmethod(verdicts)

    async def start(self) -> None:
        """Connect."""
        host, port = host_and_port(self.endpoint.urls[0])
        self._calls = Calls()
        self._transport, _ = await ws_connect(
            lambda: self._calls, f"ws://{host}:{port}/", use_aiofastnet=False
        )
        self._last_id = 0
        self._loop = asyncio.get_running_loop()
        self.call = calls(self.operations, self._call)

    def _call(self, command: Command) -> asyncio.Future[Response]:
        self._last_id += 1
        command.id = self._last_id
        future: asyncio.Future[Response] = self._loop.create_future()
        self._calls.waiting[command.id] = future
        self._transport.send(BINARY, ENCODE(command))
        return future

    def get(self, key: bytes) -> Awaitable[Response]:
        """One call."""
        return self._call(Command(key=key))

    def set(self, key: bytes, value: bytes) -> Awaitable[Response]:
        """One call."""
        return self._call(Command(key=key, value=value))

    async def close(self) -> None:
        """Disconnect."""
        self._transport.disconnect()
        await self._transport.wait_disconnected()


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return WebSocketDriver(endpoint, operations)
