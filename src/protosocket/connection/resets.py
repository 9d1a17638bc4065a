"""Resets that come together with data, of which libuv tells a transport too little.

Once a socket has an error libuv stops watching it (``uv__poll_io``), and uvloop calls back a last time. A
transport that finds data then reads those, and never hears of the error: its connection would wait for ever.
So the sockets of such an event loop are watched for errors besides, by an epoll instance that wakes for
nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import weakref

__all__ = ["Resets"]

# Between two looks at a transport that does not read.
_PAUSE_SECONDS = 0.05

# Weak on both sides: it knows its event loop, and lives as long as a connection that uses it.
_known: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[Resets]] = (
    weakref.WeakKeyDictionary()
)


class Resets:
    """Watches the sockets of one event loop's transports for errors."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transports: dict[int, asyncio.Transport] = {}
        self._epoll: select.epoll | None = None

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Resets | None:
        """The one of ``loop``; None if its transports hear of errors anyway."""
        if not type(loop).__module__.startswith("uvloop") or not hasattr(select, "epoll"):
            return None
        known = _known.get(loop)
        resets = None if known is None else known()
        if resets is None:
            resets = cls(loop)
            _known[loop] = weakref.ref(resets)
        return resets

    def watch(self, descriptor: int, transport: asyncio.Transport) -> None:
        """Have ``transport`` read on when its socket has an error, until ``forget``.

        Where the kernel has no room for more, it has to do without.
        """
        with contextlib.suppress(OSError):
            if self._epoll is None:
                self._epoll = select.epoll()
                self._loop.add_reader(self._epoll.fileno(), self._look)
            # Errors are told of unasked, and once.
            self._epoll.register(descriptor, select.EPOLLET)
            self._transports[descriptor] = transport

    def forget(self, descriptor: int, transport: asyncio.Transport) -> None:
        """The transport is about to close its socket, or has."""
        if self._epoll is None or self._transports.get(descriptor) is not transport:
            return
        del self._transports[descriptor]
        with contextlib.suppress(OSError):
            self._epoll.unregister(descriptor)
        if not self._transports:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None

    def _look(self) -> None:
        if self._epoll is not None:
            for descriptor, _ in self._epoll.poll(0):
                if descriptor in self._transports:
                    self._read_on(descriptor, self._transports[descriptor])

    def _read_on(self, descriptor: int, transport: asyncio.Transport) -> None:
        """Have libuv watch the socket once more, until the transport has found the error."""
        if self._transports.get(descriptor) is not transport or transport.is_closing():
            return
        if transport.is_reading():
            transport.pause_reading()
            transport.resume_reading()
            self._loop.call_soon(self._read_on, descriptor, transport)
        else:
            self._loop.call_later(_PAUSE_SECONDS, self._read_on, descriptor, transport)
