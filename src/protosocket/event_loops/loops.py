"""Which event loop a program of its own runs on, and what there is once for each event loop."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable
from typing import Generic, TypeVar

from protosocket.errors import EventLoopError

__all__ = ["OncePerLoop", "hold_standard_descriptors", "new_event_loop", "require_loop"]

T = TypeVar("T")

# What an event loop opens for itself: an epoll, an eventfd, pairs of sockets for signals and threads.
_LOOP_DESCRIPTORS = 12


def new_event_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed, asyncio's own elsewhere; for programs, since it may open ``/dev/null``.

    Raises ``OSError`` if the process may not open as many files as an event loop needs.
    """
    hold_standard_descriptors()
    _require_descriptors(_LOOP_DESCRIPTORS)
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def hold_standard_descriptors() -> None:
    """Put ``/dev/null`` where standard input, output or error is closed.

    Else the next file gets its number: libuv aborts a process that closes one of these, and what is printed
    would go to whoever is connected there.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # It gets the lowest number that is free, which is this one.
            os.open(os.devnull, os.O_RDWR)


def _require_descriptors(count: int) -> None:
    """Raise ``OSError`` if fewer than ``count`` files can be opened: uvloop fails half-made without them."""
    opened: list[int] = []
    try:
        for _ in range(count):
            opened.append(os.open(os.devnull, os.O_RDONLY))  # noqa: PERF401 - each is to be closed
    except OSError as error:
        raise OSError(
            error.errno, f"{error.strerror}: an event loop needs {count}, so raise the limit (ulimit -n)"
        ) from None
    finally:
        for number in opened:
            os.close(number)


def require_loop(loop: asyncio.AbstractEventLoop, whose: object) -> None:
    """Raise ``EventLoopError`` unless ``loop`` runs in this thread, or runs nowhere and no other runs here.

    ``whose`` it is begins the text.
    """
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        running = None
    if running is loop:
        return
    if loop.is_closed():
        why = "is closed; make a new one in the event loop that uses it"
    elif running is not None:
        why = "is another one than runs here; make one for each event loop"
    elif loop.is_running():
        why = "runs in another thread; asyncio.run_coroutine_threadsafe runs a coroutine there"
    else:
        return
    raise EventLoopError(f"{whose}: the event loop that it belongs to {why}")


class OncePerLoop(Generic[T]):
    """An object for each event loop, made by ``make(loop)`` when there is none.

    It is known weakly on both sides: such an object knows its event loop, and lives as long as a connection
    that uses it.
    """

    def __init__(self, make: Callable[[asyncio.AbstractEventLoop], T]) -> None:
        self._make = make
        self._known: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, weakref.ref[T]] = (
            weakref.WeakKeyDictionary()
        )

    def of(self, loop: asyncio.AbstractEventLoop) -> T | None:
        """The one of ``loop``; None for a loop that cannot be referenced weakly."""
        try:
            known = self._known.get(loop)
        except TypeError:
            return None
        one = None if known is None else known()
        if one is None:
            one = self._make(loop)
            self._known[loop] = weakref.ref(one)
        return one
