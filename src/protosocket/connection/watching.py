"""Sockets with an error, which libuv does not watch any more.

Once a socket has an error libuv stops watching it (``uv__poll_io``), and uvloop calls back a last time and
lets go of the callback (``UVPoll._fatal_error``). If data came together with a reset, a transport reads those
and waits for the next event, which never comes. asyncio's own loop goes on telling.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import weakref
from collections.abc import Callable
from typing import Any, cast

from protosocket.event_loops import OncePerLoop

__all__ = ["watching"]

Callback = Callable[..., object]


class _WatchingLoop:
    """uvloop, which has a socket watched anew when it has let go of its reader by itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._readers: dict[int, weakref.ref[Callback]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def add_reader(self, descriptor: int, callback: Callback, *args: Any) -> None:
        """Have ``callback`` called while there is something to read, an error included."""
        # The only other reference to it is uvloop's.
        reader = functools.partial(callback, *args)
        forgotten = functools.partial(self._forgotten, descriptor, callback, args)
        self._readers[descriptor] = weakref.ref(reader, forgotten)
        self._loop.add_reader(descriptor, reader)

    def remove_reader(self, descriptor: int) -> bool:
        """Stop that."""
        self._readers.pop(descriptor, None)
        return self._loop.remove_reader(descriptor)

    def _forgotten(
        self, descriptor: int, callback: Callback, args: tuple[Any, ...], reader: weakref.ref[Callback]
    ) -> None:
        if self._readers.get(descriptor) is reader:
            # A loop that was closed forgets everything.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._watch_again, descriptor, callback, args, reader)

    def _watch_again(
        self, descriptor: int, callback: Callback, args: tuple[Any, ...], reader: weakref.ref[Callback]
    ) -> None:
        if self._readers.get(descriptor) is reader:
            self._loop.remove_reader(descriptor)
            self.add_reader(descriptor, callback, *args)


_loops = OncePerLoop(_WatchingLoop)


def watching(loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
    """``loop``, whose readers hear of every error, even if it came with the last data."""
    if not type(loop).__module__.startswith("uvloop"):
        return loop
    return cast(asyncio.AbstractEventLoop, _loops.of(loop))
