"""``memory://NAME``: connections inside one event loop, for tests and for parts of one program.

Both ends are transports like a socket's, without the socket: a write buffer with limits that pauses and
resumes its protocol, reading that can be paused, EOF, abort; a protocol is only ever called by the event
loop. A name belongs to the event loop that listens on it; other loops, threads and processes do not see it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast

__all__ = ["MemoryListener", "MemoryTransport", "open_memory_transport"]

P = TypeVar("P", bound=asyncio.BufferedProtocol)

_HIGH_WATER = 64 * 1024
"""Bytes in a write buffer above which its protocol is paused, unless told otherwise: asyncio's number."""

_READ_BUDGET = 256 * 1024
"""Bytes delivered in one turn of the event loop before others get theirs."""

# By the identity of the loop, which stays unique while a listener lives, and the name.
_listeners: weakref.WeakValueDictionary[tuple[int, str], MemoryListener] = weakref.WeakValueDictionary()


class MemoryListener:
    """Takes connections to ``name`` until ``close``. Raises ``OSError`` if the name is taken."""

    __slots__ = ("__weakref__", "_accepted", "_factory", "_loop", "name")

    def __init__(self, name: str, protocol_factory: Callable[[], asyncio.BufferedProtocol]) -> None:
        self.name = name
        self._factory = protocol_factory
        self._loop = asyncio.get_running_loop()
        self._accepted = 0
        if _listeners.setdefault((id(self._loop), name), self) is not self:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))

    def close(self) -> None:
        """Take no more connections; those that were taken live on. May be repeated."""
        key = (id(self._loop), self.name)
        if _listeners.get(key) is self:
            del _listeners[key]

    def accept(self) -> MemoryTransport:
        """A new connection: its far end, without a protocol, whose near end serves."""
        self._accepted += 1
        url = f"memory://{self.name}"
        there, back = _Pipe(), _Pipe()
        far = MemoryTransport(self._loop, url, incoming=back, outgoing=there)
        near = MemoryTransport(self._loop, f"{url}#{self._accepted}", incoming=there, outgoing=back)
        try:
            near.start(self._factory())
        except Exception:
            # As on a socket: the caller is connected, and then cut off.
            near.abort()
        return far


async def open_memory_transport(name: str, protocol_factory: Callable[[], P]) -> tuple[asyncio.Transport, P]:
    """Connect to ``name``; returns once ``connection_made`` has run.

    Raises ``ConnectionRefusedError`` if nobody listens there. Cancelling it aborts the connection.
    """
    loop = asyncio.get_running_loop()
    listener = _listeners.get((id(loop), name))
    if listener is None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
    protocol = protocol_factory()
    transport = listener.accept()
    transport.start(protocol)
    made = loop.create_future()
    loop.call_soon(_set_result_unless_done, made)
    try:
        await made
    except BaseException:
        transport.abort()
        raise
    return transport, protocol


def _set_result_unless_done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _nothing(*_: object) -> None:
    pass


class _Pipe:
    """One direction of a connection: what was written and not taken yet."""

    __slots__ = ("ended", "gone", "offset", "reset", "size", "taken", "written", "wrote")

    def __init__(self) -> None:
        self.written: deque[bytes] = deque()
        self.offset = 0
        self.size = 0
        self.ended = False
        """The writer writes no more."""
        self.gone = False
        """The reader reads no more."""
        self.wrote: Callable[[], None] = _nothing
        """Tells the reader."""
        self.taken: Callable[[], None] = _nothing
        """Tells the writer."""
        self.reset: Callable[[Exception], None] = _nothing
        """Ends the reader's connection with an error."""

    def put(self, data: bytes) -> None:
        self.written.append(data)
        self.size += len(data)
        self.wrote()

    def take_into(self, room: memoryview) -> int:
        chunk = self.written[0]
        count = min(len(room), len(chunk) - self.offset)
        room[:count] = chunk[self.offset : self.offset + count]
        self.offset += count
        self.size -= count
        if self.offset == len(chunk):
            self.written.popleft()
            self.offset = 0
        return count

    def drop(self) -> None:
        self.written.clear()
        self.offset = self.size = 0


class MemoryTransport(asyncio.Transport):
    """One end of a connection in memory; what its methods do is in ``asyncio.Transport``."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, peer: str, *, incoming: _Pipe, outgoing: _Pipe
    ) -> None:
        super().__init__({"peer": peer})
        self._loop = loop
        self._protocol: asyncio.BufferedProtocol | None = None
        self._incoming = incoming
        self._outgoing = outgoing
        incoming.wrote = self._pump_soon
        incoming.reset = self._lose
        outgoing.taken = self._drained
        self._low, self._high = _HIGH_WATER // 4, _HIGH_WATER
        self._connected = False
        self._writing_paused = False
        self._reading_paused = False
        self._eof_delivered = False
        self._closing = False
        self._lost = False
        self._pump_scheduled = False

    def __repr__(self) -> str:
        state = "lost" if self._lost else "closing" if self._closing else "open"
        return (
            f"<MemoryTransport to {self.get_extra_info('peer')} {state}, {self._outgoing.size} bytes queued>"
        )

    def start(self, protocol: asyncio.BufferedProtocol) -> None:
        """Give this end its protocol, whose ``connection_made`` is called by the event loop."""
        self._protocol = protocol
        self._loop.call_soon(self._make)

    def _make(self) -> None:
        if self._protocol is None or self._lost:
            return
        self._connected = True
        self._protocol.connection_made(self)
        self._pump_soon()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Call another protocol from now on."""
        self._protocol = cast(asyncio.BufferedProtocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that is called."""
        return cast(asyncio.BaseProtocol, self._protocol)

    def is_closing(self) -> bool:
        """Whether it is closed or being closed."""
        return self._closing

    def close(self) -> None:
        """Stop reading; once the peer has taken what was written, the connection is lost."""
        if self._closing:
            return
        self._closing = True
        self._pump_soon()
        if self._outgoing.size == 0:
            self._lose(None)

    def abort(self) -> None:
        """Drop what was written and end the connection; the peer sees a reset if bytes are lost by that."""
        dropped = self._outgoing.size > 0 or self._incoming.size > 0
        self._lose(None)
        if dropped:
            self._outgoing.reset(ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)))

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._closing = self._lost = True
        self._outgoing.drop()
        self._outgoing.ended = self._incoming.gone = True
        self._loop.call_soon(self._end, error)
        self._outgoing.wrote()

    def _end(self, error: Exception | None) -> None:
        protocol, self._protocol = self._protocol, None
        incoming, outgoing = self._incoming, self._outgoing
        incoming.wrote = incoming.reset = outgoing.taken = _nothing
        if incoming.size > 0:
            # Nobody will read it any more.
            incoming.drop()
            incoming.taken()
        if protocol is not None and self._connected:
            protocol.connection_lost(error)

    def write(self, data: Any) -> None:
        """Queue ``data`` for the peer; pauses the protocol above the high-water mark."""
        outgoing = self._outgoing
        if outgoing.ended and not self._lost:
            raise RuntimeError("cannot write after write_eof()")
        if self._lost or not data:
            return
        if outgoing.gone:
            # The peer's EOF is on its way, unless nobody reads here.
            if self._reading_paused:
                self._lose(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)))
            return
        outgoing.put(bytes(data))
        if outgoing.size > self._high and not self._writing_paused and self._protocol is not None:
            self._writing_paused = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        """Nothing more will be written; the peer sees EOF after what was."""
        if not self._closing:
            self._outgoing.ended = True
            self._outgoing.wrote()

    def can_write_eof(self) -> bool:
        """Yes."""
        return True

    def get_write_buffer_size(self) -> int:
        """Bytes the peer has not taken yet."""
        return self._outgoing.size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The low and the high mark, bytes."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the marks at which the protocol is paused and resumed, bytes; asyncio's defaults."""
        if high is None:
            high = _HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be >= low ({low}) must be >= 0")
        self._low, self._high = low, high

    def _drained(self) -> None:
        """The peer has taken bytes, in its turn of the event loop."""
        size = self._outgoing.size
        if self._writing_paused and size <= self._low and self._protocol is not None and not self._lost:
            self._writing_paused = False
            self._protocol.resume_writing()
        if self._closing and self._outgoing.size == 0:
            self._lose(None)

    def is_reading(self) -> bool:
        """Whether the protocol gets what arrives."""
        return not self._closing and not self._reading_paused

    def pause_reading(self) -> None:
        """Give the protocol nothing until ``resume_reading``."""
        self._reading_paused = True

    def resume_reading(self) -> None:
        """Give the protocol what arrives again."""
        self._reading_paused = False
        self._pump_soon()

    def _pump_soon(self) -> None:
        if not self._pump_scheduled:
            self._pump_scheduled = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Deliver what the peer has written, and its EOF."""
        self._pump_scheduled = False
        if self._lost:
            return
        incoming = self._incoming
        if self._closing:
            # A socket's kernel takes what nobody will read, so that the peer gets rid of it.
            incoming.drop()
            incoming.taken()
            return
        if not self._connected or self._protocol is None:
            return
        try:
            if self._deliver(self._protocol):
                incoming.taken()
        except Exception as error:
            self._loop.call_exception_handler(
                {"message": "the protocol failed", "exception": error, "transport": self}
            )
            self._lose(error)
            return
        if not self.is_reading():
            return
        if incoming.size > 0:
            self._pump_soon()
        elif incoming.ended and not self._eof_delivered:
            self._eof_delivered = True
            if not self._protocol.eof_received():
                self.close()

    def _deliver(self, protocol: asyncio.BufferedProtocol) -> int:
        delivered = 0
        while self._incoming.written and delivered < _READ_BUDGET and self.is_reading():
            with memoryview(cast(bytearray, protocol.get_buffer(-1))) as room:
                count = self._incoming.take_into(room)
            delivered += count
            protocol.buffer_updated(count)
        return delivered
