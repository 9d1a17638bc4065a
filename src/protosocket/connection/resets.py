"""Resets that come together with data, of which libuv tells a transport too little.

Once a socket has an error libuv stops watching it (``uv__poll_io``), and uvloop calls back a last time. A
transport that finds data then reads those, and never hears of the error: its connection would wait for ever.
Nobody can ask uvloop whether that has happened. So a connection of such an event loop that has read
something, and then nothing for a while, has its socket watched anew.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from protosocket.event_loops import OncePerLoop

# The native half of a connection has no public names.
# ruff: noqa: SLF001

if TYPE_CHECKING:
    from protosocket._core import Connection

__all__ = ["Resets"]

# A reset is noticed after twice that at most.
_QUIET_SECONDS = 0.5


class Resets:
    """The connections of one event loop that have read something lately, with their transports."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._active: dict[Connection, asyncio.Transport] = {}
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Resets | None:
        """The one of ``loop``; None if its transports hear of errors anyway."""
        if not type(loop).__module__.startswith("uvloop"):
            return None
        return _resets.of(loop)

    def has_read(self, connection: Connection, transport: asyncio.Transport) -> None:
        """Watch the socket of ``transport`` anew when ``connection`` has been quiet for a while."""
        self._active[connection] = transport
        if self._timer is None:
            self._timer = self._loop.call_later(_QUIET_SECONDS, self._look)

    def forget(self, connection: Connection) -> None:
        """It has ended."""
        self._active.pop(connection, None)
        if not self._active and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        quiet = [connection for connection in self._active if connection._was_quiet()]
        for connection in quiet:
            transport = self._active.pop(connection)
            connection._follow()
            if not transport.is_closing() and transport.is_reading():
                # After that a TLS transport looks for something to read, which is no news.
                connection._ignore_looks(True)
                transport.pause_reading()
                transport.resume_reading()
                self._loop.call_soon(connection._ignore_looks, False)
        if self._active:
            self._timer = self._loop.call_later(_QUIET_SECONDS, self._look)


_resets = OncePerLoop(Resets)
