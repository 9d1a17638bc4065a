"""pyzmq's plain sockets, DEALER to ROUTER, drained by hand on the event loop, with msgspec MessagePack.

As ``pyzmq_asyncio``, but the loop watches the socket's descriptor and a callback takes all messages that are
there, without a future or a task for each: what pyzmq can do for who writes that.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import zmq

from benchmarks.client import CacheDriver
from benchmarks.struct_messages import Command, Response, answer, calls, read_set, verdicts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.store import Store
    from protosocket.bench.driver import Driver, Endpoint
    from protosocket.bench.operations import Operations

__all__ = ["driver", "serve"]

ENCODE = msgspec.msgpack.Encoder().encode
MESSAGES_A_TURN = 256


class Drain:
    """Calls ``take`` until it raises ``zmq.Again``, whenever there may be something to take.

    The descriptor tells only of changes, and sending uses them up too: ``soon`` after each send.
    """

    def __init__(self, socket: zmq.Socket[bytes], take: Callable[[], None]) -> None:
        self._take = take
        self._loop = asyncio.get_running_loop()
        self._due = False
        self._loop.add_reader(int(socket.getsockopt(zmq.FD)), self._run)
        self.soon()

    def soon(self) -> None:
        """Drain in the next turn of the loop."""
        if not self._due:
            self._due = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._due = False
        take = self._take
        try:
            for _ in range(MESSAGES_A_TURN):
                take()
        except zmq.Again:
            return
        self.soon()


async def serve(announce: Callable[[str], None]) -> None:
    """Serve until cancelled."""
    store: Store = {}
    decode = msgspec.msgpack.Decoder(Command).decode
    context = zmq.Context()
    router = context.socket(zmq.ROUTER)
    router.set_hwm(0)
    port = router.bind_to_random_port("tcp://127.0.0.1")
    receive, send = router.recv_multipart, router.send_multipart

    def take() -> None:
        sender, message = receive(zmq.NOBLOCK)
        send((sender, ENCODE(answer(store, decode(message)))), zmq.NOBLOCK)

    Drain(router, take)
    announce(f"tcp://127.0.0.1:{port}")
    try:
        await asyncio.Event().wait()
    finally:
        context.destroy(linger=0)


class DrainedDriver(CacheDriver):
    """Calls over one DEALER socket."""

    stored = staticmethod(read_set)
    verdicts = staticmethod(verdicts)

    async def start(self) -> None:
        """Connect with a first call."""
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set_hwm(0)
        self._socket.connect(self.endpoint.urls[0])
        self._waiting: dict[int, asyncio.Future[Response]] = {}
        self._last_id = 0
        self._loop = asyncio.get_running_loop()
        self._decode = msgspec.msgpack.Decoder(Response).decode
        self._drain = Drain(self._socket, self._take)
        await self.get(b"")
        self.call = calls(self.operations, self._call)

    def _call(self, command: Command) -> asyncio.Future[Response]:
        self._last_id += 1
        command.id = self._last_id
        future: asyncio.Future[Response] = self._loop.create_future()
        self._waiting[command.id] = future
        self._socket.send(ENCODE(command), zmq.NOBLOCK)
        self._drain.soon()
        return future

    def _take(self) -> None:
        response = self._decode(self._socket.recv(zmq.NOBLOCK))
        future = self._waiting.pop(response.id)
        if not future.done():
            future.set_result(response)

    def get(self, key: bytes) -> Awaitable[Response]:
        """One call."""
        return self._call(Command(key=key))

    def set(self, key: bytes, value: bytes) -> Awaitable[Response]:
        """One call."""
        return self._call(Command(key=key, value=value))

    async def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(int(self._socket.getsockopt(zmq.FD)))
        self._context.destroy(linger=0)


def driver(endpoint: Endpoint, operations: Operations) -> Driver:
    """A client of ``endpoint``."""
    return DrainedDriver(endpoint, operations)
